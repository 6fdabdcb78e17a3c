"""Numbers of decoders and encoders: with how many a graph begins, and how many it may come to.

Ray makes the pool larger whose stage lags, never smaller than it began, and waits for ever for what
the cluster does not have: so a graph begins with half of what balances its stages, and the rest of
the cluster is for whichever turns out to need it. What balances them is told by what the last run
took, else by what was measured here for such media. Pure: no Ray, no clock, no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

USUAL_DECODE_SHARE = 0.75
"""Of the work of both stages, where nothing is known: every fourth core encodes."""

GPUS_PER_WRITER = 4
"""One writer takes what some six of the largest GPUs give (docs/performance.md); CPUs give it a
hundredth of that."""

_MINI_WINDOW_MS = 10.8
_PICTURE_MS = 4.8
_FILM_WINDOW_MS = {"exact": 174.0, "keyframes": 44.0, "keyframes_only": 48.0}
"""Milliseconds of a core, by docs/performance.md: the small encoder's for a window, Pillow's for a
picture, and a decoder's for two seconds of 1080p at GOP 60."""

FILMS_FROM_BYTES = 4 * 2**20
"""A mean object of more is taken for a film: at 5 Mbit/s, one of seven seconds."""

MOST_ENCODERS_PER_GPU = 4
_SMALLEST_GPU_BYTES = 16 * 10**9
_GPU_BYTES_OF_A_PROCESS = 10**9
_GPU_BYTES_OVER_WEIGHTS = 4
"""Ray does not say how much memory a GPU has: of those that are worth it, 16 GB is the least. CUDA
takes some of it in each process; a batch's activations are taken for three times the weights."""


@dataclass(frozen=True, slots=True)
class Pools:
    """The actors of a graph, as it begins; `most_*`, where they are above 0, to how many Ray may
    make them. `cpus_each` is less than one where not even two fit; `gpus_each` where several
    encoders share a GPU; `writers` are on the driver's node."""

    decoders: int
    encoders: int
    on_gpu: bool
    cpus_each: float = 1.0
    writers: int = 1
    most_decoders: int = 0
    most_encoders: int = 0
    gpus_each: float = 1.0

    def __post_init__(self) -> None:
        for least, most in (
            (self.decoders, self.most_decoders),
            (self.encoders, self.most_encoders),
        ):
            if least < 1 or 0 < most < least:
                raise ValueError(f"a pool of {least} to {most} actors")


def decode_share(
    objects: int,
    size_bytes: int,
    sampling: Literal["exact", "keyframes", "keyframes_only"],
    encoder: str,
) -> float:
    """Of the work of decoding and encoding, decoding's part of 1, by what was measured."""
    if encoder != "sensedex-mini" or not objects:
        return USUAL_DECODE_SHARE
    films = size_bytes / objects >= FILMS_FROM_BYTES
    decode_ms = _FILM_WINDOW_MS[sampling] if films else _PICTURE_MS
    return decode_ms / (decode_ms + _MINI_WINDOW_MS)


def encoders_per_gpu(weights_bytes: int | None) -> int:
    """One where the weights are large or not known: each encoder holds them."""
    if weights_bytes is None:
        return 1
    each = _GPU_BYTES_OF_A_PROCESS + _GPU_BYTES_OVER_WEIGHTS * weights_bytes
    return max(1, min(MOST_ENCODERS_PER_GPU, _SMALLEST_GPU_BYTES // each))


def fitting(
    decoders: int,
    encoders: int,
    *,
    cpus: float,
    gpus: int | None,
    writer_cores: int = 1,
    share: float = USUAL_DECODE_SHARE,
    per_gpu: int = 1,
) -> Pools:
    """`decoders` and `encoders` are the most that there may be, 0 for as many as there is room for;
    `gpus` is None where encoders take a CPU each. `share` is decoding's part of the work, `per_gpu`
    how many encoders may share a GPU. `writer_cores` are the driver's node's, where the writers
    are."""
    if gpus is not None:
        return _beside_gpus(decoders, encoders, cpus, max(1, gpus), writer_cores, per_gpu)
    if cpus < 2:
        return Pools(1, 1, False, max(cpus, 0.02) / 2)
    room = int(cpus)
    balanced = max(1, min(room - 1, round(share * room)))
    least_decoders = _at_most(max(1, balanced // 2), decoders)
    least_encoders = _at_most(max(1, (room - balanced) // 2), encoders)
    return Pools(
        least_decoders,
        least_encoders,
        False,
        most_decoders=_at_most(room - least_encoders, decoders),
        most_encoders=_at_most(room - least_decoders, encoders),
    )


def _beside_gpus(
    decoders: int, encoders: int, cpus: float, gpus: int, writer_cores: int, per_gpu: int
) -> Pools:
    """All CPUs decode: encoders take none of them. Encoders that share are all there from the
    beginning: Ray fills one GPU with them before it takes the next, which would do nothing."""
    sharing = per_gpu if not encoders else 1
    used = _at_most(gpus, encoders)
    return Pools(
        _at_most(max(1, int(cpus)), decoders),
        used * sharing,
        True,
        1.0 if cpus >= 1 else max(cpus, 0.01),
        max(1, min(-(-used // GPUS_PER_WRITER), writer_cores)),
        gpus_each=1 / sharing,
    )


def _at_most(number: int, most: int) -> int:
    return min(number, most) if most else number
