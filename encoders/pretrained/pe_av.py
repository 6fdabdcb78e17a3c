"""Perception Encoder Audio-Visual (Vyas et al., 2025): video, sound and text in one space.

The library's classes serve; some of their `get_*` methods do not (in transformers 5.23 that of
video calls one that is not there), so the encoders and heads are called themselves. Text has a head
for what is seen and one for what is heard; both lead into the same space, and a text's vector is
the mean of the two.

The codec that sound goes through first stays in float32 whatever the rest computes in. Its Snake
activations (Ziyin et al., 2020) add `sin(alpha x)^2`: of a phase of some hundred, bf16 keeps less
than the half turn after which the sine repeats, and thirty of them stand one after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchaudio.functional import resample
from transformers import AutoTokenizer, PeAudioVideoModel

from encoders.card import EncoderCard
from encoders.device_feed import DeviceFeed
from encoders.inputs import unit_length
from encoders.modality import Modality
from encoders.network import to_dtype
from encoders.precision import TowerPrecision
from encoders.preprocess.audio import INT16_SCALE, check_sounds
from encoders.preprocess.audio import SAMPLE_RATE_HZ as WINDOW_RATE_HZ
from encoders.preprocess.image import check_windows, normalize
from encoders.preprocess.text import check_words
from encoders.pretrained.folder import opened
from encoders.tower import Tensors, Tower, sliced

HALF = (0.5, 0.5, 0.5)


class PeAvEncoder:
    """Implements `encoders.protocol.Encoder`; a window's frames are one short video; `exact`
    towers stay float32."""

    def __init__(
        self,
        model: PeAudioVideoModel,
        tokenizer: Any,
        card: EncoderCard,
        device: torch.device,
        dtype: torch.dtype,
        max_batch: int = 16,
        exact: Collection[Modality] = (),
    ) -> None:
        self.card = card
        self.precisions: tuple[TowerPrecision, ...] = ()
        network: Any = model
        self._model = network.eval().requires_grad_(False)
        seen, heard = network.video_model, network.audio_model
        parts = {
            Modality.VISION: [seen.video_encoder, seen.video_head],
            Modality.AUDIO: [heard.audio_encoder, heard.audio_head],
            Modality.TEXT: [network.text_model, seen.text_video_head, heard.text_audio_head],
        }
        codec = heard.audio_encoder.embedder.dac_encoder
        to_dtype(network, device, dtype, [codec, *(part for m in exact for part in parts[m])])
        after = torch.float32 if Modality.AUDIO in exact else dtype
        codec.register_forward_hook(lambda _codec, _waveforms, features: features.to(after))
        self._tokenizer = tokenizer
        self._pixels = torch.float32 if Modality.VISION in exact else dtype
        # No graphs: the library makes masks and positions as it goes, from lengths on the host.
        towers = {
            Modality.VISION: Tower(
                cut=sliced(_checked_windows),
                prepare=self._clips,
                forward=self._videos,
                finish=self._unit,
            ),
            Modality.AUDIO: Tower(
                cut=sliced(_checked_sounds),
                prepare=self._waveforms,
                forward=self._sounds,
                finish=self._unit,
            ),
            Modality.TEXT: Tower(
                cut=sliced(self._ids), forward=self._words, finish=self._mean_of_both
            ),
        }
        self.feed = DeviceFeed(card, device, towers, max_batch)

    def encode(
        self, modality: Modality, batch: NDArray[Any] | Sequence[str]
    ) -> NDArray[np.float32]:
        """(N, D) float32 of unit length; see the protocol for the batch. Raises InputError."""
        return self.feed.encode(modality, batch)

    def _clips(self, frames: Tensor) -> Tensors:
        pixels = normalize(frames.flatten(0, 1)[:, None], torch.float32, HALF, HALF)
        size = self.card.image_size
        if pixels.shape[-1] != size:
            pixels = F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
        return (pixels.to(self._pixels).unflatten(0, frames.shape[:2]),)

    def _videos(self, clips: Tensor) -> Tensor:
        video = self._model.video_model
        head: Tensor = video.video_head(
            video.video_encoder(pixel_values_videos=clips).pooler_output
        )
        return head

    def _waveforms(self, sounds: Tensor) -> Tensors:
        waveforms = sounds.float() * INT16_SCALE
        return (resample(waveforms, WINDOW_RATE_HZ, self.card.sample_rate_hz)[:, None],)

    def _sounds(self, waveforms: Tensor) -> Tensor:
        audio = self._model.audio_model
        head: Tensor = audio.audio_head(audio.audio_encoder(input_values=waveforms).pooler_output)
        return head

    def _ids(self, texts: Any) -> Tensors:
        check_words(texts)
        encoded = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        return encoded["input_ids"], encoded["attention_mask"]

    def _words(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(N,2,D): by the head for what is seen, and by that for what is heard."""
        hidden = self._model.text_model(
            input_ids=ids, attention_mask=mask, output_hidden_states=True
        ).hidden_states[-1]
        seen = self._model.video_model.text_video_head(hidden[:, 0])
        heard = self._model.audio_model.text_audio_head(hidden[:, 0])
        return torch.stack([seen, heard], 1)

    def _mean_of_both(self, vectors: Tensor) -> Tensor:
        return self._unit(self._unit(vectors[:, 0]) + self._unit(vectors[:, 1]))

    def _unit(self, vectors: Tensor) -> Tensor:
        return unit_length(vectors, self.card.name)


def _checked_windows(windows: Any) -> Tensors:
    check_windows(windows)
    return (torch.from_numpy(np.ascontiguousarray(windows)),)


def _checked_sounds(sounds: Any) -> Tensors:
    check_sounds(sounds)
    return (torch.from_numpy(sounds),)


def build_pe_av(
    card: EncoderCard,
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    exact: Collection[Modality] = (),
) -> PeAvEncoder:
    """`exact` towers stay float32. Raises WeightsError that names the folder and what it lacks."""
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
    return PeAvEncoder(model, tokenizer, card, device, dtype, exact=exact)
