"""Zero-shot classification: any modality against words (ImageBind, section 4.1; CLIP, 2021).

A label's vector is the mean of its prompts' (a prompt is a template with the label in it); a score
is the softmax over labels of scaled cosines, so the scores of one vector add up to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import InputError
from encoders.modality import Modality
from encoders.protocol import Encoder

TEMPLATES = ("{}", "a photo of a {}.", "the sound of a {}.")
# The scale at which ImageBind's and CLIP's text towers were trained to end.
SCALE = 100.0


@dataclass(frozen=True, slots=True)
class Tag:
    """A label that a vector was given, and its share of the softmax."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Labels:
    """What to look for: words, and their vectors (L, D), each of unit length."""

    names: tuple[str, ...]
    vectors: NDArray[np.float32]

    def scores(self, vectors: NDArray[np.float32], scale: float = SCALE) -> NDArray[np.float32]:
        """(N, D) unit vectors to (N, L), each row adding up to 1. Raises InputError."""
        if vectors.ndim != 2 or vectors.shape[1] != self.vectors.shape[1]:
            raise InputError(
                f"Vectors are {vectors.shape}.",
                remedy=f"The labels' space has {self.vectors.shape[1]} dimensions.",
            )
        return softmax(scale * (vectors @ self.vectors.T))

    def tags(
        self,
        vectors: NDArray[np.float32],
        *,
        scale: float = SCALE,
        at_least: float = 0.2,
        most: int = 5,
    ) -> list[tuple[Tag, ...]]:
        """For each vector the labels with that share or more, the best first."""
        found = []
        for row in self.scores(vectors, scale):
            best = [int(i) for i in np.argsort(-row, kind="stable")[:most] if row[i] >= at_least]
            found.append(tuple(Tag(self.names[i], round(float(row[i]), 4)) for i in best))
        return found


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """(N, L) to (N, L), each row adding up to 1; in float64, so that no row overflows."""
    wide = logits.astype(np.float64)
    shares = np.exp(wide - wide.max(1, keepdims=True))
    parts: NDArray[np.float32] = (shares / shares.sum(1, keepdims=True)).astype(np.float32)
    return parts


def embed_labels(
    encoder: Encoder, names: Sequence[str], templates: Sequence[str] = TEMPLATES
) -> Labels:
    """The labels' vectors, by the encoder's text tower. Raises InputError."""
    if not names or not templates or len(set(names)) != len(names):
        raise InputError(
            f"{len(names)} labels and {len(templates)} templates.",
            remedy="Give one of each at least, and no label twice.",
        )
    wrong = [template for template in templates if template.count("{}") != 1]
    if wrong:
        raise InputError(
            f"Template {wrong[0]!r} has no single place for a label.", remedy="Write {} in it once."
        )
    prompts = [template.replace("{}", name) for name in names for template in templates]
    rows = encoder.encode(Modality.TEXT, prompts)
    means = rows.reshape(len(names), len(templates), -1).astype(np.float64).mean(1)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return Labels(tuple(names), (means / lengths).astype(np.float32))
