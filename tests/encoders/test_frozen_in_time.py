"""Frozen in Time: equal to the golden answers, and to itself in any batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from encoders.errors import InputError, WeightsError
from encoders.frozen_in_time.config import BASE, TINY, FrozenInTimeConfig
from encoders.frozen_in_time.model import TEMPORAL, FrozenInTime, fit_frames
from encoders.weights import load_into, read_state_dict
from tests.encoders.standin import give_standin_weights, noise, without_weights

CONFIGS = {"tiny": TINY, "base": BASE}
SLOW_BASE = pytest.param("base", marks=pytest.mark.slow("a network of the published size, 20 s"))


def built(config: FrozenInTimeConfig) -> FrozenInTime:
    with without_weights():
        model = FrozenInTime(config).eval().requires_grad_(False)
    give_standin_weights(model)
    return model


@pytest.fixture(scope="module")
def tiny() -> FrozenInTime:
    return built(TINY)


@pytest.mark.parametrize("name", ["tiny", "base"])
def test_the_state_dict_is_the_published_one(golden_dir: Path, name: str) -> None:
    with torch.device("meta"):
        model = FrozenInTime(CONFIGS[name])
    got = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    file = golden_dir / f"frozen_{name}.state_dict.json"
    assert got == {key: tuple(shape) for key, shape in json.loads(file.read_text()).items()}


@pytest.mark.parametrize("name", ["tiny", SLOW_BASE])
def test_the_golden_answers(golden_dir: Path, name: str) -> None:
    """Cosine >= 0.99999 and relative error <= 1e-3 for every row."""
    model = built(CONFIGS[name])
    with (
        np.load(golden_dir / f"frozen_{name}.npz") as wanted,
        torch.inference_mode(),
    ):
        text = tuple(torch.from_numpy(wanted[f"text.{part}"]) for part in ("ids", "mask"))
        clips = {
            f: torch.from_numpy(noise(f"input.frozen.{f}", (2, f, 3, 224, 224))) for f in (1, 4)
        }
        got = {
            "text": (model.reference("text", text), model.embed("text", text)),  # type: ignore[arg-type]
            "video.1f": (model.reference("video", clips[1]), model.embed("video", clips[1])),
            "video.4f": (model.reference("video", clips[4]), model.embed("video", clips[4])),
        }
        for key, (projected, unit) in got.items():
            want = wanted[key]
            lengths = np.linalg.norm(want, axis=1, keepdims=True)
            error = np.linalg.norm(projected.numpy() - want, axis=1) / lengths[:, 0]
            assert error.max() <= 1e-3, f"{key}: relative error {error.max()}"
            assert (unit.numpy() * want / lengths).sum(1).min() >= 0.99999, key


def test_batches_of_any_size_and_order_give_the_same_rows(tiny: FrozenInTime) -> None:
    clips = torch.from_numpy(noise("clips", (5, 3, 3, 224, 224)))
    ids = torch.from_numpy(np.random.default_rng(0).integers(1000, 30000, (5, 9)))
    mask = (torch.arange(9) < torch.tensor([3, 9, 5, 1, 7])[:, None]).long()
    with torch.inference_mode():
        video = tiny.embed("video", clips)
        text = tiny.embed("text", (ids, mask))
        for some in (slice(0, 1), slice(3, 5), [4, 2, 0]):
            assert torch.allclose(tiny.embed("video", clips[some]), video[some], atol=1e-5)
            alone = tiny.embed("text", (ids[some], mask[some]))
            assert torch.allclose(alone, text[some], atol=1e-5)
    assert torch.allclose(video.norm(dim=1), torch.ones(5), atol=1e-5)


def test_the_order_of_frames_matters_and_an_image_is_a_video_of_one(tiny: FrozenInTime) -> None:
    clip = torch.from_numpy(noise("clip", (1, 4, 3, 224, 224)))
    with torch.inference_mode():
        forward, backward = (tiny.embed("video", c) for c in (clip, clip.flip(1)))
        assert not torch.allclose(forward, backward, atol=1e-3)
        assert tiny.embed("video", clip[:, :1]).shape == (1, TINY.dimension)


def test_checkpoints_of_other_frame_counts(tiny: FrozenInTime) -> None:
    state = tiny.state_dict()
    clip = torch.from_numpy(noise("clip", (1, 2, 3, 224, 224)))
    for frames, grow in ((2, "zeros"), (8, "zeros"), (8, "interpolate")):
        fitted = fit_frames(state, frames, grow=grow)  # type: ignore[arg-type]
        table = fitted[TEMPORAL]
        assert table.shape == (1, frames, TINY.width)
        if grow == "zeros":
            known = min(frames, 4)
            assert torch.equal(table[:, :known], state[TEMPORAL][:, :known])
            assert (table[:, known:] == 0).all()
            other = FrozenInTime(FrozenInTimeConfig(32, 48, 2, 4, frames, TINY.text)).eval()
            load_into(other, fitted, "the other")
            with torch.inference_mode():
                assert torch.allclose(other.embed("video", clip), tiny.embed("video", clip))
        else:
            ends = table[:, [0, -1]]
            assert torch.allclose(ends, state[TEMPORAL][:, [0, -1]], atol=1e-6)
    assert tiny.state_dict()[TEMPORAL].shape == (1, 4, TINY.width)


class _TrainersConfig:
    """Stands for the object of the trainer's own class that the published files carry."""

    def __init__(self) -> None:
        self.exper_name = "4f"


def test_a_published_checkpoint_loads_without_its_trainer(
    tmp_path: Path, tiny: FrozenInTime
) -> None:
    state = {f"module.{name}": tensor for name, tensor in tiny.state_dict().items()}
    file = tmp_path / "4f.pth.tar"
    torch.save({"epoch": 3, "state_dict": state, "config": _TrainersConfig()}, file)
    read = read_state_dict(file)
    assert read.keys() == tiny.state_dict().keys()
    other = FrozenInTime(TINY)
    load_into(other, read, str(file))
    clip = torch.from_numpy(noise("clip", (1, 2, 3, 224, 224)))
    with torch.inference_mode():
        assert torch.equal(other.eval().embed("video", clip), tiny.embed("video", clip))
    with pytest.raises(WeightsError, match="should be"):
        load_into(FrozenInTime(TINY), fit_frames(read, 5), "of five frames")
    save_file(read, tmp_path / "copy.safetensors")
    assert read_state_dict(tmp_path / "copy.safetensors").keys() == read.keys()


@pytest.mark.parametrize(
    ("modality", "batch", "said"),
    [
        ("video", torch.zeros(2, 5, 3, 224, 224), "1 to 4"),
        ("video", torch.zeros(0, 1, 3, 224, 224), "empty"),
        ("video", torch.zeros(2, 3, 224, 224), "has shape"),
        ("video", torch.zeros(1, 1, 3, 224, 224, dtype=torch.uint8), "uint8"),
        ("video", torch.full((1, 1, 3, 224, 224), float("nan")), "row 0"),
        ("text", torch.zeros(1, 4), "pair"),
        ("text", (torch.zeros(1, 0).long(), torch.zeros(1, 0).long()), "empty"),
        ("text", (torch.full((1, 3), 40_000), torch.ones(1, 3).long()), "vocabulary"),
        ("text", (torch.ones(1, 3).long(), torch.zeros(1, 3).long()), "masked"),
        ("audio", torch.zeros(1, 4), "video and text"),
    ],
)
def test_bad_input_is_named(tiny: FrozenInTime, modality: str, batch: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        tiny.embed(modality, batch)  # type: ignore[arg-type]
