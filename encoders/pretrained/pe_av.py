"""Perception Encoder Audio-Visual (Vyas et al., 2025): video, sound and text in one space.

The library's classes serve; some of their `get_*` methods do not (in transformers 5.23 that of
video calls one that is not there), so the encoders and heads are called themselves. Text has a head
for what is seen and one for what is heard; both lead into the same space, and a text's vector is
the mean of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchaudio.functional import resample
from transformers import AutoTokenizer, PeAudioVideoModel

from encoders.batches import in_batches
from encoders.card import EncoderCard
from encoders.inputs import unit_length
from encoders.modality import Modality
from encoders.preprocess.audio import INT16_SCALE, check_sounds
from encoders.preprocess.audio import SAMPLE_RATE_HZ as WINDOW_RATE_HZ
from encoders.preprocess.image import check_windows, normalize
from encoders.preprocess.text import check_words
from encoders.pretrained.folder import opened

HALF = (0.5, 0.5, 0.5)


class PeAvEncoder:
    """Implements `encoders.protocol.Encoder`; a window's frames are one short video."""

    def __init__(
        self,
        model: PeAudioVideoModel,
        tokenizer: Any,
        card: EncoderCard,
        device: torch.device,
        dtype: torch.dtype,
        max_batch: int = 16,
    ) -> None:
        self.card = card
        network: Any = model
        self._model = network.eval().requires_grad_(False).to(device=device, dtype=dtype)
        self._tokenizer = tokenizer
        self._device, self._dtype = device, dtype
        self._max_batch = max_batch

    def encode(
        self, modality: Modality, batch: NDArray[Any] | Sequence[str]
    ) -> NDArray[np.float32]:
        """(N, D) float32 of unit length; see the protocol for the batch. Raises InputError."""
        takers = {
            Modality.VISION: self._videos,
            Modality.AUDIO: self._sounds,
            Modality.TEXT: self._words,
        }
        return in_batches(self.card, takers, modality, batch, self._max_batch)

    def _videos(self, windows: Any) -> Tensor:
        check_windows(windows)
        frames = torch.from_numpy(np.ascontiguousarray(windows)).to(self._device)
        pixels = normalize(frames.flatten(0, 1)[:, None], torch.float32, HALF, HALF)
        size = self.card.image_size
        if pixels.shape[-1] != size:
            pixels = F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
        video = self._model.video_model
        clips = pixels.to(self._dtype).unflatten(0, windows.shape[:2])
        pooled = video.video_encoder(pixel_values_videos=clips).pooler_output
        return unit_length(video.video_head(pooled), self.card.name)

    def _sounds(self, sounds: Any) -> Tensor:
        check_sounds(sounds)
        waveforms = torch.from_numpy(sounds).to(self._device).float() * INT16_SCALE
        waveforms = resample(waveforms, WINDOW_RATE_HZ, self.card.sample_rate_hz)
        audio = self._model.audio_model
        pooled = audio.audio_encoder(input_values=waveforms[:, None].to(self._dtype)).pooler_output
        return unit_length(audio.audio_head(pooled), self.card.name)

    def _words(self, texts: Any) -> Tensor:
        check_words(texts)
        encoded = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        inputs = {name: encoded[name].to(self._device) for name in ("input_ids", "attention_mask")}
        hidden = self._model.text_model(**inputs, output_hidden_states=True).hidden_states[-1]
        seen = self._model.video_model.text_video_head(hidden[:, 0])
        heard = self._model.audio_model.text_audio_head(hidden[:, 0])
        both = unit_length(seen, self.card.name) + unit_length(heard, self.card.name)
        return unit_length(both, self.card.name)


def build_pe_av(
    card: EncoderCard, folder: Path, device: torch.device, dtype: torch.dtype
) -> PeAvEncoder:
    """Raises WeightsError that names the folder and what it lacks."""
    model = opened(
        folder,
        "model",
        lambda: PeAudioVideoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        ),
    )
    tokenizer = opened(
        folder, "tokenizer", lambda: AutoTokenizer.from_pretrained(folder, local_files_only=True)
    )
    return PeAvEncoder(model, tokenizer, card, device, dtype)
