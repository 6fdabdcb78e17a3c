"""The `manifest.json` of an S3 Inventory: which files it has, in which format, of when."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pipeline.errors import ManifestInvalid


class InventoryFormat(StrEnum):
    """`fileFormat` of an inventory's manifest."""

    CSV = "CSV"
    ORC = "ORC"
    PARQUET = "Parquet"


# A name of each format comes to the same: ETag, e_tag; LastModifiedDate, last_modified_date.
WANTED = ("bucket", "key", "size", "etag")
_NAMES = {
    InventoryFormat.CSV: re.compile(r"\s*([A-Za-z0-9]+)\s*(?:,|$)"),
    InventoryFormat.ORC: re.compile(r"(\w+):\w+"),
    InventoryFormat.PARQUET: re.compile(r"(?:required|optional)\s+\w+\s+(\w+)"),
}


@dataclass(frozen=True, slots=True)
class InventoryFile:
    """One data file of an inventory; `md5` is in hex."""

    key: str
    size_bytes: int
    md5: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """What `manifest.json` says. `columns` maps what a column means, as in `lastmodifieddate`, to
    its name in the files, in their order."""

    name: str
    source_bucket: str
    files_bucket: str
    created: datetime
    format: InventoryFormat
    columns: Mapping[str, str]
    files: tuple[InventoryFile, ...]

    def error(self, why: str) -> ManifestInvalid:
        return _invalid(self.name, why)


def read_inventory(name: str, data: bytes) -> Inventory:
    """`name` is the manifest's address, for messages. Raises ManifestInvalid."""
    try:
        facts = json.loads(data)
        format_ = InventoryFormat(facts["fileFormat"])
        columns = _columns(format_, facts["fileSchema"])
        found = Inventory(
            name,
            facts["sourceBucket"],
            facts["destinationBucket"].rpartition(":::")[2],
            datetime.fromtimestamp(int(facts["creationTimestamp"]) / 1000, UTC),
            format_,
            columns,
            tuple(_file(one) for one in facts["files"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _invalid(name, f"it is no manifest.json ({type(error).__name__}: {error})") from error
    lacks = [column for column in WANTED if column not in columns]
    if lacks:
        raise found.error(
            f"it has no column for {', '.join(lacks)}: Size and ETag are optional fields of the "
            "inventory's configuration"
        )
    return found


def _file(facts: Mapping[str, Any]) -> InventoryFile:
    return InventoryFile(facts["key"], int(facts["size"]), facts["MD5checksum"].lower())


def _columns(format_: InventoryFormat, schema: str) -> dict[str, str]:
    names = _NAMES[format_].findall(schema)
    return {name.replace("_", "").lower(): name for name in names}


def _invalid(name: str, why: str) -> ManifestInvalid:
    return ManifestInvalid(
        f"Inventory {name}: {why}.", remedy="docs/sources.md says what an inventory must have."
    )
