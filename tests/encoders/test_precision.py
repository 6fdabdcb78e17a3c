"""Lower precision says the same: bf16 and int8 beside float32, each tower, whatever the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from encoders.errors import WeightsError
from encoders.imagebind import DEMO, TINY, ImageBind, ImageBindConfig
from encoders.int8 import Int8Linear, has_vnni, to_int8
from encoders.loading import has_fast_bf16, load_encoder
from encoders.modality import Modality
from encoders.preprocess.text import token_ids
from encoders.seeded import seeded_state_dict
from encoders.weights import load_into
from tests import media_files
from tests.encoders.standin import give_standin_weights, noise

SHAPES = {
    Modality.VISION: (6, 3, 224, 224),
    Modality.AUDIO: (6, 1, 128, 204),
    Modality.DEPTH: (6, 1, 224, 224),
    Modality.THERMAL: (6, 1, 224, 224),
    Modality.IMU: (6, 6, 2000),
}
TEXTS = ["a dog", "two people on a beach at night", "waves", "an owl in a tree", "rain", "a bell"]


def standin(config: ImageBindConfig) -> ImageBind:
    model = ImageBind(config)
    give_standin_weights(model)
    return model.eval().requires_grad_(False)


def seeded(config: ImageBindConfig) -> ImageBind:
    model = ImageBind(config)
    load_into(model, seeded_state_dict(model, 0), "seed 0")
    return model.eval().requires_grad_(False)


def rows(model: ImageBind, dtype: torch.dtype) -> dict[Modality, torch.Tensor]:
    found = {}
    with torch.inference_mode():
        for modality in model.config.towers:
            if modality is Modality.TEXT:
                batch = torch.from_numpy(token_ids(TEXTS))
            else:
                batch = torch.from_numpy(noise(f"p.{modality}", SHAPES[modality])).to(dtype)
            found[modality] = model.embed(modality, batch)
    return found


DEEP = replace(TINY, towers={m: replace(tower, blocks=12) for m, tower in TINY.towers.items()})


@pytest.mark.parametrize(
    "made", [lambda: standin(TINY), lambda: seeded(DEMO), lambda: standin(DEEP)]
)
def test_lower_precision_says_the_same(
    made: Callable[[], ImageBind], capsys: pytest.CaptureFixture[str]
) -> None:
    exact = rows(made(), torch.float32)
    half = rows(made().to(torch.bfloat16), torch.bfloat16)
    whole = rows(to_int8(made()), torch.float32)
    for modality, want in exact.items():
        bf16 = float((half[modality] * want).sum(1).min())
        int8 = float((whole[modality] * want).sum(1).min())
        with capsys.disabled():
            print(f"\n  {modality}: cosine to float32, bf16 {bf16:.5f}, int8 {int8:.5f}", end="")
        assert bf16 >= 0.999, modality
        assert int8 >= 0.99, modality


def test_int8_is_what_its_sums_say() -> None:
    """A product computed by hand from the rounded weights and inputs."""
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(8, 32, generator=generator), torch.randn(8, generator=generator)
    x = torch.randn(5, 32, generator=generator)
    scales = weight.abs().amax(1, keepdim=True) / 127
    rounded = (weight / scales).round() * scales
    loudest = x.abs().amax(1, keepdim=True)
    scaled = x / loudest
    levels = 255 if has_vnni() else 127
    step = (scaled.max() - scaled.min()) / levels
    zero = (-scaled.min() / step).round()
    taken = ((scaled / step).round() + zero).clamp(0, levels)
    wanted = (taken - zero) * step @ rounded.T * loudest + bias
    got = Int8Linear(weight, bias)(x)
    one_level = float(step * weight.abs().max() * loudest.max())  # a tie may round either way
    assert torch.allclose(got, wanted, atol=one_level)
    assert (got - wanted).norm() <= 0.01 * wanted.norm()
    assert (got - x @ weight.T - bias).norm() <= 0.03 * got.norm()


def test_int8_does_not_overflow() -> None:
    """Where every product is as large as it gets, sums in 16 bits would clip."""
    weight, x = torch.ones(4, 256), torch.ones(3, 256)
    assert torch.allclose(Int8Linear(weight, None)(x), torch.full((3, 4), 256.0), rtol=0.01)
    assert torch.allclose(Int8Linear(-weight, None)(x), torch.full((3, 4), -256.0), rtol=0.01)
    assert torch.isfinite(Int8Linear(weight, None)(torch.zeros(1, 256))).all()


def test_int8_replaces_what_costs_and_lets_it_go() -> None:
    """Four matrices a block; the last block computes one token and stays as it is."""
    plain, model = standin(TINY), to_int8(standin(TINY))
    blocks = sum(tower.blocks - 1 for tower in TINY.towers.values())
    assert sum(isinstance(module, Int8Linear) for module in model.modules()) == 4 * blocks
    gone = sum(12 * tower.width**2 * (tower.blocks - 1) for tower in TINY.towers.values())
    left = sum(p.numel() for p in model.parameters())
    assert left <= sum(p.numel() for p in plain.parameters()) - gone
    with torch.inference_mode():
        pixels = torch.from_numpy(noise("patches", (1, 3, 224, 224)))
        cosines = (model.patches(pixels) * plain.patches(pixels)).sum(-1)
    assert float(cosines.min()) >= 0.99


def test_the_precision_is_chosen_by_what_the_cpu_can_do() -> None:
    frames = np.stack([media_files.picture_array(n, (224, 224))[None] for n in range(3)])
    made = {
        precision: load_encoder("imagebind-demo", device="cpu", precision=precision).encode(
            Modality.VISION, frames
        )
        for precision in ("auto", "fp32", "bf16", "int8")
    }
    same = "bf16" if has_fast_bf16() else "fp32"
    assert np.array_equal(made["auto"], made[same])
    for rows_of in made.values():
        assert (rows_of * made["fp32"]).sum(1).min() >= 0.99
    with pytest.raises(WeightsError, match="no precision"):
        load_encoder("imagebind-demo", device="cpu", precision="fp8")  # type: ignore[arg-type]
