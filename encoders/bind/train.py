"""Training by symmetric InfoNCE on pairs with pictures, one modality at a time or mixed.

A step takes a batch of pairs of one modality; modalities take turns by how many pairs they have.
The picture's tower, and the text's, may be frozen: then what is learned is bound to what they know.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn

from encoders.bind.augment import some_tokens, torch_seed
from encoders.bind.inputs import Inputs
from encoders.bind.loss import info_nce
from encoders.bind.optimizers import height_at, load_optimizers, optimizers_for, step_by
from encoders.bind.pairs import Pair
from encoders.errors import InputError
from encoders.imagebind.model import ImageBind
from encoders.inputs import unit_length
from encoders.modality import Modality

MAX_SCALE = 100.0
AUDIO_PATCHES = 12 * 19


@dataclass(frozen=True, slots=True)
class BindSettings:
    """`learning_rate` is AdamW's at its height: three times this one collapsed a network of 192
    wide, every vector the same (`Epoch.alike` near 1). `frozen` towers are not changed.
    `matrix_rate` above nought gives the blocks' matrices to Muon, at that rate (`muon.py`).
    `scales`: what cosines are multiplied by, for each modality, to begin with; `learn_scales` lets
    them move. Where vision is frozen, `views` above nought looks at each picture so many times and
    keeps the vectors: an epoch then costs what is learned alone. `keep` is the share of patches of
    a sound that is computed. `seed` gives the same run."""

    epochs: int = 30
    batch: int = 128
    learning_rate: float = 3e-4
    weight_decay: float = 0.05
    matrix_rate: float = 0.0
    warm_up_share: float = 0.05
    frozen: tuple[Modality, ...] = ()
    scales: dict[Modality, float] = field(default_factory=dict)
    learn_scales: bool = True
    views: int = 0
    keep: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2 or not self.learning_rate > 0:
            raise InputError(
                f"{self.epochs} epochs of batches of {self.batch} at {self.learning_rate}.",
                remedy="One epoch, two pairs a batch and a rate above nought are the least.",
            )


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch came to; `number` counts from 1. `alike` is the mean cosine between vectors of
    different things, by modality: near 1, the network says the same of everything."""

    number: int
    steps: int
    loss: dict[Modality, float]
    alike: dict[Modality, float]
    scales: dict[Modality, float]
    seconds: float


