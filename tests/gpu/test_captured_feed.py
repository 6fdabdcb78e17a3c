"""The way to a GPU: a graph gives what the eager network gives, in order, several at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from encoders.captured import padded_sizes
from encoders.device_feed import DeviceFeed
from encoders.errors import InputError
from encoders.imagebind.encode import ImageBindEncoder
from encoders.loading import load_encoder
from encoders.modality import Modality
from encoders.precision import Precision
from encoders.protocol import Encoder
from tests.encoders import small_models
from tests.support import media_files

MOST = 32
ROWS = (1, 7, 8, 9, 31, 32, 70)


def mini(precision: Precision = "bf16") -> ImageBindEncoder:
    encoder = load_encoder("sensedex-mini", device="cuda", precision=precision)
    assert isinstance(encoder, ImageBindEncoder)
    return encoder


def batch(modality: Modality, rows: int) -> Any:
    if modality is Modality.TEXT:
        return [f"{'a red square ' * (n % 7)}number {n}" for n in range(rows)]
    if modality is Modality.AUDIO:
        return np.stack([media_files.sound_array(n, 2.0) for n in range(rows)])
    frames = np.stack([media_files.picture_array(n, (224, 224)) for n in range(2 * rows)])
    return frames.reshape(rows, 2, 224, 224, 3)


@pytest.mark.parametrize("modality", [Modality.VISION, Modality.AUDIO, Modality.TEXT])
def test_a_graph_gives_what_the_eager_network_gives(modality: Modality) -> None:
    encoder = mini()
    eager = {rows: encoder.encode(modality, batch(modality, rows)) for rows in ROWS}
    encoder.feed.prepare([modality], MOST)
    assert encoder.feed.captured == {modality: padded_sizes(MOST)}
    for rows, wanted in eager.items():
        got = encoder.encode(modality, batch(modality, rows))
        assert got.shape == wanted.shape
        assert (got * wanted).sum(1).min() > 0.999, f"{rows} rows"


def test_sound_of_another_length_goes_by_the_same_graph() -> None:
    encoder = mini()
    sound = np.stack([media_files.sound_array(n, 0.7) for n in range(3)])
    eager = encoder.encode(Modality.AUDIO, sound)
    encoder.feed.prepare([Modality.AUDIO], MOST)
    assert (encoder.encode(Modality.AUDIO, sound) * eager).sum(1).min() > 0.999


def test_a_gpu_gives_what_the_cpu_gives() -> None:
    on_gpu = mini("fp32")
    on_cpu = load_encoder("sensedex-mini", device="cpu", precision="fp32")
    for modality in (Modality.VISION, Modality.AUDIO, Modality.TEXT):
        given = batch(modality, 9)
        cosines = (on_gpu.encode(modality, given) * on_cpu.encode(modality, given)).sum(1)
        assert cosines.min() > 0.9999, modality


def test_what_fills_a_batch_up_changes_no_bit_of_it() -> None:
    encoder = mini()
    encoder.feed.prepare([Modality.VISION], 8)
    windows = batch(Modality.VISION, 11)
    alone = encoder.encode(Modality.VISION, windows[:3])
    encoder.encode(Modality.VISION, windows[3:])
    assert np.array_equal(alone, encoder.encode(Modality.VISION, windows[:3]))


def test_several_are_under_way_and_none_takes_another_ones_rows() -> None:
    """More than may be in flight, of two modalities, asked for from the last to the first."""
    encoder = mini()
    encoder.feed.prepare([Modality.VISION, Modality.AUDIO], MOST)
    assert encoder.feed.batches_ahead == 1
    given = [
        (modality, batch(modality, 3 + number))
        for number in range(6)
        for modality in (Modality.VISION, Modality.AUDIO)
    ]
    alone = [encoder.encode(modality, one) for modality, one in given]
    pending = [encoder.feed.submit(modality, one.copy()) for modality, one in given]
    refused = encoder.feed.submit(Modality.VISION, np.zeros((2, 3, 224, 224, 3), np.uint8))
    after = encoder.feed.submit(*given[0])
    for one, wanted in list(zip(pending, alone, strict=True))[::-1]:
        assert np.array_equal(one.result(), wanted)
    with pytest.raises(InputError, match="3 frames"):
        refused.result()
    assert np.array_equal(after.result(), alone[0])


def test_the_callers_arrays_are_free_when_submit_returns() -> None:
    encoder = mini()
    given = batch(Modality.VISION, 32)
    wanted = encoder.encode(Modality.VISION, given)
    pending = encoder.feed.submit(Modality.VISION, given)
    given[:] = 0
    assert np.array_equal(pending.result(), wanted)


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2", "frozen", "pe-av"])
def test_the_other_encoders_go_the_same_way(kind: str, tmp_path: Any) -> None:
    """Captured where their card says so; on the GPU what they are on the CPU."""

    def loaded(device: str) -> Encoder:
        if kind == "frozen":
            on_cpu = small_models.frozen_in_time(tmp_path, torch.float32)
            if device == "cpu":
                return on_cpu
            moved = small_models.frozen_in_time(tmp_path, torch.float32)
            moved._model.cuda()
            towers = moved.feed.towers
            moved.feed = DeviceFeed(moved.card, torch.device("cuda"), towers, 32)
            return moved
        name = "pe-av" if kind == "pe-av" else "clip"
        return load_encoder(name, folder, device=device, precision="fp32")

    folder = tmp_path / kind
    if kind == "pe-av":
        small_models.pe_av_folder(folder)
    elif kind != "frozen":
        small_models.clip_folder(folder, kind)
    on_cpu, on_gpu = loaded("cpu"), loaded("cuda")
    feed: DeviceFeed = on_gpu.feed  # type: ignore[attr-defined]
    feed.prepare([Modality.VISION, Modality.TEXT], 8)
    captures = {Modality.VISION: (8,)} if kind in ("clip", "siglip", "frozen") else {}
    assert feed.captured == captures
    for modality in on_gpu.card.modalities:
        given = batch(modality, 3)
        cosines = (on_gpu.encode(modality, given) * on_cpu.encode(modality, given)).sum(1)
        assert cosines.min() > 0.9999, modality
