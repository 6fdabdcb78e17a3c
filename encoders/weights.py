"""Checkpoints: read without running code, checked against the network, written as safetensors."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from encoders.errors import WeightsError

NAMES_SHOWN = 5
NO_WEIGHTS = "Give a .safetensors file, or a .pth that holds tensors by name."


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name, memory-mapped, from `.safetensors` or what `torch.save` wrote.

    A pickle's classes that are not torch's own are replaced by one that does nothing: published
    checkpoints carry objects of their trainers, and nothing in a file may run. `module.` before
    every name, as DataParallel leaves it, is taken off. Raises WeightsError that names the file.
    """
    if not path.is_file():
        raise WeightsError(
            f"There is no weights file {path}.", remedy="Check encode.weights, or --weights."
        )
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        loaded = _unpickled(path)
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        IndexError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path} cannot be read as weights: {reason}", remedy=NO_WEIGHTS
        ) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not loaded:
        raise WeightsError(f"{path} does not hold a state dict.", remedy=NO_WEIGHTS)
    strange = [name for name, value in loaded.items() if not isinstance(value, Tensor)]
    if strange:
        raise WeightsError(
            f"{path} does not hold a state dict: {_some(strange)} of it are no tensors.",
            remedy=NO_WEIGHTS,
        )
    parallel = all(str(name).startswith("module.") for name in loaded)
    return {str(n).removeprefix("module.") if parallel else str(n): t for n, t in loaded.items()}


class _Inert:
    """What a foreign class in a pickle becomes: takes anything, does nothing."""

    def __new__(cls, *_args: object, **_kwargs: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


def _unpickled(path: Path) -> object:
    if not zipfile.is_zipfile(path):  # the form before torch 1.6 cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True)
    foreign = get_unsafe_globals_in_checkpoint(str(path))
    with safe_globals([(_Inert, name) for name in foreign]):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def load_into(
    model: nn.Module,
    state: Mapping[str, Tensor],
    where: str,
    beside: Callable[[str], bool] | None = None,
) -> None:
    """Give the network its weights, without a copy. `beside` says which extra names are expected
    (towers that are not built). Raises WeightsError as `check_fit` does."""
    check_fit(model, state, where, beside)
    model.load_state_dict({name: state[name] for name in model.state_dict()}, assign=True)


def check_fit(
    model: nn.Module,
    state: Mapping[str, Tensor],
    where: str,
    beside: Callable[[str], bool] | None = None,
) -> None:
    """Raises WeightsError that names the first five tensors that are missing, of another shape, or
    not the network's; nothing is copied."""
    wanted = model.state_dict()
    missing = [name for name in wanted if name not in state]
    if missing:
        raise WeightsError(
            f"{where} lacks {len(missing)} of {len(wanted)} tensors, among them {_some(missing)}.",
            remedy="It is the checkpoint of another network; choose the encoder that it is of.",
        )
    wrong = [
        f"{name} is {tuple(state[name].shape)} and should be {tuple(wanted[name].shape)}"
        for name in wanted
        if state[name].shape != wanted[name].shape
    ]
    if wrong:
        raise WeightsError(
            f"{where}: {len(wrong)} of {len(wanted)} tensors have another shape: {_some(wrong)}.",
            remedy="It is the checkpoint of another size; choose the encoder that it is of.",
        )
    extra = [n for n in state if n not in wanted and not (beside is not None and beside(n))]
    if extra:
        raise WeightsError(
            f"{where} has {len(extra)} tensors too many, among them {_some(extra)}.",
            remedy="It is the checkpoint of another network; choose the encoder that it is of.",
        )


def to_safetensors(state: Mapping[str, Tensor], path: Path, dtype: torch.dtype) -> None:
    """Write the tensors in one floating-point dtype; whole numbers keep theirs."""
    converted = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().clone()
        for name, tensor in state.items()
    }
    save_file(converted, path)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
