"""Makes an S3 Inventory as S3 does: files of one format in no order, and their manifest.json."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq

from pipeline.records import MediaObject

CSV_COLUMNS = (
    "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass"
)
ARROW = pa.schema(
    [
        ("bucket", pa.string()),
        ("key", pa.string()),
        ("version_id", pa.string()),
        ("is_latest", pa.bool_()),
        ("is_delete_marker", pa.bool_()),
        ("size", pa.int64()),
        ("last_modified_date", pa.timestamp("ms", "UTC")),
        ("e_tag", pa.string()),
        ("storage_class", pa.string()),
    ]
)
_PARQUET_SCHEMA = (
    "message s3.inventory {  required binary bucket (STRING);  required binary key (STRING);  "
    "optional binary version_id (STRING);  optional boolean is_latest;  optional boolean "
    "is_delete_marker;  optional int64 size;  optional int64 last_modified_date (TIMESTAMP(MILLIS,"
    "true));  optional binary e_tag (STRING);  optional binary storage_class (STRING);}"
)
_ORC_SCHEMA = (
    "struct<bucket:string,key:string,version_id:string,is_latest:boolean,is_delete_marker:boolean,"
    "size:bigint,last_modified_date:timestamp,e_tag:string,storage_class:string>"
)
SCHEMAS = {"CSV": CSV_COLUMNS, "ORC": _ORC_SCHEMA, "Parquet": _PARQUET_SCHEMA}
ENDINGS = {"CSV": "csv.gz", "ORC": "orc", "Parquet": "parquet"}


@dataclass(frozen=True)
class Version:
    """A row of an inventory of all versions."""

    object: MediaObject
    latest: bool = True
    deleted: bool = False


def data_file(format_: str, versions: Sequence[Version]) -> bytes:
    made = io.BytesIO()
    if format_ == "CSV":
        with gzip.open(made, "wt", encoding="utf-8", newline="", compresslevel=1) as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows(map(_csv_row, versions))
        return made.getvalue()
    table = pa.Table.from_pylist([_row(one) for one in versions], ARROW)
    if format_ == "ORC":
        pa.orc.write_table(table, made)
    else:
        pq.write_table(table, made)
    return made.getvalue()


def _csv_row(one: Version) -> list[Any]:
    obj, there = one.object, not one.deleted
    modified = datetime.fromisoformat(obj.last_modified).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return [
        obj.bucket, quote_plus(obj.key, safe="/"), obj.version_id or "", str(one.latest).lower(),
        str(one.deleted).lower(), obj.size_bytes if there else "", modified,
        obj.etag if there else "", obj.storage_class if there else "",
    ]  # fmt: skip


def _row(one: Version) -> dict[str, Any]:
    obj, there = one.object, not one.deleted
    return {
        "bucket": obj.bucket,
        "key": obj.key,
        "version_id": obj.version_id,
        "is_latest": one.latest,
        "is_delete_marker": one.deleted,
        "size": obj.size_bytes if there else None,
        "last_modified_date": datetime.fromisoformat(obj.last_modified),
        "e_tag": obj.etag if there else None,
        "storage_class": obj.storage_class if there else None,
    }


def put_inventory(
    client: Any,
    bucket: str,
    folder: str,
    format_: str,
    files: Iterable[Sequence[Version]],
    *,
    of: str,
    created: datetime,
) -> str:
    """Into `bucket` under `folder` (with its slash), of the bucket `of`; its manifest's address."""
    listed = []
    for number, versions in enumerate(files):
        data = data_file(format_, versions)
        key = f"{folder}data/{created:%Y%m%d%H%M}-{number}.{ENDINGS[format_]}"
        client.put_object(Bucket=bucket, Key=key, Body=data)
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        listed.append({"key": key, "size": len(data), "MD5checksum": digest})
    manifest = json.dumps(
        {
            "sourceBucket": of,
            "destinationBucket": f"arn:aws:s3:::{bucket}",
            "version": "2016-11-30",
            "creationTimestamp": str(int(created.timestamp() * 1000)),
            "fileFormat": format_,
            "fileSchema": SCHEMAS[format_],
            "files": listed,
        }
    ).encode()
    at = f"{folder}{created:%Y-%m-%dT%H-%MZ}/"
    client.put_object(Bucket=bucket, Key=f"{at}manifest.json", Body=manifest)
    checksum = hashlib.md5(manifest, usedforsecurity=False).hexdigest().encode()
    client.put_object(Bucket=bucket, Key=f"{at}manifest.checksum", Body=checksum)
    return f"s3://{bucket}/{at}manifest.json"
