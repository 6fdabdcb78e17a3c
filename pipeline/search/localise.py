"""Prepares a localisation: an ImageBind network, the picture upright, and a query vector."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.modality import Modality
from pipeline.errors import SettingsError
from pipeline.models.spaces import load_imagebind
from pipeline.search.query import file_terms, first_windows, words_term
from pipeline.settings import Settings

if TYPE_CHECKING:
    from encoders.imagebind.model import ImageBind


@dataclass(frozen=True, slots=True)
class LookFor:
    """One of them is given."""

    words: str | None = None
    audio: Path | None = None
    image: Path | None = None


def picture_and_query(
    settings: Settings, picture: Path, look_for: LookFor
) -> tuple[ImageBind, Image.Image, NDArray[np.float32]]:
    """Raises MediaRejected for a file that is not media, SettingsError for an encoder that has no
    patches to compare, and what loading it raises."""
    encoder = load_imagebind(settings)
    if look_for.words is not None:
        query = words_term(encoder, look_for.words).vector
    elif look_for.audio is not None:
        [term] = file_terms(encoder, look_for.audio, settings.decode, modalities=(Modality.AUDIO,))
        query = term.vector
    else:
        assert look_for.image is not None
        [term] = file_terms(encoder, look_for.image, settings.decode, modalities=(Modality.VISION,))
        query = term.vector
    frames = next((window.frames for window in first_windows(picture, settings.decode)), None)
    if frames is None:
        raise SettingsError(f"{picture} shows nothing.", remedy="Name a picture.")
    return encoder.model, Image.fromarray(frames[0]), query
