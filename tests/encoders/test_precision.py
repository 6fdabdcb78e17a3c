"""Lower precision says the same: bf16 and int8 beside float32, each encoder and each modality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encoders.catalogue import CARDS
from encoders.errors import WeightsError
from encoders.imagebind.config import DEMO, TINY, ImageBindConfig
from encoders.imagebind.encode import ImageBindEncoder
from encoders.imagebind.int8 import Int8Linear, to_int8
from encoders.imagebind.model import ImageBind
from encoders.loading import load_encoder
from encoders.modality import Modality
from encoders.precision import MIN_COSINE, Precision
from encoders.preprocess.text import token_ids
from encoders.processor import has_fast_bf16, has_vnni
from encoders.protocol import Encoder
from encoders.seeded import seeded_state_dict
from encoders.weights import load_into
from tests.encoders.small_models import clip_folder, frozen_in_time, pe_av_folder
from tests.encoders.standin import give_standin_weights, noise
from tests.support import media_files

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


@pytest.mark.slow("three networks beside themselves in float32, 7 s")
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
        assert bf16 >= MIN_COSINE["bf16"], modality
        assert int8 >= MIN_COSINE["int8"], modality


def test_the_bounds_are_those_that_are_promised() -> None:
    assert MIN_COSINE == {"bf16": 0.999, "int8": 0.99}


def six_senses(_: Path, precision: Precision) -> Encoder:
    """ImageBind with all its towers, as raw windows meet it."""
    card = replace(CARDS["imagebind-huge"], dimension=TINY.dimension)
    model = standin(TINY)
    if precision == "int8":
        to_int8(model)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return ImageBindEncoder(model, card, torch.device("cpu"), dtype)


def video_and_text(folder: Path, precision: Precision) -> Encoder:
    return frozen_in_time(folder, torch.bfloat16 if precision == "bf16" else torch.float32)


def by_name(name: str, _: Path, precision: Precision) -> Encoder:
    return load_encoder(name, device="cpu", precision=precision)


def of_a_folder(kind: str, folder: Path, precision: Precision) -> Encoder:
    if not any(folder.iterdir()):
        _ = pe_av_folder(folder) if kind == "pe-av" else clip_folder(folder, kind)
    name = "pe-av" if kind == "pe-av" else "clip"
    return load_encoder(name, folder, device="cpu", precision=precision)


def windows(frames: int) -> Any:
    return np.stack(
        [
            np.stack([media_files.picture_array(9 * n + f, (224, 224)) for f in range(frames)])
            for n in range(3)
        ]
    )


STILL, SHORT, LONG = windows(1), windows(2), windows(4)
SOUND = np.stack([media_files.sound_array(n, 2.0) for n in range(3)])
SAID = ["a dog", "two people on the beach at night", "a cat barks on " + "the beach at night " * 30]
RAW: dict[Modality, list[Any]] = {
    Modality.VISION: [STILL, SHORT],
    Modality.AUDIO: [SOUND, SOUND[:, :8_000]],
    Modality.TEXT: [SAID],
    Modality.DEPTH: [np.abs(noise("d", (3, 60, 80))) * 3 + 0.5],
    Modality.THERMAL: [(noise("t", (3, 60, 80)) * 40 + 128).clip(0, 255).astype(np.uint8)],
    Modality.IMU: [noise("i", (3, 6, 2000)) * 3],
}
SEEN_HEARD_SAID = ("vision", "audio", "text")
TABLE: list[tuple[str, Callable[[Path, Precision], Encoder], tuple[str, ...], bool]] = [
    # what, how it is made, which modalities, whether there is int8
    ("ImageBind", six_senses, tuple(Modality), True),
    ("sensedex-mini", partial(by_name, "sensedex-mini"), SEEN_HEARD_SAID, True),
    ("Frozen in Time", video_and_text, ("vision", "text"), False),
    ("CLIP", partial(of_a_folder, "clip"), ("vision", "text"), False),
    ("SigLIP", partial(of_a_folder, "siglip"), ("vision", "text"), False),
    ("SigLIP 2", partial(of_a_folder, "siglip2"), ("vision", "text"), False),
    ("PE-AV", partial(of_a_folder, "pe-av"), SEEN_HEARD_SAID, False),
]


@pytest.mark.slow("every network in two precisions, 15 s")
@pytest.mark.parametrize(
    ("make", "modalities", "precision"),
    [
        pytest.param(make, modalities, precision, id=f"{what}-{precision}")
        for what, make, modalities, has_int8 in TABLE
        for precision in (("bf16", "int8") if has_int8 else ("bf16",))
    ],
)
def test_every_encoder_and_every_modality(
    make: Callable[[Path, Precision], Encoder],
    modalities: tuple[str, ...],
    precision: Precision,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    exact, less = make(tmp_path, "fp32"), make(tmp_path, precision)
    assert set(exact.card.modalities) == set(modalities)
    for one in less.precisions:  # none of them has fallen back to what it is compared with
        assert (one.requested, one.used) == (precision, precision)
    for modality in map(Modality, modalities):
        batches = list(RAW[modality])
        if modality is Modality.VISION and exact.card.frames_per_clip >= 4:
            batches.append(LONG)
        smallest = min(
            float((exact.encode(modality, batch) * less.encode(modality, batch)).sum(1).min())
            for batch in batches
        )
        with capsys.disabled():
            print(f"\n  {modality}: smallest cosine to float32 {smallest:.5f}", end="")
        assert smallest >= MIN_COSINE[precision], modality


@pytest.mark.slow("proves an encoder anew")
def test_what_bf16_cannot_hold_stays_in_float32(tmp_path: Path) -> None:
    """PE-AV's codec, by its phases, and the frequencies of every rotary table."""
    encoder: Any = of_a_folder("pe-av", tmp_path, "bf16")
    model = encoder._model
    codec = {id(p) for p in model.audio_model.audio_encoder.embedder.dac_encoder.parameters()}
    for name, parameter in model.named_parameters():
        wanted = torch.float32 if id(parameter) in codec else torch.bfloat16
        assert parameter.dtype == wanted, name
    rotary = [buffer for name, buffer in model.named_buffers() if name.endswith("inv_freq")]
    assert len(rotary) > 0
    assert {buffer.dtype for buffer in rotary} == {torch.float32}


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


@pytest.mark.slow("proves the encoder in the box, 7 s")
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
