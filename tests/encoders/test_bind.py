"""Binding by pairs: tables of pairs, and a training that learns."""

from __future__ import annotations

import csv
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from encoders.bind.augment import Augmentation
from encoders.bind.inputs import Inputs
from encoders.bind.pairs import Pair, read_pairs
from encoders.bind.recall import recalls
from encoders.bind.train import BindSettings, Epoch, Training
from encoders.errors import InputError
from encoders.imagebind.config import ImageBindConfig, TowerConfig
from encoders.imagebind.model import ImageBind
from encoders.mini.init import fresh_state_dict
from encoders.modality import Modality
from encoders.preprocess.text import token_ids
from encoders.weights import load_into

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 40),
    "blue": (40, 50, 220),
    "yellow": (230, 220, 30),
    "white": (245, 245, 245),
    "black": (10, 10, 10),
}
SMALL = ImageBindConfig(
    16,
    {
        Modality.VISION: TowerConfig(32, 1, 2),
        Modality.TEXT: TowerConfig(32, 1, 2),
        Modality.AUDIO: TowerConfig(32, 1, 2, bias_kv=True),
    },
    image_size=28,
)
# Colours are what these pictures are told by, so they are left alone.
CALM = Augmentation(crop_least=0.8, colour=0.0, grey=0.0, drop_words=0.0)


