"""Measures how well modalities find each other, pairs that were never trained included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from encoders.bind.inputs import Inputs
from encoders.bind.pairs import Pair
from encoders.bind.recall import Recall, recalls
from encoders.imagebind.model import ImageBind
from encoders.modality import Modality

BATCH = 64


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Queries of one modality against answers of another. `emergent`: no such pair was trained."""

    query: Modality
    answer: Modality
    emergent: bool
    recalls: tuple[Recall, ...]

    def __str__(self) -> str:
        shares = ", ".join(f"@{r.k} {r.share:.2f}" for r in self.recalls)
        return f"{self.query} -> {self.answer}{' (emergent)' if self.emergent else ''} {shares}"


def evaluate(
    model: ImageBind,
    pairs: Sequence[Pair],
    inputs: Inputs,
    *,
    random: Generator | None = None,
    ks: Sequence[int] = (1, 5, 10),
) -> tuple[Retrieval, ...]:
    """Every modality of the pairs against every other. Pictures, each once, and what stands beside
    them are taken plain, or augmented where a generator is given. A query without an answer in the
    other modality is left out."""
    things, rows = _embedded(model, pairs, inputs, random)
    found = []
    for query, answer in permutations(rows, 2):
        there = set(things[answer])
        kept = [i for i, thing in enumerate(things[query]) if thing in there]
        if not kept:
            continue
        emergent = Modality.VISION not in (query, answer)
        asked = [things[query][i] for i in kept]
        found.append(
            Retrieval(
                query,
                answer,
                emergent,
                recalls(rows[query][kept], rows[answer], asked, things[answer], ks),
            )
        )
    return tuple(found)


def _embedded(
    model: ImageBind, pairs: Sequence[Pair], inputs: Inputs, random: Generator | None
) -> tuple[dict[Modality, list[int]], dict[Modality, NDArray[np.float32]]]:
    by_modality: dict[Modality, list[Pair]] = {}
    for pair in pairs:
        by_modality.setdefault(pair.modality, []).append(pair)
    # One picture a thing, whichever pair it comes from.
    by_modality[Modality.VISION] = list({pair.thing: pair for pair in pairs}.values())
    things = {m: [pair.thing for pair in mine] for m, mine in by_modality.items()}
    rows = {}
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for modality, mine in by_modality.items():
            parts = []
            for start in range(0, len(mine), BATCH):
                some = mine[start : start + BATCH]
                if modality is Modality.VISION:
                    batch = inputs.pictures(some, random)
                else:
                    batch = inputs.others(modality, some, random)
                parts.append(model.embed(modality, batch))
            rows[modality] = torch.cat(parts).numpy()
    model.train(was_training)
    return things, rows
