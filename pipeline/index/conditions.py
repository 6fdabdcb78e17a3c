"""Conditions on payload fields, as data: what a search narrows a collection by. Without Qdrant's
client.

Only a field with an index can be named, since strict mode refuses all others; the record says so
before a server does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.payload_fields import IndexKind, PayloadField, PointKind
from pipeline.payload_schema import FIELDS

Scalar = bool | int | float | str
OF_READERS = {
    field.name: field
    for field in FIELDS
    if field.index is not None and PointKind.SEGMENT in field.on and field.name != "live"
}
ALIASES = {
    "type": "media_type",
    "tag": "tags",
    "time": "start_ms",
    "size": "size_bytes",
    "date": "last_modified",
    "duration": "asset_duration_ms",
    "word": "words",
}
"""Shorter names that a condition in text may use."""
RANGED = (IndexKind.INTEGER, IndexKind.DATETIME)


@dataclass(frozen=True, slots=True)
class Condition:
    """On one field, one of: `equals` a value, equal to `any_of` some, a `prefix` of a key, or in a
    range. Times and durations are in milliseconds, sizes in bytes, dates ISO 8601 (UTC where they
    say no zone). `negated` lets the others through, and those without the field.

    Raises ValueError that names the field.
    """

    field: str
    equals: Scalar | None = None
    any_of: tuple[Scalar, ...] = ()
    prefix: str | None = None
    above: int | float | str | None = None
    at_least: int | float | str | None = None
    below: int | float | str | None = None
    at_most: int | float | str | None = None
    negated: bool = False

    def __post_init__(self) -> None:
        known = OF_READERS.get(self.field)
        if known is None:
            raise ValueError(
                f"no search filters by {self.field!r}; those with an index are "
                f"{', '.join(sorted(OF_READERS))}"
            )
        ways = [self.equals is not None, bool(self.any_of), self.prefix is not None, self.is_range]
        if sum(ways) != 1:
            raise ValueError(f"{self.field}: one of equals, any_of, prefix and a range")
        if self.prefix is not None and not known.prefixes:
            raise ValueError(f"{self.field} is not found by a prefix")
        if self.is_range and known.index not in RANGED:
            raise ValueError(f"{self.field} has no range")
        if not self.is_range and known.index is IndexKind.DATETIME:
            raise ValueError(f"{self.field} is compared by a range: at_least and below")
        for value in self._values():
            _check(known, value)

    @property
    def is_range(self) -> bool:
        return any(bound is not None for bound in self.bounds)

    @property
    def bounds(self) -> tuple[int | float | str | None, ...]:
        return (self.above, self.at_least, self.below, self.at_most)

    def _values(self) -> tuple[Scalar, ...]:
        given = (self.equals, *self.any_of, *self.bounds)
        return tuple(value for value in given if value is not None)


def _check(field: PayloadField, value: Scalar) -> None:
    wrong = ValueError(f"{field.name} is a {field.index}, and {value!r} is none")
    match field.index:
        case IndexKind.BOOL:
            fits = isinstance(value, bool)
        case IndexKind.INTEGER:
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        case IndexKind.DATETIME:
            try:
                fits = isinstance(value, str) and bool(datetime.fromisoformat(value))
            except ValueError:
                fits = False
        case _:
            fits = isinstance(value, str)
            if field.choices and value not in field.choices:
                raise ValueError(f"{field.name} is one of {', '.join(field.choices)}")
    if not fits:
        raise wrong


_WHERE = re.compile(r"\s*([a-z_]+)\s*(!=|>=|<=|\^=|=|>|<)\s*(.*?)\s*", re.S)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.I)
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|sec|m|min|h)?")
_UNITS_MS = {"ms": 1, "s": 1000, "sec": 1000, "": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000}
_BOUNDS = {">": "above", ">=": "at_least", "<": "below", "<=": "at_most"}


def parse_condition(text: str) -> Condition:
    """Of `type=video`, `tag=dog,cat`, `key^=photos/`, `size>=10MB`, `duration<5min`,
    `time=1:00..2:00`, `date>=2026-11-01`, `has_audio=true`, `type!=image`. Raises ValueError."""
    found = _WHERE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition, as type=video is")
    name, sign, value = found.groups()
    name = ALIASES.get(name, name)
    known = OF_READERS.get(name)
    if known is None:
        return Condition(name, equals=value)  # which says what there is
    if sign == "^=":
        return Condition(name, prefix=value)
    if sign in _BOUNDS:
        return Condition(name, **{_BOUNDS[sign]: _value(known, value)})  # type: ignore[arg-type]
    negated = sign == "!="
    low, dots, high = value.partition("..")
    if dots and known.index in RANGED:
        return Condition(
            name,
            at_least=_value(known, low) if low else None,
            at_most=_value(known, high) if high else None,
            negated=negated,
        )
    if known.index is IndexKind.DATETIME:
        return Condition(name, **_day(value), negated=negated)  # type: ignore[arg-type]
    # A key may have commas in it; tags and the few values of a field have none.
    some = [value] if name == "key" else value.split(",")
    if len(some) > 1:
        return Condition(name, any_of=tuple(_value(known, one) for one in some), negated=negated)
    return Condition(name, equals=_value(known, value), negated=negated)


def _value(field: PayloadField, text: str) -> Scalar:
    text = text.strip()
    match field.index:
        case IndexKind.BOOL:
            if text.lower() in ("true", "yes", "false", "no"):
                return text.lower() in ("true", "yes")
            raise ValueError(f"{field.name} is true or false, not {text!r}")
        case IndexKind.INTEGER if field.name == "size_bytes":
            return _bytes(text)
        case IndexKind.INTEGER if field.name.endswith("_ms"):
            return milliseconds(text)
        case IndexKind.INTEGER:
            return int(text)
    return text


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no size, as 10MB is")
    return int(float(found[1]) * 1000 ** ("kmgt".index(found[2].lower()) + 1 if found[2] else 0))


def milliseconds(text: str) -> int:
    """Of `72`, `1:12`, `1:01:12.5`, `90s`, `5min`, `250ms`. Raises ValueError."""
    if found := _CLOCK.fullmatch(text):
        hours, minutes, seconds = found.groups()
        return int((int(hours or 0) * 3600 + int(minutes) * 60) * 1000 + float(seconds) * 1000)
    if found := _SPAN.fullmatch(text):
        return int(float(found[1]) * _UNITS_MS[found[2] or ""])
    raise ValueError(f"{text!r} is no time, as 1:12 or 90s is")


def _day(text: str) -> dict[str, str]:
    """A day, a month or a year as a range."""
    parts = text.split("-")
    try:
        numbers = [int(part) for part in parts]
        begin = datetime(*[*numbers, 1, 1][:3], tzinfo=UTC)  # type: ignore[arg-type,misc]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{text!r} is no date, as 2026-11-21 or 2026-11 is") from error
    year, month = begin.year, begin.month
    match len(numbers):
        case 1:
            end = begin.replace(year=year + 1)
        case 2:
            end = begin.replace(year=year + month // 12, month=month % 12 + 1)
        case _:
            end = datetime.fromtimestamp(begin.timestamp() + 86_400, UTC)
    return {"at_least": begin.isoformat(), "below": end.isoformat()}
