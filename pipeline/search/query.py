"""A query as data, and how it is made of words, a picture, a sound or a video."""

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
from pipeline.media.sandbox.client import decode_in_child
from pipeline.media.window import Window
from pipeline.records import MediaType
from pipeline.settings_embedding import DecodeSettings

# The first windows of a query's sound or video are averaged; a query is an example, not a film.
MAX_QUERY_WINDOWS = 15


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What a person asks for; all that is given is added up, `minus` is taken away.
    `using` names the vectors to search, `media_type` the only type of media that may answer."""

    words: str | None = None
    image: Path | None = None
    audio: Path | None = None
    video: Path | None = None
    plus: str | None = None
    minus: str | None = None
    using: tuple[str, ...] = ()
    limit: int = 10
    media_type: MediaType | None = None


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """One term of a query: a unit vector, the modality that it came from, and its weight."""

    modality: Modality
    vector: NDArray[np.float32]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Query:
    """A weighted sum of terms, negative weights taken away; `using` names the vectors to search,
    `media_type` the only type of media that may answer."""

    terms: tuple[QueryTerm, ...]
    using: tuple[str, ...]
    limit: int = 10
    media_type: MediaType | None = None

    def __post_init__(self) -> None:
        if not self.terms:
            raise SettingsError(
                "The search is empty.", remedy="Give words, --image, --audio or --video."
            )
        if not self.using:
            raise SettingsError(
                "The search names no vector.", remedy="Give --using vision,audio,text."
            )

    def vector(self) -> NDArray[np.float32]:
        """(D,) of unit length. Raises SettingsError where the terms cancel."""
        try:
            return weighted_sum((term.vector, term.weight) for term in self.terms)
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
    windows = list(first_windows(path, decode))
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
    if not terms:
        raise SettingsError(
            f"{path} has no {' or '.join(modalities)}.", remedy="Give a file that has."
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
