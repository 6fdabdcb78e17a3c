"""The card of an encoder: facts, frozen, with a fingerprint that is part of every generation."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

from encoders.modality import Modality

Family = Literal["imagebind", "frozen-in-time", "clip", "pe-av"]
# What changes how a vector is described, and not one digit of it.
WORDS = ("family", "title", "licence", "source", "paper", "needs", "shipped", "meaningful")


@dataclass(frozen=True, slots=True)
class EncoderCard:
    """`weights_digest` is `sha256:...` of a file or folder, or `seed:N`; `licence` is for a lawyer
    to read; `needs` says in words what has to be given with `--weights`, empty for nothing;
    `shipped` names weights that lie in this package.

    `meaningful` is False where the weights were never trained: such vectors find the same picture
    or sound again, and know nothing of what is in it.
    """

    name: str
    family: Family
    title: str
    modalities: tuple[Modality, ...]
    dimension: int
    licence: str
    source: str
    paper: str
    preprocessing_version: str
    weights_digest: str
    meaningful: bool
    needs: str = ""
    shipped: str = ""
    unit_length: bool = True
    image_size: int = 224
    frames_per_clip: int = 2
    sample_rate_hz: int = 16_000

    def __post_init__(self) -> None:
        if self.dimension <= 0 or not self.modalities:
            raise ValueError(f"card {self.name!r} has no dimension or no modality")

    def fingerprint(self) -> str:
        """16 hex digits that change with anything that changes a vector, and with nothing else."""
        facts = asdict(self)
        for words in WORDS:
            del facts[words]
        canonical = json.dumps(facts, sort_keys=True, default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def with_weights(self, digest: str, *, meaningful: bool) -> EncoderCard:
        """The same encoder with other weights: another space."""
        return replace(self, weights_digest=digest, meaningful=meaningful)
