"""Precisions of the arithmetic, and the record of which one a tower runs in. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from encoders.modality import Modality

Precision = Literal["auto", "fp32", "bf16", "int8"]
FULL = "fp32"
MIN_COSINE: Mapping[str, float] = {"bf16": 0.999, "int8": 0.99}
"""To float32, below which a tower does not run in that precision."""


@dataclass(frozen=True, slots=True)
class TowerPrecision:
    """`used` is `requested`, or fp32 where the proof failed; `cosine` is the proof's smallest to
    float32, None where nothing had to be proved; `device` is the kind of it that was tried."""

    encoder: str
    modality: Modality
    requested: str
    used: str
    cosine: float | None = None
    device: str = ""

    def __post_init__(self) -> None:
        if self.used not in (self.requested, FULL):
            raise ValueError(f"{self.used!r} was not requested, but {self.requested!r}")

    @property
    def fell_back(self) -> bool:
        return self.used != self.requested


def fall_back_lines(precisions: Sequence[TowerPrecision]) -> list[str]:
    """A sentence for each encoder of which towers run in float32 though less was requested."""
    by_encoder: dict[tuple[str, str, str], list[TowerPrecision]] = {}
    for one in precisions:
        if one.fell_back:
            by_encoder.setdefault((one.encoder, one.requested, one.device), []).append(one)
    return [
        f"{encoder}: {' and '.join(one.modality for one in some)} in float32, since {requested} "
        f"gave a cosine to it of {', '.join(_figure(one) for one in some)} on this "
        f"kind of device (at least {MIN_COSINE[requested]} is required)."
        for (encoder, requested, _), some in by_encoder.items()
    ]


def precision_summary(precisions: Sequence[TowerPrecision]) -> str:
    """`vision bf16 (0.9999), audio fp32 (bf16 gave 0.6012 to it)`."""
    return ", ".join(f"{one.modality} {_said(one)}" for one in precisions)


def _said(one: TowerPrecision) -> str:
    if one.requested == FULL:
        return FULL
    if one.fell_back:
        return f"{FULL} ({one.requested} gave {_figure(one)} to it)"
    return f"{one.used} ({'proved by the first load' if one.cosine is None else _figure(one)})"


def _figure(one: TowerPrecision) -> str:
    """Downwards, so that nothing below a bound is shown as if it met it."""
    return f"{math.floor((one.cosine or 0) * 1e4) / 1e4:.4f}"
