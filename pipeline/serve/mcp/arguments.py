"""Arguments of the tools: records that check themselves, whose JSON schemas and descriptions are
all that an agent knows of them. They become the `SearchRequest` of the HTTP API.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from pipeline import codec
from pipeline.index.conditions import ALIASES, OF_READERS, Condition
from pipeline.search.request import MOST_TERMS, SearchRequest, Term, TermKind
from pipeline.serve.problems import RequestRefused
from pipeline.serve.routes_search import MOST_CONDITIONS, conditions
from pipeline.serve.service import made

MOST_MOMENTS = 100  # more is not read by a model, but paid for
MOST_WINDOWS = 500
MOST_MS = 10**9
SEE = "The tool's input schema says what it may be."

Where = Annotated[
    tuple[str, ...],
    Field(
        max_length=MOST_CONDITIONS,
        description="Conditions, all of which a moment must meet, each one text: FIELD SIGN VALUE. "
        "Signs are = (commas for any of several values), != , >=, <=, >, < and, for keys, ^= "
        "(begins with). Examples: type=video ; type=image,audio ; tag=dog ; duration<5min ; "
        "size>=10MB ; date>=2026-11-01 ; date=2026-11 ; time=1:00..2:00 (where in the asset) ; "
        "has_audio=true ; key^=films/ ; word=img_2041 (the very word, in its name or text). Short "
        f"names: {', '.join(f'{short} for {name}' for short, name in ALIASES.items())}. Fields: "
        f"{', '.join(sorted(OF_READERS))}.",
    ),
]
Cursor = Annotated[
    str,
    Field(
        max_length=200,
        description="For the next page: the `cursor` of the answer before, with the same other "
        "arguments. Empty for the first page.",
    ),
]
AssetId = Annotated[
    str, Field(min_length=1, max_length=200, description="The `asset_id` of a moment or an asset.")
]
Moments = Annotated[
    int, Field(ge=1, le=MOST_MOMENTS, description="Moments on a page, the best first.")
]


@dataclass(frozen=True, slots=True)
class TermGiven:
    """A part of the question. Parts are added up by their weights."""

    value: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2000,
            description="For kind `words`: what is seen or heard, in a few plain words, as a "
            "caption would say it (`a dog barks`, `rain on a window`). For kind `point`: a stored "
            "moment, ASSET@TIME, of an asset_id or a key and a time in it (`films/park.mp4@1:12`, "
            "`films/park.mp4@72s`): what is like it is found.",
        ),
    ]
    kind: Annotated[
        Literal["words", "point"],
        Field(description="What `value` is. Files and addresses cannot be searched by."),
    ] = "words"
    weight: Annotated[
        float,
        Field(
            ge=-100,
            le=100,
            description="How much it counts. Below 0 it is a minus term: what is like it ranks "
            "lower (people, with -1: the same without people). It shifts the question and excludes "
            "nothing; to exclude, use `where`. Not 0.",
        ),
    ] = 1.0
    required: Annotated[
        bool,
        Field(
            description="Ask for this term by itself, too: a moment counts by the weakest of its "
            "required terms, so that one holds a dog AND rain, not much of one. Not with a weight "
            "below 0."
        ),
    ] = False


@dataclass(frozen=True, slots=True)
class SearchMomentsGiven:
    """The arguments of `search_moments`."""

    terms: Annotated[
        tuple[TermGiven, ...],
        Field(min_length=1, max_length=MOST_TERMS, description="What is searched for."),
    ]
    where: Where = ()
    limit: Moments = 10
    cursor: Cursor = ""
    per_asset: Annotated[int, Field(ge=1, le=100, description="Moments of one asset, at most.")] = 3
    group: Annotated[
        bool,
        Field(description="An asset's moments stand together; `limit` counts assets, not moments."),
    ] = False
    fold_above: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="Fold near-duplicates in other assets into one moment: those whose vectors "
            "have this cosine or more (0.98 does well). null folds nothing.",
        ),
    ] = None

    def request(self) -> SearchRequest:
        """Raises RequestRefused that names what is wrong."""
        return made(
            lambda: SearchRequest(
                tuple(
                    Term(TermKind(term.kind), term.value, term.weight, term.required)
                    for term in self.terms
                ),
                where=conditions(list(self.where)),
                limit=self.limit,
                cursor=self.cursor,
                per_asset=self.per_asset,
                group=self.group,
                fold_above=self.fold_above,
            )
        )


@dataclass(frozen=True, slots=True)
class GetAssetGiven:
    """The arguments of `get_asset`."""

    asset_id: AssetId
    limit: Annotated[
        int, Field(ge=0, le=MOST_WINDOWS, description="Windows to list; 0 for none.")
    ] = 50
    cursor: Cursor = ""


@dataclass(frozen=True, slots=True)
class SimilarGiven:
    """The arguments of `similar`."""

    asset_id: AssetId
    at_ms: Annotated[
        int,
        Field(
            ge=0,
            le=MOST_MS,
            description="A time in that asset, in milliseconds, such as a moment's `best_ms`.",
        ),
    ] = 0
    where: Where = ()
    limit: Moments = 10
    cursor: Cursor = ""

    def conditions(self) -> tuple[Condition, ...]:
        """Raises RequestRefused that names what is wrong."""
        return conditions(list(self.where))


def schema_of(kind: type[Any]) -> dict[str, Any]:
    """The JSON schema of the arguments, which names every field that is taken."""
    found = TypeAdapter(kind).json_schema()
    for one in (found, *found.get("$defs", {}).values()):
        one["additionalProperties"] = False
    return found


def given(kind: type[Any], arguments: str) -> Any:
    """The record of that JSON. Raises RequestRefused that names the field."""
    try:
        return codec.from_bytes(kind, arguments)
    except ValueError as error:
        raise RequestRefused(f"{error}.", remedy=SEE) from error
