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
from pipeline.settings import DecodeSettings

# The first windows of a query's sound or video are averaged; a query is an example, not a film.
MAX_QUERY_WINDOWS = 15


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks for; all that is given is added up. `among` is the only type of media that
    may answer."""

    words: str | None = None
    picture: Path | None = None
    sound: Path | None = None
    video: Path | None = None
    without: str | None = None
    over: tuple[str, ...] = ()
    limit: int = 10
    among: MediaType | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One term of a query: a unit vector, the sense that it came from, and its weight."""

    modality: Modality
    vector: NDArray[np.float32]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Query:
    """A weighted sum of parts, negative weights taken away; `over` names the vectors to search,
    `among` the only type of media that may answer."""

    parts: tuple[Part, ...]
    over: tuple[str, ...]
    limit: int = 10
    among: MediaType | None = None

    def __post_init__(self) -> None:
        if not self.parts:
            raise SettingsError(
                "The search is empty.", remedy="Give words, --picture, --sound or --video."
            )
        if not self.over:
            raise SettingsError(
                "The search names no vector.", remedy="Give --over vision,audio,text."
            )

    def vector(self) -> NDArray[np.float32]:
        """(D,) of unit length. Raises SettingsError where the terms cancel."""
        try:
            return weighted_sum((part.vector, part.weight) for part in self.parts)
        except InputError as error:
            raise SettingsError(f"The search: {error.message}", remedy=error.remedy) from error


def words_part(encoder: Encoder, words: str, weight: float = 1.0) -> Part:
    return Part(Modality.TEXT, encoder.encode(Modality.TEXT, [words])[0], weight)


def file_parts(
    encoder: Encoder,
    path: Path,
    decode: DecodeSettings,
    *,
    senses: Sequence[Modality],
    weight: float = 1.0,
) -> list[Part]:
    """A part for each of the senses that the file has: the mean of its first windows.

    Raises SettingsError where the file is not media, or has none of the senses.
    """
    windows = list(first_windows(path, decode))
    parts = []
    for sense in senses:
        there: list[NDArray[Any]]
        if sense is Modality.VISION:
            most = encoder.card.frames_per_clip
            there = [spread(w.frames, most) for w in windows if w.frames is not None]
        else:
            there = [w.sound for w in windows if w.sound is not None]
        if there:
            vectors = np.concatenate([encoder.encode(sense, array[None]) for array in there])
            mean = vectors.mean(0)
            parts.append(Part(sense, (mean / np.linalg.norm(mean)).astype(np.float32), weight))
    if not parts:
        raise SettingsError(f"{path} has no {' or '.join(senses)}.", remedy="Give a file that has.")
    return parts


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


def default_over(part: Part, *, meaningful: bool, names: Sequence[str]) -> tuple[str, ...]:
    """Which vectors a query goes against when nobody says: its own sense's; with an encoder that
    binds the senses, words go against all of them."""
    if part.modality is Modality.TEXT and meaningful:
        return tuple(names)
    return tuple(name for name in names if name == part.modality)
