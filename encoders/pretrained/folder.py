"""A model's folder as its hub has it: what its configuration says, and its parts, opened."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError

from encoders.card import EncoderCard
from encoders.errors import WeightsError

T = TypeVar("T")
MODEL_TYPES = {
    "clip": ("clip", "siglip", "siglip2"),
    "pe-av": ("pe_audio_video",),
}


def read_json(path: Path) -> dict[str, Any]:
    """Raises WeightsError that names the file."""
    try:
        loaded = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{path} cannot be read: {error}", remedy="Name a complete model's folder."
        ) from error
    if not isinstance(loaded, dict):
        raise WeightsError(f"{path} is not an object.", remedy="Name a complete model's folder.")
    return loaded


def shape_of(card: EncoderCard, folder: Path) -> EncoderCard:
    """The card with the folder's own dimension and picture size. Raises WeightsError."""
    if not folder.is_dir():
        raise WeightsError(f"There is no folder {folder}.", remedy=f"Give {card.needs}.")
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    wanted = MODEL_TYPES[card.family]
    if kind not in wanted:
        raise WeightsError(
            f"{folder} holds a model of type {kind!r}.",
            remedy=f"{card.name} takes {', '.join(wanted)}.",
        )
    text = config.get("text_config") or {}
    if kind == "clip":
        dimension = config.get("projection_dim", card.dimension)
    elif kind == "pe_audio_video":
        dimension = text.get("hidden_size", card.dimension)
    else:
        dimension = text.get("projection_size") or text.get("hidden_size", 768)
    size = (config.get("vision_config") or {}).get("image_size", card.image_size)
    return replace(card, dimension=int(dimension), image_size=int(size))


def opened(folder: Path, what: str, load: Callable[[], T]) -> T:
    """Run a loader of the library, without its bars and prints; its errors become WeightsError."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with redirect_stdout(io.StringIO()):
            return load()
    except ImportError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise WeightsError(
            f"The {what} of {folder} needs a package: {lines[0] if lines else error}",
            remedy="pip install 'sensedex[pe-av]'.",
        ) from error
    except (
        SafetensorError,
        OSError,
        ValueError,
        KeyError,
        RuntimeError,
        TypeError,
    ) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"The {what} of {folder} cannot be loaded: {first}",
            remedy="Name a complete model's folder; nothing is downloaded.",
        ) from error
