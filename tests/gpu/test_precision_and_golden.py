"""Vectors of a GPU: the golden answers of the reference, and the proof of bf16 on this card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from encoders.imagebind.config import TINY
from encoders.imagebind.model import ImageBind
from encoders.loading import load_encoder
from encoders.modality import Modality
from tests.encoders.standin import give_standin_weights, noise

INPUTS = {
    "vision.image": (Modality.VISION, (2, 3, 224, 224)),
    "vision.clips": (Modality.VISION, (1, 2, 3, 2, 224, 224)),
    "audio.clips": (Modality.AUDIO, (2, 3, 1, 128, 204)),
    "depth": (Modality.DEPTH, (2, 1, 224, 224)),
    "thermal": (Modality.THERMAL, (2, 1, 224, 224)),
    "imu": (Modality.IMU, (2, 6, 2000)),
}


def test_the_golden_answers_in_float32(golden_dir: Path) -> None:
    model = ImageBind(TINY).eval().requires_grad_(False)
    give_standin_weights(model)
    model.cuda()
    tokens = json.loads((golden_dir / "text_tokens.json").read_text())
    ids = torch.tensor([row["tokens"] for row in tokens], device="cuda")
    with np.load(golden_dir / "imagebind_tiny.npz") as wanted, torch.inference_mode():
        for name in wanted.files:
            if name == "text":
                got = model.reference(Modality.TEXT, ids)
            else:
                modality, shape = INPUTS[name]
                given = torch.from_numpy(noise(f"input.{name}", shape)).cuda()
                got = model.reference(modality, given)
            want = wanted[name]
            error = np.linalg.norm(got.cpu().numpy() - want, axis=1)
            assert (error / np.linalg.norm(want, axis=1)).max() <= 1e-3, name


def test_bf16_is_proved_on_this_card_and_is_what_auto_takes() -> None:
    encoder = load_encoder("sensedex-mini", device="auto", precision="auto")
    assert {one.used for one in encoder.precisions} == {"bf16"}
    for one in encoder.precisions:
        assert one.cosine is not None
        assert one.cosine >= 0.999
        assert torch.cuda.get_device_name() in one.device
