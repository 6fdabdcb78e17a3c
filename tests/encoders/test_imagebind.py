"""ImageBind: equal to the golden answers, and to itself however it is batched."""

from __future__ import annotations

import ctypes
import gc
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.errors import BrokenWeights, InputError, WeightsError
from encoders.imagebind.config import HUGE, TINY, ImageBindConfig
from encoders.imagebind.model import ImageBind
from encoders.modality import Modality
from encoders.preprocess.text import token_ids
from encoders.weights import load_into
from tests.encoders.standin import give_standin_weights, noise, without_weights

INPUTS = {
    "vision.image": (Modality.VISION, (2, 3, 224, 224)),
    "vision.clips": (Modality.VISION, (1, 2, 3, 2, 224, 224)),
    "audio.clips": (Modality.AUDIO, (2, 3, 1, 128, 204)),
    "depth": (Modality.DEPTH, (2, 1, 224, 224)),
    "thermal": (Modality.THERMAL, (2, 1, 224, 224)),
    "imu": (Modality.IMU, (2, 6, 2000)),
}


def built(config: ImageBindConfig) -> ImageBind:
    with without_weights():
        model = ImageBind(config).eval().requires_grad_(False)
    give_standin_weights(model)
    return model


@pytest.fixture(scope="module")
def tiny() -> ImageBind:
    return built(TINY)


@pytest.mark.parametrize("name", ["tiny", "huge"])
def test_the_state_dict_is_the_published_one(golden_dir: Path, name: str) -> None:
    with torch.device("meta"):
        model = ImageBind({"tiny": TINY, "huge": HUGE}[name])
    got = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    file = golden_dir / f"imagebind_{name}.state_dict.json"
    assert got == {key: tuple(shape) for key, shape in json.loads(file.read_text()).items()}


def compare(model: ImageBind, answers: Path, tokens: Path) -> None:
    """Cosine >= 0.99999 and relative error <= 1e-3 for every row of the golden file."""
    ids = torch.tensor([row["tokens"] for row in json.loads(tokens.read_text())])
    with np.load(answers) as wanted, torch.inference_mode():
        assert set(wanted.files) == {*INPUTS, "text"}
        for name in wanted.files:
            if name == "text":
                got = model.reference(Modality.TEXT, ids).numpy()
            else:
                modality, shape = INPUTS[name]
                batch = torch.from_numpy(noise(f"input.{name}", shape))
                got = model.reference(modality, batch).numpy()
            want = wanted[name]
            lengths = np.linalg.norm(want, axis=1)
            cosine = (got * want).sum(1) / np.linalg.norm(got, axis=1) / lengths
            error = np.linalg.norm(got - want, axis=1) / lengths
            assert cosine.min() >= 0.99999, f"{name}: cosine {cosine.min()}"
            assert error.max() <= 1e-3, f"{name}: relative error {error.max()}"


def test_tiny_gives_the_golden_answers(tiny: ImageBind, golden_dir: Path) -> None:
    compare(tiny, golden_dir / "imagebind_tiny.npz", golden_dir / "text_tokens.json")


@pytest.fixture
def _memory_given_back() -> Iterator[None]:
    """The C library keeps what it has freed of 5 GB of weights, for the whole of the suite."""
    yield
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


@pytest.mark.huge
@pytest.mark.usefixtures("_memory_given_back")
def test_huge_gives_the_golden_answers(golden_dir: Path) -> None:
    compare(built(HUGE), golden_dir / "imagebind_huge.npz", golden_dir / "text_tokens.json")


@pytest.mark.parametrize(("name", "given"), INPUTS.items())
def test_unit_length_whatever_the_batch(
    tiny: ImageBind, name: str, given: tuple[Modality, tuple[int, ...]]
) -> None:
    modality, shape = given
    batch = torch.from_numpy(noise(f"other.{name}", (3, *shape[1:])))
    with torch.inference_mode():
        together = tiny.embed(modality, batch)
        alone = torch.cat([tiny.embed(modality, row[None]) for row in batch])
        turned = tiny.embed(modality, batch.flip(0)).flip(0)
    assert together.shape == (3, TINY.dimension)
    assert torch.allclose(together.norm(dim=1), torch.ones(3), atol=1e-6)
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together, turned, atol=1e-5)


def test_text_is_cut_at_its_end_without_a_trace(tiny: ImageBind) -> None:
    short = torch.from_numpy(token_ids(["a dog"]))
    long = torch.from_numpy(token_ids(["a dog", "word " * 100]))
    with torch.inference_mode():
        alone = tiny.embed(Modality.TEXT, short)
        beside = tiny.embed(Modality.TEXT, long)[:1]  # the whole 77 tokens are computed here
    assert torch.allclose(alone, beside, atol=1e-5)


