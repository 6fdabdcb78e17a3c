"""Before anything is bound, the picture tower learns to tell the things apart.

ImageBind binds modalities to a picture tower that knows pictures already. One made from nothing
gets there by giving every thing a point of its own, free to move (a proxy; Movshovitz-Attias et
al., ICCV 2017), and drawing each picture to its thing's point, away from all others at once.
Pictures are varied little at first, and more the better they are told apart.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from encoders.bind.augment import some_tokens, torch_seed
from encoders.bind.inputs import Inputs
from encoders.bind.optimizers import height_at, load_optimizers, optimizers_for, step_by
from encoders.bind.pairs import Pair
from encoders.errors import InputError
from encoders.imagebind.model import ImageBind
from encoders.inputs import unit_length
from encoders.mini.init import spread
from encoders.modality import Modality

SCALE = 16.0
# How much of the running share of right answers one step is.
MEMORY = 0.02


@dataclass(frozen=True, slots=True)
class TellApartSettings:
    """`keep` is the share of patches that is computed, but in the last `whole` of the course, when
    all are (FLIP's unmasked tuning). While a share of `enough` is told right, every step adds
    `harder` to how far pictures are varied, from 0 to 1."""

    epochs: int = 300
    batch: int = 64
    learning_rate: float = 5e-4
    matrix_rate: float = 6e-3
    weight_decay: float = 0.05
    warm_up_share: float = 0.005
    keep: float = 0.7
    whole: float = 0.1
    enough: float = 0.6
    harder: float = 1.5e-3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Lesson:
    """An epoch: its mean loss, the share told right as seen in training, how far pictures were
    varied at its end (1: as far as they ever are), and its time."""

    number: int
    loss: float
    right: float
    level: float
    seconds: float


class TellingApart:
    """A network's picture tower, a point for each thing, and where in the course it is."""

    def __init__(
        self,
        model: ImageBind,
        settings: TellApartSettings,
        pairs: Sequence[Pair],
        inputs: Inputs,
    ) -> None:
        self.model = model
        self.settings = settings
        self._inputs = inputs
        # One picture a thing, whichever pair it comes from.
        self._pictures = list({pair.image: pair for pair in pairs}.values())
        if len(self._pictures) < settings.batch:
            raise InputError(
                f"{len(self._pictures)} pictures are fewer than a batch of {settings.batch}.",
                remedy="Give more pictures or a smaller batch.",
            )
        numbers = {t: i for i, t in enumerate(dict.fromkeys(p.thing for p in self._pictures))}
        self._things = torch.tensor([numbers[pair.thing] for pair in self._pictures])
        self.done_epochs = 0
        self._level = 0.0
        self._right = 0.0
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.split(".")[1] == Modality.VISION)
        self._points = nn.Parameter(self._first_points(len(numbers)))
        self._optimizers = optimizers_for(
            model,
            [self._points],
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            matrix_rate=settings.matrix_rate,
        )

    def epochs(self) -> Iterator[Lesson]:
        """Trains on, an epoch at a time, up to `settings.epochs`."""
        for number in range(self.done_epochs, self.settings.epochs):
            yield self._epoch(number)

    def _first_points(self, things: int) -> Tensor:
        """Where the spread-out tower puts a thing's picture is where its point begins."""
        plain = self._inputs.pictures(self._pictures, None)
        spread(self.model, Modality.VISION, plain)
        with torch.no_grad():
            seen = [self._embed(part) for part in plain.split(self.settings.batch)]
        points = torch.zeros(things, self.model.config.dimension)
        return points.index_add_(0, self._things, torch.cat(seen))

    def _epoch(self, number: int) -> Lesson:
        started = time.perf_counter()
        random = np.random.default_rng([self.settings.seed, number])
        torch_seed(random)
        size = self.settings.batch
        order = random.permutation(len(self._pictures))
        parts = np.array_split(order, max(1, round(len(order) / size)))
        losses, rights = [], []
        self.model.train()
        for step, part in enumerate(parts):
            progress = (number + step / len(parts)) / self.settings.epochs
            keep = self.settings.keep if progress < 1 - self.settings.whole else 1.0
            loss, right = self._told(part, keep, random)
            height = height_at(progress, self.settings.warm_up_share)
            step_by(self._optimizers, self.model, loss, height)
            losses.append(float(loss.detach()))
            rights.append(right)
            self._right += MEMORY * (right - self._right)
            if self._right > self.settings.enough:
                self._level = min(1.0, self._level + self.settings.harder)
        self.model.eval()
        self.done_epochs = number + 1
        seconds = time.perf_counter() - started
        return Lesson(
            number + 1, float(np.mean(losses)), float(np.mean(rights)), self._level, seconds
        )

    def _told(
        self, part: NDArray[np.int64], keep: float, random: Generator
    ) -> tuple[Tensor, float]:
        batch = [self._pictures[i] for i in part]
        seen = self._embed(self._inputs.pictures(batch, random, level=self._level), keep)
        logits = SCALE * seen @ F.normalize(self._points, dim=-1).T
        things = self._things[torch.as_tensor(part)]
        right = float((logits.detach().argmax(1) == things).float().mean())
        return F.cross_entropy(logits, things), right

    def _embed(self, pictures: Tensor, keep: float = 1.0) -> Tensor:
        kept = some_tokens(len(pictures), (self.model.config.image_size // 14) ** 2, keep)
        return unit_length(
            self.model.tower(Modality.VISION, pictures, keep=kept), "The picture tower"
        )

    def state(self) -> dict[str, object]:
        """Tensors and numbers alone, so that it loads without running code."""
        return {
            "model": self.model.state_dict(),
            "points": self._points.detach(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "epochs": self.done_epochs,
            "level": self._level,
            "right": self._right,
        }

    def restore(self, state: dict[str, object]) -> None:
        """Goes on from what `state` gave; the settings must be the same."""
        self.model.load_state_dict(state["model"])  # type: ignore[arg-type]
        with torch.no_grad():
            self._points.copy_(state["points"])  # type: ignore[arg-type]
        load_optimizers(self._optimizers, state["optimizers"])
        self.done_epochs = int(str(state["epochs"]))
        self._level = float(str(state["level"]))
        self._right = float(str(state["right"]))
