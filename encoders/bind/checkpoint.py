"""A training that can be stopped: its state in one file, replaced whole after every epoch."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from encoders.errors import WeightsError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Resumable(Protocol):
    """A training as a file sees it."""

    @property
    def settings(self) -> DataclassInstance: ...

    def state(self) -> dict[str, object]: ...

    def restore(self, state: dict[str, object]) -> None: ...


def save_training(training: Resumable, path: Path) -> None:
    """Written beside and renamed, so that whoever pulls the plug keeps the epoch before."""
    state = {**training.state(), "settings": _settings(training)}
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    torch.save(state, fresh)
    fresh.replace(path)


def resume_training(training: Resumable, path: Path) -> None:
    """Go on from the file; no code in it runs. Raises WeightsError where it is of another run."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        settings = state["settings"]
    except (OSError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError, EOFError) as error:
        raise WeightsError(
            f"{path} cannot be read as a training: {type(error).__name__}.",
            remedy="Start again without --resume.",
        ) from error
    if settings != _settings(training):
        raise WeightsError(
            f"{path} was made with other settings: {settings}.",
            remedy=f"These are {_settings(training)}; give the same, or start again.",
        )
    try:
        training.restore(state)
    except (RuntimeError, KeyError, ValueError) as error:
        raise WeightsError(
            f"{path} is of another network: {str(error).splitlines()[0]}",
            remedy="Give the same encoder, or start again.",
        ) from error


def _settings(training: Resumable) -> str:
    """As text; the number of epochs shapes the learning rate, so it counts."""
    facts: dict[str, Any] = asdict(training.settings)
    return json.dumps(facts, sort_keys=True, default=str)