def test_a_still_is_a_clip_of_two_equal_frames(tiny: ImageBind) -> None:
    still = torch.from_numpy(noise("still", (2, 3, 224, 224)))
    clip = still[:, None, :, None].expand(-1, 1, -1, 2, -1, -1)
    with torch.inference_mode():
        one = tiny.embed(Modality.VISION, still)
        two = tiny.embed(Modality.VISION, clip)
    assert torch.allclose(one, two, atol=1e-5)


def test_fewer_towers_load_from_the_whole_checkpoint(tiny: ImageBind) -> None:

    small = ImageBind(TINY.only((Modality.AUDIO,))).eval()
    load_into(small, tiny.state_dict(), "a whole checkpoint", small.is_beside)
    batch = torch.from_numpy(noise("sound", (2, 2, 1, 128, 204)))
    with torch.inference_mode():
        assert torch.equal(small.embed(Modality.AUDIO, batch), tiny.embed(Modality.AUDIO, batch))
        with pytest.raises(InputError, match="no tower for vision"):
            small.embed(Modality.VISION, batch)


def test_a_batch_of_the_wrong_rank_is_named(tiny: ImageBind) -> None:
    with pytest.raises(InputError, match=r"\(3, 224, 224\)"):
        tiny.embed(Modality.VISION, torch.zeros(3, 224, 224))


def test_the_reference_scales(tiny: ImageBind) -> None:
    scales = {m: round(tiny.reference_scale(m), 3) for m in TINY.towers}
    assert scales == {
        Modality.VISION: 1.0,
        Modality.TEXT: 14.286,
        Modality.AUDIO: 20.0,
        Modality.DEPTH: 5.0,
        Modality.THERMAL: 10.0,
        Modality.IMU: 5.0,
    }


@pytest.mark.parametrize(
    ("modality", "batch", "said"),
    [
        (Modality.VISION, torch.zeros(0, 3, 224, 224), "empty"),
        (Modality.VISION, torch.zeros(2, 3, 112, 112), r"\(2, 3, 112, 112\)"),
        (Modality.VISION, torch.zeros(2, 3, 224, 224, dtype=torch.uint8), "uint8"),
        (Modality.AUDIO, torch.full((2, 1, 128, 204), float("nan")), "row 0"),
        (Modality.AUDIO, torch.zeros(2, 0, 1, 128, 204), "empty"),
        (Modality.DEPTH, torch.full((1, 1, 224, 224), float("inf")), "infinity"),
        (Modality.IMU, torch.zeros(1, 6, 1999), "1999"),
        (Modality.TEXT, torch.zeros(1, 77), "whole numbers"),
        (Modality.TEXT, torch.full((1, 77), 49_408), "vocabulary"),
        (Modality.TEXT, [[1] * 77], "list"),
        ("smell", torch.zeros(1, 3, 224, 224), "no tower for smell"),
    ],
)
def test_a_batch_that_cannot_be_is_named(
    tiny: ImageBind, modality: Modality, batch: torch.Tensor, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        tiny.embed(modality, batch)


def test_a_row_with_nan_is_named(tiny: ImageBind) -> None:
    batch = torch.zeros(4, 1, 224, 224)
    batch[2, 0, 5, 5] = float("nan")
    with pytest.raises(InputError, match="row 2"):
        tiny.embed(Modality.THERMAL, batch)


def test_a_network_that_makes_nan_is_found_out() -> None:
    model = built(TINY.only((Modality.DEPTH,)))
    model.modality_heads["depth"][-1].weight.data[3, 3] = float("nan")  # type: ignore[index, union-attr]
    with pytest.raises(BrokenWeights, match="not finite"):
        model.embed(Modality.DEPTH, torch.zeros(1, 1, 224, 224))


def test_a_checkpoint_that_does_not_fit_is_named(tiny: ImageBind) -> None:
    whole = tiny.state_dict()
    names = list(whole)
    for change, said in (
        ({}, f"lacks {len(names)} of {len(names)} tensors.* and {len(names) - 5} more"),
        ({**whole, names[0]: torch.zeros(2)}, rf"{names[0]} is \(2,\) and should be"),
        ({**whole, "decoder.weight": torch.zeros(2)}, "1 tensors too many.*decoder.weight"),
        ({n: t for n, t in whole.items() if n != names[7]}, f"lacks 1 .*{names[7]}"),
    ):
        with pytest.raises(WeightsError, match=said):
            load_into(ImageBind(TINY), change, "it")
    seven = {f"more.{n}": torch.zeros(1) for n in range(7)}
    with pytest.raises(WeightsError, match=r"more\.4 and 2 more"):
        load_into(ImageBind(TINY), {**whole, **seven}, "it")
