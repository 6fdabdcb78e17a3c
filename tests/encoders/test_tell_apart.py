"""A picture tower from nothing: spread out first, then taught to tell things apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.bind.augment import Augmentation, some_tokens
from encoders.bind.checkpoint import resume_training, save_training
from encoders.bind.inputs import Inputs
from encoders.bind.muon import orthogonal
from encoders.bind.optimizers import height_at, optimizers_for
from encoders.bind.pairs import Pair
from encoders.bind.train import BindSettings, Training
from encoders.errors import InputError, WeightsError
from encoders.imagebind.config import ImageBindConfig, TowerConfig
from encoders.imagebind.model import ImageBind
from encoders.mini.init import fresh_state_dict, spread
from encoders.mini.pretrain_vision import TellApartSettings, TellingApart
from encoders.modality import Modality
from encoders.weights import load_into
from tests.support import media_files

SMALL = ImageBindConfig(
    16,
    {m: TowerConfig(32, 2, 2) for m in (Modality.VISION, Modality.TEXT)},
    image_size=28,
)
CALM = Augmentation(crop_least=0.8, colour=0.1, grey=0.0, mirror=0.0)
QUICK = TellApartSettings(
    epochs=40, batch=8, learning_rate=2e-3, matrix_rate=1e-2, keep=0.75, harder=0.01
)


def small_model(seed: int = 0) -> ImageBind:
    model = ImageBind(SMALL)
    load_into(model, fresh_state_dict(model, seed), "fresh")
    return model


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """Twelve pictures; the last two show one thing."""
    pairs = []
    for number in range(12):
        path = tmp_path / f"{number}.png"
        Image.fromarray(media_files.picture_array(number, (48, 48))).save(path)
        pairs.append(Pair(path, Modality.TEXT, f"thing {number}", min(number, 10)))
    return pairs


def no_sound(path: Path) -> np.ndarray:
    raise AssertionError(path)


def inputs() -> Inputs:
    return Inputs(SMALL.image_size, no_sound, CALM)


def told_right(model: ImageBind, pairs: list[Pair]) -> float:
    """The share of varied pictures that are nearest to their own plain one."""
    with torch.inference_mode():
        plain = model.embed(Modality.VISION, inputs().pictures(pairs, None))
        varied = model.embed(Modality.VISION, inputs().pictures(pairs, np.random.default_rng(9)))
    return float(((varied @ plain.T).argmax(1) == torch.arange(len(pairs))).float().mean())


@pytest.mark.slow("a training of forty epochs")
def test_things_are_told_apart(pairs: list[Pair]) -> None:
    model = small_model()
    telling = TellingApart(model, QUICK, pairs, inputs())
    lessons = list(telling.epochs())
    assert [lesson.number for lesson in lessons] == list(range(1, 41))
    assert lessons[-1].right > 0.9
    assert 0 == lessons[0].level < lessons[-1].level, "what is told right is varied"
    assert told_right(model, pairs) >= 10 / 12
    with pytest.raises(InputError, match="fewer than a batch"):
        TellingApart(small_model(), replace(QUICK, batch=20), pairs, inputs())


def test_only_vision_learns(pairs: list[Pair]) -> None:
    model = small_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    list(TellingApart(model, replace(QUICK, epochs=1), pairs, inputs()).epochs())
    moved = {
        n.split(".")[1] for n, t in model.state_dict().items() if not torch.equal(t, before[n])
    }
    assert moved == {"vision"}


@pytest.mark.slow("three trainings")
def test_a_stopped_course_ends_as_one_that_never_stopped(pairs: list[Pair], tmp_path: Path) -> None:
    short = replace(QUICK, epochs=4)
    whole = small_model()
    list(TellingApart(whole, short, pairs, inputs()).epochs())
    halted = TellingApart(small_model(), short, pairs, inputs())
    steps = halted.epochs()
    next(steps)
    next(steps)
    save_training(halted, tmp_path / "state")
    resumed = TellingApart(small_model(), short, pairs, inputs())
    resume_training(resumed, tmp_path / "state")
    assert [lesson.number for lesson in resumed.epochs()] == [3, 4]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    other = TellingApart(small_model(), replace(short, seed=5), pairs, inputs())
    with pytest.raises(WeightsError, match="other settings"):
        resume_training(other, tmp_path / "state")


def test_a_spread_tower_points_everywhere(pairs: list[Pair]) -> None:
    def alike(model: ImageBind) -> float:
        with torch.inference_mode():
            seen = model.embed(Modality.VISION, inputs().pictures(pairs, None))
        total = seen.sum(0)
        return float((total @ total - len(seen)) / (len(seen) * (len(seen) - 1)))

    model = small_model()
    assert alike(model) > 0.6, "a fresh tower says nearly the same of everything"
    spread(model, Modality.VISION, inputs().pictures(pairs, None))
    assert abs(alike(model)) < 0.2


def test_matrices_are_made_orthogonal() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 8, 8), (2, 4, 16), (2, 16, 4)):
        made = orthogonal(torch.randn(shape, generator=generator))
        assert made.shape == torch.Size(shape)
        values = torch.linalg.svdvals(made)
        assert float(values.min()) > 0.3
        assert float(values.max()) < 1.3


def test_who_moves_what() -> None:
    model = small_model()
    adam_alone = optimizers_for(model, [], learning_rate=1e-3, weight_decay=0.1)
    assert len(adam_alone) == 1
    _, muon = optimizers_for(model, [], learning_rate=1e-3, weight_decay=0.1, matrix_rate=1e-2)
    inner = {id(p) for group in muon.param_groups for p in group["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in inner}
    assert names
    assert all(".blocks." in name and name.endswith("weight") for name in names)
    assert [height_at(p, 0.1) for p in (0.0, 0.05, 0.1, 1.0)] == pytest.approx([0, 0.5, 1, 0])


def test_some_tokens_always_have_the_class_token() -> None:
    chosen = some_tokens(5, 16, 0.5)
    assert chosen is not None
    assert chosen.shape == (5, 9)
    assert bool((chosen[:, 0] == 0).all())
    assert all(len(set(row.tolist())) == 9 for row in chosen)
    assert some_tokens(5, 16, 1.0) is None


@pytest.mark.slow("two trainings, half a minute")
def test_kept_views_of_frozen_pictures_bind_as_well(pairs: list[Pair]) -> None:
    """Each picture is looked at a few times in all, and words find their pictures nevertheless."""
    model = small_model()
    list(TellingApart(model, QUICK, pairs, inputs()).epochs())
    looks = []

    class Counting(Inputs):
        def pictures(self, pairs, random, *, level=1.0):  # type: ignore[no-untyped-def]
            looks.append(len(pairs))
            return super().pictures(pairs, random, level=level)

    counting = Counting(SMALL.image_size, no_sound, CALM, ("{}",))
    settings = BindSettings(
        epochs=60, batch=6, learning_rate=3e-3, frozen=(Modality.VISION,), views=4
    )
    training = Training(model, settings, [Modality.TEXT])
    epochs = list(training.epochs(pairs, counting))
    assert sum(looks) == 4 * len(pairs), "and never again"
    assert epochs[-1].loss[Modality.TEXT] < 0.5 * epochs[0].loss[Modality.TEXT]
