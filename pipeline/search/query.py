"""A search with its terms as vectors, and how they are made of words, a picture, a sound or a
video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.applications.arithmetic import weighted_sum
from encoders.errors import InputError
from encoders.modality import Modality
from encoders.preprocess.sampling import spread
from encoders.protocol import Encoder
from pipeline.errors import MediaRejected, SettingsError
from pipeline.index.conditions import Condition
from pipeline.media.sandbox.client import decode_in_child
from pipeline.media.window import Window
from pipeline.records import MediaType
from pipeline.search.request import Ranking
from pipeline.settings_embedding import DecodeSettings

# The first windows of a query's sound or video are averaged; a query is an example, not a film.
MAX_QUERY_WINDOWS = 15


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """One term of a query: a unit vector, the modality that it came from, and its weight. Terms of
    one `part` (a video's picture and its sound) are required together, as one."""

    modality: Modality
    vector: NDArray[np.float32]
    weight: float = 1.0
    label: str = ""
    required: bool = False
    part: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One vector to ask with, (D,) of unit length, over some of the collection's. `modality` is
    that of its terms, None where they are of several: its cosines are on no one scale then."""

    label: str
    vector: NDArray[np.float32]
    using: tuple[str, ...]
    modality: Modality | None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A weighted sum of terms, negative weights taken away, and terms that are required each;
    `using` names the vectors to search, `words` what is looked for by the word itself. The other
    fields are those of `SearchRequest`."""

    terms: tuple[QueryTerm, ...]
    using: tuple[str, ...]
    limit: int = 10
    media_type: MediaType | None = None
    where: tuple[Condition, ...] = ()
    offset: int = 0
    per_asset: int = 3
    group: bool = False
    words: tuple[str, ...] = ()
    fold_above: float | None = None
    exact: bool = False
    ranking: Ranking | None = None
    using_of_part: tuple[tuple[int, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        if not self.terms:
            raise SettingsError(
                "The search is empty.", remedy="Give words, --image, --audio or --video."
            )
        if not self.using:
            raise SettingsError(
                "The search names no vector.", remedy="Give --using vision,audio,text."
            )

    def conditions(self) -> tuple[Condition, ...]:
        """`where` and the media type."""
        if self.media_type is None:
            return self.where
        return (*self.where, Condition("media_type", equals=str(self.media_type)))

    def vector(self) -> NDArray[np.float32]:
        """(D,) of unit length: of all terms. Raises SettingsError where they cancel."""
        return _sum(self.terms)

    def questions(self) -> tuple[Question, ...]:
        """The sum, if something is in it, and each required term less what is taken away. Raises
        SettingsError where terms cancel."""
        away = [term for term in self.terms if term.weight < 0]
        summed = [term for term in self.terms if term.weight > 0 and not term.required]
        named = dict(self.using_of_part)
        found = []
        # With nothing but what is taken away, it is what is least like that.
        if summed or not any(term.required for term in self.terms):
            found.append(_question(summed, away, named.get(0) or self.using))
        required = [term for term in self.terms if term.required]
        for part in dict.fromkeys(term.part for term in required):
            together = [term for term in required if term.part == part]
            found.append(_question(together, away, named.get(part) or self.using, required=True))
        return tuple(found)


def _question(
    terms: Sequence[QueryTerm],
    away: Sequence[QueryTerm],
    using: tuple[str, ...],
    *,
    required: bool = False,
) -> Question:
    every = (*terms, *away)
    of = {term.modality for term in (terms or away)}
    label = " + ".join(dict.fromkeys(term.label for term in terms if term.label))
    label += "".join(dict.fromkeys(f" - {term.label}" for term in away if term.label))
    return Question(label, _sum(every), using, of.pop() if len(of) == 1 else None, required)


def _sum(terms: Sequence[QueryTerm]) -> NDArray[np.float32]:
    try:
        return weighted_sum((term.vector, term.weight) for term in terms)
    except InputError as error:
        raise SettingsError(f"The search: {error.message}", remedy=error.remedy) from error


def words_term(encoder: Encoder, words: str, weight: float = 1.0) -> QueryTerm:
    """The term of some words: (D,) of unit length, by the encoder's text tower."""
    return QueryTerm(Modality.TEXT, encoder.encode(Modality.TEXT, [words])[0], weight)


def file_terms(
    encoder: Encoder,
    path: Path,
    decode: DecodeSettings,
    *,
    modalities: Sequence[Modality],
    weight: float = 1.0,
) -> list[QueryTerm]:
    """A term for each of the modalities that the file has: the mean of its first windows.

    Raises SettingsError where the file is not media, or has none of the modalities.
    """
    terms = windows_terms(
        encoder, list(first_windows(path, decode)), modalities=modalities, weight=weight
    )
    if not terms:
        raise SettingsError(
            f"{path} has no {' or '.join(modalities)}.", remedy="Give a file that has."
        )
    return terms


def windows_terms(
    encoder: Encoder,
    windows: Sequence[Window],
    *,
    modalities: Sequence[Modality],
    weight: float = 1.0,
) -> list[QueryTerm]:
    """A term for each of the modalities that the windows have: the mean of their vectors."""
    terms = []
    for modality in modalities:
        there: list[NDArray[Any]]
        if modality is Modality.VISION:
            most = encoder.card.frames_per_clip
            there = [spread(w.frames, most) for w in windows if w.frames is not None]
        else:
            there = [w.sound for w in windows if w.sound is not None]
        if there:
            vectors = np.concatenate([encoder.encode(modality, array[None]) for array in there])
            mean = vectors.mean(0)
            terms.append(
                QueryTerm(modality, (mean / np.linalg.norm(mean)).astype(np.float32), weight)
            )
    return terms


def first_windows(path: Path, decode: DecodeSettings) -> Iterator[Window]:
    """Raises SettingsError where there is no file, or it is not media."""
    if not path.is_file():
        raise SettingsError(f"There is no file {path}.", remedy="Check the name.")
    try:
        windows = (item for item in decode_in_child(path, decode) if isinstance(item, Window))
        yield from islice(windows, MAX_QUERY_WINDOWS)
    except MediaRejected as error:
        raise SettingsError(
            f"{path} cannot be searched by: {error.message}",
            code=error.code,
            remedy="Give a picture, a sound or a video.",
        ) from error


def default_using(term: QueryTerm, *, meaningful: bool, names: Sequence[str]) -> tuple[str, ...]:
    """Which vectors a query goes against when nobody says: its own modality's; with an encoder that
    binds the modalities, words go against all of them."""
    if term.modality is Modality.TEXT and meaningful:
        return tuple(names)
    return tuple(name for name in names if name == term.modality)
