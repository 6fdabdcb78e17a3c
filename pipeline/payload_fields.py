"""The record of one payload field, which checks itself, and the kinds that it is described by.

The fields themselves are in `payload_schema.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

FIRST_VERSION = "0.1.0"
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class PointKind(StrEnum):
    """The two kinds of point: one for each segment, and one, the anchor, for each asset."""

    SEGMENT = "segment"
    ASSET = "asset"


SEGMENTS = frozenset({PointKind.SEGMENT})
ANCHORS = frozenset({PointKind.ASSET})
BOTH = SEGMENTS | ANCHORS


class ValueType(StrEnum):
    """What a value is. A keyword is compared as a whole, a text is read."""

    KEYWORD = "keyword"
    TEXT = "text"
    BOOL = "bool"
    INTEGER = "integer"
    FLOAT = "float"
    KEYWORDS = "list of keywords"
    TEXT_BY_NAME = "object of texts"
    VALUES_BY_NAME = "object of texts, numbers and booleans"
    TAG_SCORES = "list of objects"


class IndexKind(StrEnum):
    """A payload index, which filters need; `index/collections.py` knows what Qdrant calls it."""

    KEYWORD = "keyword"
    BOOL = "bool"
    INTEGER = "integer"
    DATETIME = "datetime"


_INDEXABLE = {
    IndexKind.KEYWORD: {ValueType.KEYWORD, ValueType.KEYWORDS},
    IndexKind.BOOL: {ValueType.BOOL},
    IndexKind.INTEGER: {ValueType.INTEGER},
    IndexKind.DATETIME: {ValueType.TEXT},
}


class Subject(StrEnum):
    """What a value is about: the point, the whole asset, one window, or the run that wrote it."""

    POINT = "point"
    ASSET = "asset"
    WINDOW = "window"
    RUN = "run"


class Verified(StrEnum):
    """On which points `sensedex verify` looks at a value."""

    EVERY_POINT = "every point"
    SAMPLE = "a sample"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class PayloadField:
    """One field: its name and type, the points that have it, and what it means to a reader.

    `choices` are all of its values, where they are few. `only_where` is the case in which a point
    has the field, if that is not always. `may_be_left_out`: a collection can do without it
    (`index.payload_exclude`), since no run reads it, and a search only where it is asked to.
    `graph_links`: the graph of vectors has links of its own for it, where searches are narrowed by
    it; they are not worth their price for what runs delete and count by, nor for a number.
    `prefixes`: the index finds values by how they begin. `since` is the version of sensedex that
    first wrote it. Raises ValueError that names the field.
    """

    name: str
    type: ValueType
    meaning: str
    on: frozenset[PointKind]
    describes: Subject
    index: IndexKind | None = None
    graph_links: bool = True
    prefixes: bool = False
    verified: Verified = Verified.SAMPLE
    may_be_left_out: bool = False
    nullable: bool = False
    choices: tuple[str, ...] = ()
    only_where: str = ""
    since: str = FIRST_VERSION

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a field, as start_ms is")
        if not self.meaning or "|" in self.meaning + self.only_where:
            raise ValueError(f"{self.name} wants a meaning that fits a cell of a Markdown table")
        if not self.on:
            raise ValueError(f"{self.name} is on no point")
        if self.describes is Subject.WINDOW and self.on != SEGMENTS:
            raise ValueError(f"{self.name} is about a window, and an anchor has none")
        if self.index is not None and self.type not in _INDEXABLE[self.index]:
            raise ValueError(f"{self.name}: an index of kind {self.index} fits no {self.type}")
        if self.index is None and not self.graph_links:
            raise ValueError(f"{self.name} has no index, which searches could do without")
        narrows = self.index is not None and self.graph_links
        if self.may_be_left_out and (narrows or self.verified is Verified.EVERY_POINT):
            raise ValueError(f"{self.name} is needed to filter or to verify: it cannot be left out")
        if self.prefixes and self.index is not IndexKind.KEYWORD:
            raise ValueError(f"{self.name}: only an index of keywords finds prefixes")
        if self.describes is Subject.RUN and self.verified is Verified.SAMPLE:
            raise ValueError(f"{self.name} is about a run: Parquet has nothing to hold against it")
        if self.choices and self.type is not ValueType.KEYWORD:
            raise ValueError(f"{self.name}: choices are for a keyword")
        if not _VERSION.fullmatch(self.since):
            raise ValueError(f"{self.name}: {self.since!r} is no version, as 1.2.3 is")

    @property
    def copied_to_anchor(self) -> bool:
        """Whether an anchor has it from a segment of its asset: all of them say the same."""
        return self.on == BOTH and self.describes is Subject.ASSET
