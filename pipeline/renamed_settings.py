"""Old names of settings: still read in this version, with one line of warning each.

The table in CHANGELOG.md has the same names. A file, a variable or a flag may use either name; both
at once in one place is an error.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from pipeline.errors import SettingsError

RENAMED: Mapping[str, str] = {
    "encode.also": "encode.additional",
    "index.leave_out": "index.payload_exclude",
    "tags.at_least": "tags.min_score",
    "tags.most": "tags.max_tags",
}
log = logging.getLogger("sensedex.settings")


def with_new_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """All parts, each with its new fields. Raises SettingsError."""
    return {part: with_new_fields(part, fields) for part, fields in given.items()}


def with_new_fields(part: str, fields: Any) -> Any:
    """The same fields of a part of the settings, each old one under its new name; anything but a
    mapping comes back as it is.

    Raises SettingsError where both names are given.
    """
    if not isinstance(fields, Mapping):
        return fields
    renamed = dict(fields)
    for old, new in RENAMED.items():
        of, _, old_field = old.partition(".")
        new_field = new.partition(".")[2]
        if of != part or old_field not in fields:
            continue
        if new_field in fields:
            raise SettingsError(
                f"Settings {old} and {new} are one setting, and both are given.",
                remedy=f"Keep {new}: {old} is its old name.",
            )
        renamed[new_field] = renamed.pop(old_field)
        warn_renamed(old, new)
    return renamed


@cache
def warn_renamed(old: str, new: str) -> None:
    """Said once a process."""
    log.warning("%s is called %s now; the old name goes with the next version.", old, new)
