"""A search as data: a record that checks itself and goes to JSON and back by
`pipeline.codec`. docs/query.md explains each field.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pipeline import codec
from pipeline.errors import SettingsError
from pipeline.index.conditions import Condition
from pipeline.records import MediaType

MOST_TERMS = 16
MOST_MOMENTS = 1_000
DEEPEST = 2_000  # how many moments down a cursor leads


class TermKind(StrEnum):
    """What a term is made of. `value` is the words, a file's path, or ASSET@TIME."""

    WORDS = "words"
    IMAGE = "image"
    SOUND = "sound"
    VIDEO = "video"
    POINT = "point"


class Ranking(StrEnum):
    """By what moments are ordered where several vectors are searched; docs/retrieval.md compares
    them. `SHARE`: the share of the collection that scores lower, by what `sensedex calibrate` has
    measured. `SPREAD`: how far a window stands out of what each vector found. `COSINE`: the
    highest cosine."""

    SHARE = "share"
    SPREAD = "spread"
    COSINE = "cosine"


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a question. A negative weight takes it away from the sum; `required` asks for it
    by itself, and a window has to answer to each such term. Raises ValueError."""

    kind: TermKind
    value: str
    weight: float = 1.0
    required: bool = False

    def __post_init__(self) -> None:
        if not self.value.strip():
            raise ValueError("a term is empty")
        if not 0 < abs(self.weight) <= 100:
            raise ValueError(f"the weight {self.weight} is not from 0 to 100, nor below 0 to -100")
        if self.required and self.weight < 0:
            raise ValueError("what is taken away cannot be required; give it a condition instead")


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A question. Terms that are not required are added up by their weights. Raises ValueError.

    using        vectors to search, by their names; empty for those that fit the terms
    where        conditions, all of which a window has to meet
    limit        moments on a page (`group`: assets)
    cursor       where the page begins: `SearchAnswer.cursor` of the page before
    per_asset    moments of one asset, at most
    group        an asset's moments stand together, the best asset first
    words        whether windows that hold the very words are looked for, too
    fold_above   moments of other assets whose vectors have this cosine or more are folded into one,
                 with a count; None folds nothing
    exact        compares with every vector in full, whatever graph and quantization would do
    ranking      None for the one that ranks best
    """

    terms: tuple[Term, ...]
    using: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    limit: int = 10
    cursor: str = ""
    per_asset: int = 3
    group: bool = False
    words: bool = True
    fold_above: float | None = None
    exact: bool = False
    ranking: Ranking | None = None

    def __post_init__(self) -> None:
        if len(self.terms) > MOST_TERMS:
            raise ValueError(f"{len(self.terms)} terms, and {MOST_TERMS} at most")
        if not 1 <= self.limit <= MOST_MOMENTS:
            raise ValueError(f"limit is {self.limit}, not from 1 to {MOST_MOMENTS}")
        if not 1 <= self.per_asset <= 100:
            raise ValueError(f"per_asset is {self.per_asset}, not from 1 to 100")
        if self.fold_above is not None and not 0 < self.fold_above <= 1:
            raise ValueError(f"fold_above is {self.fold_above}, not above 0 and at most 1")
        if self.cursor:
            self.offset()

    def offset(self) -> int:
        """How many moments come before this page. Raises ValueError for a cursor of another
        question, or none."""
        if not self.cursor:
            return 0
        try:
            offset, digest = json.loads(base64.urlsafe_b64decode(self.cursor.encode()))
        except (ValueError, TypeError) as error:
            raise ValueError("the cursor is not one that a search gave") from error
        if digest != self._digest() or not isinstance(offset, int) or not 0 < offset <= DEEPEST:
            raise ValueError("the cursor is of another search")
        return offset

    def cursor_at(self, offset: int) -> str:
        """Of the page that begins there; empty where no cursor leads so far."""
        if offset > DEEPEST:
            return ""
        return base64.urlsafe_b64encode(json.dumps([offset, self._digest()]).encode()).decode()

    def _digest(self) -> str:
        """Of all but the page: what is asked may not change from page to page."""
        asked = replace(self, cursor="", limit=1)
        return hashlib.sha256(codec.to_bytes(asked, sort_keys=True)).hexdigest()[:16]


def asked(
    words: str | None = None,
    *,
    image: Path | None = None,
    audio: Path | None = None,
    video: Path | None = None,
    plus: str | None = None,
    minus: str | None = None,
    media_type: MediaType | None = None,
    using: tuple[str, ...] = (),
    limit: int = 10,
) -> SearchRequest:
    """The plain question: all that is given is added up, `minus` is taken away.

    Raises SettingsError where nothing is given."""
    files = ((TermKind.IMAGE, image), (TermKind.SOUND, audio), (TermKind.VIDEO, video))
    terms = [Term(TermKind.WORDS, words)] if words else []
    terms += [Term(kind, str(path)) for kind, path in files if path is not None]
    terms += [Term(TermKind.WORDS, plus)] if plus else []
    terms += [Term(TermKind.WORDS, minus, -1.0)] if minus else []
    where = (Condition("media_type", equals=str(media_type)),) if media_type else ()
    return request_of(terms=tuple(terms), using=using, where=where, limit=limit)


def request_of(**fields: object) -> SearchRequest:
    """A request, or SettingsError in place of the record's ValueError: for what a person typed."""
    try:
        request = SearchRequest(**fields)  # type: ignore[arg-type]
    except ValueError as error:
        raise SettingsError(f"The search: {error}.", remedy="See docs/query.md.") from error
    if not request.terms:
        raise SettingsError(
            "The search is empty.", remedy="Give words, --image, --audio, --video or --like."
        )
    return request
