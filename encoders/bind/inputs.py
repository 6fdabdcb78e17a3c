"""From pairs to what the towers take, augmented for training or plain for measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from encoders.bind import augment
from encoders.bind.augment import Augmentation
from encoders.bind.pairs import Pair
from encoders.errors import InputError
from encoders.modality import Modality
from encoders.preprocess.audio import SAMPLE_RATE_HZ, log_mel_windows
from encoders.preprocess.depth import prepare_depth, read_depth
from encoders.preprocess.image import normalize
from encoders.preprocess.imu import imu_windows, read_imu
from encoders.preprocess.text import token_ids
from encoders.preprocess.thermal import prepare_thermal, read_thermal

LoadSound = Callable[[Path], NDArray[np.int16]]
WINDOW_SAMPLES = 2 * SAMPLE_RATE_HZ
# A picture is kept no larger than this many times what the network looks at.
KEPT_SCALE = 2


class Inputs:
    """Reads each file once and keeps it small; `load_sound` gives 16 kHz mono int16 of a path."""

    def __init__(
        self,
        image_size: int,
        load_sound: LoadSound,
        how: Augmentation,
        templates: Sequence[str] = augment.PICTURE_TEMPLATES,
    ) -> None:
        self._size = image_size
        self._load_sound = load_sound
        self._how = how
        self._templates = tuple(templates)
        self._pictures: dict[Path, Image.Image] = {}
        self._sounds: dict[str, NDArray[np.int16]] = {}

    def pictures(
        self, pairs: Sequence[Pair], random: Generator | None, *, level: float = 1.0
    ) -> Tensor:
        """(N,3,S,S) normalised; plain, on white, where there is no generator. `level` says how much
        of the augmentation is done."""
        crops = []
        how = self._how.pictures_at(level)
        for pair in pairs:
            image = self._picture(pair.image)
            if random is not None:
                crop = augment.picture(image, self._size, how, random)
            else:
                crop = plain_picture(image, self._size)
            crops.append(np.asarray(crop))
        frames = torch.from_numpy(np.stack(crops)[:, None])
        return normalize(frames, torch.float32)

    def others(self, modality: Modality, pairs: Sequence[Pair], random: Generator | None) -> Tensor:
        """What stands beside the pictures, as the tower of that modality takes it."""
        if modality is Modality.TEXT:
            return torch.from_numpy(token_ids([self._words(p.other, random) for p in pairs]))
        if modality is Modality.AUDIO:
            mels = log_mel_windows(np.stack([self._sound(p.other, random) for p in pairs]))
            return mels if random is None else augment.masked(mels, self._how, random)
        paths = [Path(pair.other) for pair in pairs]
        if modality is Modality.DEPTH:
            return torch.cat([prepare_depth(read_depth(path)[None]) for path in paths])
        if modality is Modality.THERMAL:
            return torch.cat([prepare_thermal(read_thermal(path)[None]) for path in paths])
        windows = [imu_windows(read_imu(path))[0] for path in paths]
        chosen = [0 if random is None else int(random.integers(len(w))) for w in windows]
        return torch.stack([w[i] for w, i in zip(windows, chosen, strict=True)])

    def _words(self, caption: str, random: Generator | None) -> str:
        if random is None:
            return caption
        return augment.words(caption, self._templates, self._how, random)

    def _sound(self, path: str, random: Generator | None) -> NDArray[np.int16]:
        if path not in self._sounds:
            self._sounds[path] = self._load_sound(Path(path))
        samples = self._sounds[path]
        if random is not None:
            return augment.sound(samples, WINDOW_SAMPLES, self._how, random)
        start = max(len(samples) - WINDOW_SAMPLES, 0) // 2
        piece = samples[start : start + WINDOW_SAMPLES]
        return np.pad(piece, (0, WINDOW_SAMPLES - len(piece)))

    def _picture(self, path: Path) -> Image.Image:
        if path not in self._pictures:
            try:
                with Image.open(path) as image:
                    wide = (
                        "RGBA"
                        if "A" in image.getbands() or image.info.get("transparency")
                        else "RGB"
                    )
                    kept = image.convert(wide)
            except (UnidentifiedImageError, OSError) as error:
                raise InputError(
                    f"{path} cannot be read as a picture: {error}", remedy="Leave it out."
                ) from error
            kept.thumbnail((KEPT_SCALE * self._size, KEPT_SCALE * self._size))
            self._pictures[path] = kept
        return self._pictures[path]


def plain_picture(image: Image.Image, size: int) -> Image.Image:
    """(size, size) RGB: what is cut out on a white square, the rest by its middle."""
    if image.mode == "RGBA":
        side = max(image.size)
        canvas = Image.new("RGBA", (side, side), "white")
        canvas.alpha_composite(image, ((side - image.width) // 2, (side - image.height) // 2))
        return canvas.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    box = (left, top, left + short, top + short)
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box)