class Training:
    """A network, its optimizer, and where in the run it is. `state` and `restore` make it last."""

    def __init__(
        self, model: ImageBind, settings: BindSettings, modalities: Sequence[Modality]
    ) -> None:
        missing = [m for m in (Modality.VISION, *modalities) if m not in model.config.towers]
        if missing:
            raise InputError(
                f"The network has no tower for {', '.join(missing)}.",
                remedy=f"It has {', '.join(model.config.towers)}.",
            )
        fixed = [m for m in modalities if {Modality.VISION, m} <= set(settings.frozen)]
        if fixed:
            raise InputError(
                f"With vision, {', '.join(fixed)} is frozen too: there is nothing to learn.",
                remedy="Leave its pairs out, or freeze one side only.",
            )
        self.model = model
        self.settings = settings
        self.done_epochs = 0
        self._views: dict[Path, Tensor] = {}
        start = {m: settings.scales.get(m, 1 / 0.07) for m in modalities}
        self._scales = nn.ParameterDict(
            {str(m): nn.Parameter(torch.tensor(math.log(v))) for m, v in start.items()}
        )
        self._scales.requires_grad_(settings.learn_scales)
        for name, parameter in model.named_parameters():
            modality = name.split(".")[1]
            parameter.requires_grad_(modality not in settings.frozen)
        self._optimizers = optimizers_for(
            model,
            self._scales.parameters(),
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            matrix_rate=settings.matrix_rate,
        )

    def epochs(self, pairs: Sequence[Pair], inputs: Inputs) -> Iterator[Epoch]:
        """Trains on, an epoch at a time, up to `settings.epochs`. Raises InputError."""
        for number in range(self.done_epochs, self.settings.epochs):
            yield self._epoch(number, pairs, inputs)

    def _epoch(self, number: int, pairs: Sequence[Pair], inputs: Inputs) -> Epoch:
        started = time.perf_counter()
        # Of the epoch's own: whoever resumes draws the same as whoever never stopped.
        random = np.random.default_rng([self.settings.seed, number])
        torch_seed(random)
        steps = list(_batches(pairs, self.settings.batch, random))
        if not steps:
            raise InputError("No modality has two pairs.", remedy="Give more pairs.")
        losses: dict[Modality, list[float]] = {}
        likeness: dict[Modality, list[float]] = {}
        self.model.train()
        for step, (modality, batch) in enumerate(steps):
            progress = (number + step / len(steps)) / self.settings.epochs
            loss, alike = self._loss(modality, batch, inputs, random)
            height = height_at(progress, self.settings.warm_up_share)
            step_by(self._optimizers, self.model, loss, height)
            losses.setdefault(modality, []).append(float(loss.detach()))
            likeness.setdefault(modality, []).append(alike)
        self.model.eval()
        self.done_epochs = number + 1
        means = {m: float(np.mean(values)) for m, values in losses.items()}
        if not all(math.isfinite(value) for value in means.values()):
            raise InputError(
                f"The loss of epoch {number + 1} is not finite.", remedy="Lower the learning rate."
            )
        scales = {m: float(self._scale(m).detach()) for m in means}
        alikes = {m: float(np.mean(values)) for m, values in likeness.items()}
        seconds = time.perf_counter() - started
        return Epoch(number + 1, len(steps), means, alikes, scales, seconds)

    def _loss(
        self, modality: Modality, batch: Sequence[Pair], inputs: Inputs, random: Generator
    ) -> tuple[Tensor, float]:
        seen = self._seen(batch, inputs, random)
        other = self._embed(modality, inputs.others(modality, batch, random))
        same = torch.tensor([pair.thing for pair in batch])
        rows = other.detach()
        total = float((rows.sum(0) @ rows.sum(0)) - len(rows))
        alike = total / (len(rows) * (len(rows) - 1))
        return info_nce(seen, other, self._scale(modality), same), alike

    def _seen(self, batch: Sequence[Pair], inputs: Inputs, random: Generator) -> Tensor:
        views = self.settings.views
        if not views or Modality.VISION not in self.settings.frozen:
            return self._embed(Modality.VISION, inputs.pictures(batch, random))
        for pair in batch:
            if pair.image not in self._views:
                # Of the picture's own: the order in which pictures come must not matter.
                own = np.random.default_rng([self.settings.seed, crc32(pair.image.name.encode())])
                pictures = inputs.pictures([pair] * views, own)
                self._views[pair.image] = self._embed(Modality.VISION, pictures)
        chosen = random.integers(0, views, len(batch))
        return torch.stack(
            [self._views[pair.image][i] for pair, i in zip(batch, chosen, strict=True)]
        )

    def _embed(self, modality: Modality, batch: Tensor) -> Tensor:
        kept = None
        if modality is Modality.AUDIO:
            kept = some_tokens(len(batch), AUDIO_PATCHES, self.settings.keep)
        with torch.set_grad_enabled(modality not in self.settings.frozen):
            return unit_length(self.model.tower(modality, batch, keep=kept), "The network")

    def _scale(self, modality: Modality) -> Tensor:
        scale: Tensor = self._scales[str(modality)].exp().clamp(max=MAX_SCALE)
        return scale

    def state(self) -> dict[str, object]:
        """Tensors and numbers alone, so that it loads without running code."""
        return {
            "model": self.model.state_dict(),
            "scales": self._scales.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "epochs": self.done_epochs,
        }

    def restore(self, state: dict[str, object]) -> None:
        """Goes on from what `state` gave; the settings must be the same."""
        self.model.load_state_dict(state["model"])  # type: ignore[arg-type]
        self._scales.load_state_dict(state["scales"])  # type: ignore[arg-type]
        load_optimizers(self._optimizers, state["optimizers"])
        self.done_epochs = int(str(state["epochs"]))


def _batches(
    pairs: Sequence[Pair], size: int, random: Generator
) -> Iterator[tuple[Modality, list[Pair]]]:
    """Each pair once, batches of one modality each, in mixed order; a rest of one is left out."""
    made: list[tuple[Modality, list[Pair]]] = []
    for modality in sorted({pair.modality for pair in pairs}):
        mine = [pair for pair in pairs if pair.modality is modality]
        order = random.permutation(len(mine))
        count = max(1, round(len(mine) / size))
        parts = [[mine[i] for i in part] for part in np.array_split(order, count)]
        made += [(modality, part) for part in parts if len(part) > 1]
    yield from (made[i] for i in random.permutation(len(made)))