def load_wav(path: Path) -> NDArray[np.int16]:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def write_tone(path: Path, pitch_hz: float) -> None:
    tone = 8000 * np.sin(2 * np.pi * pitch_hz * np.arange(40_000) / 16_000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(tone.astype(np.int16).tobytes())


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A colour a picture, its name, and for each a tone of its own."""
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "text", "audio"])
        for number, (name, colour) in enumerate(COLOURS.items()):
            Image.new("RGB", (60, 40), colour).save(tmp_path / f"{name}.png")
            write_tone(tmp_path / f"{name}.wav", 200.0 * 1.6**number)
            rows.writerow([f"{name}.png", name, f"{name}.wav"])
    return tmp_path / "pairs.csv"


def small_model(seed: int = 0) -> ImageBind:
    model = ImageBind(SMALL)
    load_into(model, fresh_state_dict(model, seed), "fresh")
    return model.eval()


def trained(table: Path, settings: BindSettings, model: ImageBind) -> tuple[Training, list[Epoch]]:
    pairs = read_pairs(table)
    training = Training(model, settings, [Modality.TEXT, Modality.AUDIO])
    inputs = Inputs(SMALL.image_size, load_wav, CALM, ("{}",))
    return training, list(training.epochs(pairs, inputs))


def test_pairs_are_read_from_both_kinds_of_table(table: Path) -> None:
    pairs = read_pairs(table)
    assert len(pairs) == 2 * len(COLOURS)
    first = pairs[0]
    assert (first.modality, first.other, first.thing) == (Modality.TEXT, "red", 0)
    assert pairs[1].modality is Modality.AUDIO
    assert pairs[1].thing == 0
    rows = [
        {"image": f"{name}.png", "text": name if name != "red" else None, "audio": f"{name}.wav"}
        for name in COLOURS
    ]
    parquet = table.with_suffix(".parquet")
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    assert read_pairs(parquet) == pairs[1:], "an empty cell is no pair"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("picture,text\na.png,x\n", "no column 'image'"),
        ("image,smell\nred.png,x\n", "columns image, smell"),
        ("image,text\nnowhere.png,x\n", "row 1: there is no"),
        ("image,text,audio\nred.png,,no.wav\n", r"row 1: there is no .*no\.wav"),
        ("image,text\nred.png, \n", "has no pair"),
        ("image,text\n", "or no row"),
    ],
)
def test_a_table_that_cannot_be_is_named(table: Path, text: str, said: str) -> None:
    table.write_text(text)
    with pytest.raises(InputError, match=said):
        read_pairs(table)


@pytest.mark.slow("a training, 20 s")
def test_a_training_binds_and_the_unpaired_senses_with_it(table: Path) -> None:
    """Words and sounds were never a pair; both found the pictures, and so each other."""
    settings = BindSettings(epochs=100, batch=6, learning_rate=2e-3, seed=1)
    training, epochs = trained(table, settings, small_model())
    assert [epoch.number for epoch in epochs] == list(range(1, 101))
    for modality in (Modality.TEXT, Modality.AUDIO):
        assert epochs[-1].loss[modality] < 0.5 * epochs[0].loss[modality]
        assert epochs[-1].alike[modality] < 0.9
    pairs = read_pairs(table)
    inputs = Inputs(SMALL.image_size, load_wav, CALM, ("{}",))
    spoken = [pair for pair in pairs if pair.modality is Modality.TEXT]
    heard = [pair for pair in pairs if pair.modality is Modality.AUDIO]
    model = training.model
    with torch.inference_mode():
        seen = model.embed(Modality.VISION, inputs.pictures(spoken, None)).numpy()
        words = model.embed(Modality.TEXT, inputs.others(Modality.TEXT, spoken, None)).numpy()
        sounds = model.embed(Modality.AUDIO, inputs.others(Modality.AUDIO, heard, None)).numpy()
    numbers = range(len(COLOURS))
    for asked, there in ((words, seen), (seen, words), (sounds, seen), (sounds, words)):
        assert recalls(asked, there, numbers, numbers, (1,))[0].share >= 5 / 6


def test_a_collapse_is_seen(table: Path) -> None:
    """A network that reads no word says the same of every text."""
    model = small_model()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "text.token_embedding" in name:
                parameter.zero_()
    still = BindSettings(epochs=1, batch=6, learning_rate=1e-9)
    _, [epoch] = trained(table, still, model)
    assert epoch.alike[Modality.TEXT] > 0.98


@pytest.mark.slow("three trainings, 16 s")
def test_a_seed_gives_the_same_run_stopped_or_not(table: Path, tmp_path: Path) -> None:
    settings = BindSettings(epochs=4, batch=4, seed=3)
    whole, epochs = trained(table, settings, small_model())
    again, _ = trained(table, settings, small_model())
    halted = Training(small_model(), settings, [Modality.TEXT, Modality.AUDIO])
    inputs = Inputs(SMALL.image_size, load_wav, CALM, ("{}",))
    steps: Iterator[Epoch] = halted.epochs(read_pairs(table), inputs)
    next(steps)
    next(steps)
    torch.save(halted.state(), tmp_path / "state.pt")
    resumed = Training(small_model(9), settings, [Modality.TEXT, Modality.AUDIO])
    resumed.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    fresh = Inputs(SMALL.image_size, load_wav, CALM, ("{}",))
    rest = list(resumed.epochs(read_pairs(table), fresh))
    assert [epoch.number for epoch in rest] == [3, 4]
    assert rest[-1].loss == epochs[-1].loss
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_what_is_frozen_stays(table: Path) -> None:
    model = small_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    frozen = (Modality.VISION, Modality.TEXT)
    scales = {Modality.AUDIO: 20.0}
    settings = BindSettings(epochs=2, batch=6, frozen=frozen, scales=scales, learn_scales=False)
    with pytest.raises(InputError, match="text is frozen too"):
        Training(model, settings, [Modality.TEXT])
    heard = [pair for pair in read_pairs(table) if pair.modality is Modality.AUDIO]
    training = Training(model, settings, [Modality.AUDIO])
    epochs = list(training.epochs(heard, Inputs(SMALL.image_size, load_wav, CALM, ("{}",))))
    assert epochs[-1].scales[Modality.AUDIO] == pytest.approx(20.0)
    moved = {
        n.split(".")[1] for n, t in model.state_dict().items() if not torch.equal(t, before[n])
    }
    assert moved == {"audio"}


def test_settings_and_networks_that_cannot_be(table: Path) -> None:
    for change in ({"epochs": 0}, {"batch": 1}, {"learning_rate": 0.0}):
        with pytest.raises(InputError):
            replace(BindSettings(), **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no tower for depth"):
        Training(small_model(), BindSettings(), [Modality.DEPTH])
    training = Training(small_model(), BindSettings(epochs=1), [Modality.TEXT])
    alone = [Pair(table.parent / "red.png", Modality.TEXT, "red", 0)]
    with pytest.raises(InputError, match="two pairs"):
        list(training.epochs(alone, Inputs(28, load_wav, CALM)))


def test_a_small_vocabulary_knows_some_words_and_one_unknown() -> None:
    known = np.unique(token_ids(["a red bird", "a blue fish"]))
    config = replace(SMALL.only((Modality.TEXT,)), vocabulary=len(known))
    model = ImageBind(config)
    state = fresh_state_dict(model, 0)
    state["modality_preprocessors.text.known_ids"] = torch.from_numpy(known)
    load_into(model, state, "fresh")
    with torch.inference_mode():
        rows = model.eval().embed(
            Modality.TEXT,
            torch.from_numpy(token_ids(["a red bird", "a red fish", "a red cow", "a red horse"])),
        )
    assert not torch.allclose(rows[0], rows[1], atol=1e-4)
    assert torch.allclose(rows[2], rows[3], atol=1e-6), "neither cow nor horse is known"
    with pytest.raises(ValueError, match="image_size"):
        replace(SMALL, image_size=100)
