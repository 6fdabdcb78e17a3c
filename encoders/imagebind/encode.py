"""ImageBind behind the one protocol: raw windows in, unit vectors out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from encoders.card import EncoderCard
from encoders.device_feed import DeviceFeed
from encoders.imagebind.model import ImageBind
from encoders.inputs import check_finite, check_shape, unit_length
from encoders.modality import Modality
from encoders.network import to_dtype
from encoders.precision import TowerPrecision
from encoders.preprocess.audio import check_sounds, log_mel_samples
from encoders.preprocess.depth import prepare_depth
from encoders.preprocess.image import check_windows, normalize
from encoders.preprocess.imu import CHANNELS, STEPS
from encoders.preprocess.text import CONTEXT, check_words, token_ids
from encoders.preprocess.thermal import prepare_thermal
from encoders.proof_inputs import fixed_inputs
from encoders.tower import Cut, Tensors, Tower, sliced

MOST_FRAMES = 2
MAX_BATCH_SIZE = 64
TOKEN_SIZES = (16, 32, CONTEXT)
BATCH_SIZE_PER_CORE = (
    16  # what lies between two layers of a small network has to fit into its cache
)

SMALL_PARAMETERS = 32 * 10**6


class ImageBindEncoder:
    """Implements `encoders.protocol.Encoder`. `max_batch` bounds what one forward takes; not given,
    it is what the device is quickest with (docs/performance.md); `exact` towers stay float32."""

    def __init__(
        self,
        model: ImageBind,
        card: EncoderCard,
        device: torch.device,
        dtype: torch.dtype,
        max_batch: int | None = None,
        exact: Collection[Modality] = (),
    ) -> None:
        self.card = card
        self.precisions: tuple[TowerPrecision, ...] = ()
        self.model = model.eval().requires_grad_(False)
        to_dtype(self.model, device, dtype, [part for m in exact for part in _parts(model, m)])
        self._device = device
        self._dtypes = {m: torch.float32 if m in exact else dtype for m in Modality}
        if max_batch is None and device.type == "cpu":
            max_batch = min(BATCH_SIZE_PER_CORE * self._cores(), MAX_BATCH_SIZE)
        towers = {m: self._tower(m) for m in card.modalities}
        self.feed = DeviceFeed(
            card,
            device,
            towers,
            max_batch or MAX_BATCH_SIZE,
            cores=self._cores,
            small=sum(p.numel() for p in model.parameters()) <= SMALL_PARAMETERS,
        )

    def encode(
        self, modality: Modality, batch: NDArray[Any] | Sequence[str]
    ) -> NDArray[np.float32]:
        """(N, D) float32 of unit length; see the protocol for the batch. Raises InputError."""
        return self.feed.encode(modality, batch)

    def _cores(self) -> int:
        return torch.get_num_threads() if self._device.type == "cpu" else 1

    def _tower(self, modality: Modality) -> Tower:
        if modality is Modality.TEXT:
            # On a GPU a few lengths, each of which is captured; on a CPU no token too many.
            sizes = TOKEN_SIZES if self._device.type != "cpu" else tuple(range(1, CONTEXT + 1))
            return Tower(
                cut=partial(cut_words, token_sizes=sizes),
                forward=self._words,
                finish=self._unit,
                examples=lambda: [[" ".join(["dog"] * (tokens - 2))] for tokens in TOKEN_SIZES],
            )
        return Tower(
            cut=sliced(partial(_checked, modality)),
            prepare=partial(self._prepared, modality),
            forward=lambda batch: self.model.tower(modality, batch),
            finish=self._unit,
            examples=lambda: fixed_inputs(self.card, modality),
        )

    def _prepared(self, modality: Modality, batch: Tensor) -> tuple[Tensor]:
        """Small integers go to the device; what floats come of them are made there."""
        dtype = self._dtypes[modality]
        if modality is Modality.VISION:
            return (normalize(batch, dtype, side=self.model.config.image_size),)
        if modality is Modality.AUDIO:
            return (log_mel_samples(batch).to(dtype),)
        return (batch.to(dtype),)

    def _words(self, ids: Tensor) -> Tensor:
        return self.model.tower(Modality.TEXT, ids, tokens=ids.shape[1])

    def _unit(self, vectors: Tensor) -> Tensor:
        return unit_length(vectors, self.card.name)


def cut_words(texts: Any, size: int, token_sizes: Sequence[int]) -> Cut:
    """Equal texts once, and pieces of alike length, cut to the least of `token_sizes` (rising, the
    last one 77) that holds them: attention past the end costs and adds nothing."""
    check_words(texts)
    unique = list(dict.fromkeys(texts))
    ids = token_ids(unique)
    ends = ids.argmax(1) + 1  # the end token has the highest id
    order = np.argsort(ends, kind="stable")

    def pieces() -> Iterator[Tensors]:
        for start in range(0, len(unique), size):
            part = order[start : start + size]
            tokens = token_sizes[bisect_left(token_sizes, ends[part].max())]
            yield (torch.from_numpy(np.ascontiguousarray(ids[part, :tokens])),)

    place = np.empty(len(unique), np.intp)
    place[order] = np.arange(len(unique))
    number = {text: i for i, text in enumerate(unique)}
    return Cut(pieces(), place[[number[text] for text in texts]])


def _checked(modality: Modality, batch: Any) -> tuple[Tensor]:
    """As the device is to have it. Raises InputError."""
    given = np.asarray(batch)
    if modality is Modality.VISION:
        check_windows(given, MOST_FRAMES)
        return (torch.from_numpy(np.ascontiguousarray(given)),)
    if modality is Modality.AUDIO:
        check_sounds(given)
        return (torch.from_numpy(given),)
    if modality is Modality.DEPTH:
        return (prepare_depth(given),)
    if modality is Modality.THERMAL:
        return (prepare_thermal(given),)
    motion = torch.from_numpy(np.ascontiguousarray(given, dtype=np.float32))
    check_shape("motion", motion, (None, len(CHANNELS), STEPS))
    check_finite("motion", motion)
    return (motion,)


def _parts(model: ImageBind, modality: Modality) -> list[nn.Module]:
    """What one modality's tower is made of; nothing where the network was built without it."""
    if modality not in model.config.towers:
        return []
    towers = (model.modality_preprocessors, model.modality_trunks, model.modality_heads)
    return [part[modality] for part in towers]
