"""The evaluation of sensedex-mini: what is held out is held out, and the figures are counted right.

On Debian's stamps where they are installed, and on a small folder like theirs everywhere.
"""

from __future__ import annotations

import csv
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from encoders.bind import augment
from encoders.bind.augment import Augmentation, without_article
from encoders.bind.inputs import Inputs
from encoders.card import EncoderCard
from encoders.catalogue import CARDS
from encoders.errors import InputError
from encoders.mini import train
from encoders.mini.stamps import STAMPS, Stamps, draw, pairs_of, read_stamps, unseen
from encoders.modality import Modality
from encoders.precision import TowerPrecision
from tests.eval import held_out
from tests.eval.figures import World, all_figures, read_paraphrases

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="20mm" height="10mm">'
    '<rect width="9" height="9"/></svg>'
)


def write_tone(path: Path, pitch_hz: float) -> None:
    tone = 8000 * np.sin(2 * np.pi * pitch_hz * np.arange(50_000) / 16_000)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(tone.astype(np.int16).tobytes())


def stamp(folder: Path, name: str, caption: str, shape: str = "ellipse") -> None:
    picture = Image.new("RGBA", (90, 60))
    colour = (40 * len(name) % 255, 90, 30 * len(caption) % 255, 255)
    getattr(ImageDraw.Draw(picture), shape)((5, 5, 80, 50), fill=colour)
    picture.save(folder / f"{name}.png")
    (folder / f"{name}.txt").write_text(f"{caption}\nde.utf8=Etwas.\n", encoding="utf-8")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder as the package's: three things, one of them twice, two that sound."""
    root = tmp_path / "stamps"
    (root / "animals").mkdir(parents=True)
    stamp(root / "animals", "cow", "A cow.")
    stamp(root / "animals", "cow-brown", "A cow.", "rectangle")
    stamp(root / "animals", "cow_mirror", "A cow.")
    (root / "cow.png").write_bytes((root / "animals" / "cow.png").read_bytes())
    (root / "cow.txt").write_text("A cow.\n")
    stamp(root / "animals", "dog", "A dog.", "rectangle")
    (root / "star.svg").write_text(SVG)
    (root / "star.txt").write_text("A star.\n")
    (root / "lonely.txt").write_text("A caption without a picture.\n")
    for name, pitch in (("cow", 300.0), ("dog", 700.0), ("dog_desc", 500.0)):
        write_tone(root / "animals" / f"{name}.ogg", pitch)  # ffmpeg looks at what is in it
    return root


def test_stamps_are_read_as_things(small: Path, tmp_path: Path) -> None:
    stamps = read_stamps(small)
    assert [s.name for s in stamps.learned] == ["animals_cow", "animals_dog", "star"]
    assert [s.name for s in stamps.held_out] == ["animals_cow-brown", "cow"], "not what is turned"
    others = unseen(stamps, tmp_path / "drawn")
    assert [s.name for s in others] == ["animals_cow-brown"], "a copy is no other picture"
    pairs = pairs_of(stamps, tmp_path / "drawn")
    told = [(p.image.stem, str(p.modality), Path(p.other).name, p.thing) for p in pairs]
    assert told == [
        ("animals_cow", "text", "A cow.", 0),
        ("animals_cow", "audio", "cow.ogg", 0),
        ("animals_dog", "text", "A dog.", 1),
        ("animals_dog", "audio", "dog.ogg", 1),
        ("animals_dog", "audio", "dog_desc.ogg", 1),
        ("star", "text", "A star.", 2),
    ]
    with Image.open(tmp_path / "drawn" / "star.png") as drawn:
        assert drawn.mode == "RGBA"
        assert drawn.size == (256, 128), "millimetres are a size, too"
    with pytest.raises(InputError, match="tuxpaint-stamps-default"):
        read_stamps(tmp_path / "nowhere")


def test_nothing_of_the_evaluation_is_in_training(small: Path, tmp_path: Path) -> None:
    for root in (small, STAMPS):
        if root.is_dir():
            assert_held_out(read_stamps(root), tmp_path / root.name)


def assert_held_out(stamps: Stamps, folder: Path) -> None:
    pairs = pairs_of(stamps, folder)
    trained = {held_out.digest(np.asarray(Image.open(pair.image))) for pair in pairs}
    others = unseen(stamps, folder)
    assert others
    for other in others:
        picture = np.asarray(Image.open(draw(other, folder)))
        assert held_out.digest(picture) not in trained, f"{other.name} is a known picture"

    size = train.MINI.image_size
    seen: set[str] = set()
    heard: set[str] = set()
    for number, pair in enumerate(pairs):
        random = np.random.default_rng([5, number])
        if pair.modality is Modality.TEXT:
            crop = augment.picture(Image.open(pair.image), size, train.VARIED, random)
            seen.add(held_out.digest(np.asarray(crop)))
        else:
            samples = train.load_sound(Path(pair.other))
            window = augment.sound(samples, held_out.WINDOW_SAMPLES, train.VARIED, random)
            heard.add(held_out.digest(window))
    for number, one in enumerate(stamps.learned):
        cut_out = Image.open(draw(one, folder))
        for form in held_out.FORMS:
            window = held_out.window_of(cut_out, form, number)
            small_one = np.asarray(Image.fromarray(window[0]).resize((size, size)))
            assert held_out.digest(small_one) not in seen
        if one.sound is not None:
            window = held_out.heard(train.load_sound(one.sound), number)
            assert held_out.digest(window) not in heard


def test_no_paraphrase_is_a_training_text(root_dir: Path, small: Path, tmp_path: Path) -> None:
    stamps = read_stamps(STAMPS if STAMPS.is_dir() else small)
    world = World(_Encoder(), stamps, tmp_path)
    path = root_dir / "infra/eval/paraphrases.tsv"
    if not STAMPS.is_dir():
        path = few(tmp_path)
    said = {
        words.casefold() for told in read_paraphrases(world, path).values() for _, words in told
    }
    assert len(said) > 3
    for caption in world.captions:
        for template in (*train.TEMPLATES, *train.STRANGE_TEMPLATES):
            before, _, after = template.replace("{noun}", "{}").partition("{}")
            for words in said:
                if words.startswith(before) and words.endswith(after):
                    rest = words[len(before) : len(words) - len(after) or None].split()
                    assert not could_be(rest, caption, "{noun}" in template), (words, template)


def could_be(words: Sequence[str], caption: str, noun: bool) -> bool:
    """Whether training may say these words of the caption: in its order, some of it left out."""
    first, *rest = caption.rstrip(" .!").casefold().split()
    left = iter(rest)
    if noun and without_article(f"{first} x") == "x":
        return bool(words) and all(word in left for word in words)
    return bool(words) and words[0] == first and all(word in left for word in words[1:])


def test_the_check_sees_a_training_text() -> None:
    """The test above must be able to fail."""
    assert could_be(["a", "cow"], "A red cow.", noun=False)
    assert could_be(["cow"], "A red cow.", noun=True)
    assert not could_be(["cow"], "A red cow.", noun=False)
    assert not could_be(["a", "cow", "red"], "A red cow.", noun=False)


def few(folder: Path) -> Path:
    path = folder / "paraphrases.tsv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerows([("caption", "paraphrase"), ("A cow.", "two horns and a bell")])
    return path


class _Encoder:
    """Knows the answers: everything of a thing is one axis; `wrong` says what it takes for what."""

    card: EncoderCard = CARDS["sensedex-mini"]
    precisions: tuple[TowerPrecision, ...] = ()

    def __init__(self, wrong: dict[str, str] | None = None) -> None:
        self._wrong = wrong or {}
        self._axes: dict[Any, int] = {}

    def encode(
        self, modality: Modality, batch: NDArray[Any] | Sequence[str]
    ) -> NDArray[np.float32]:
        rows = np.zeros((len(batch), 8), np.float32)
        for row, item in zip(rows, batch, strict=True):
            row[self._axis(modality, item)] = 1
        return rows

    def _axis(self, modality: Modality, item: Any) -> int:
        if modality is Modality.TEXT:
            words = self._wrong.get(item, item).lower()
            return next((i for i, n in enumerate(("cow", "dog", "star")) if n in words), 0)
        if modality is Modality.AUDIO:
            pitch = np.argmax(np.abs(np.fft.rfft(item.astype(float)))) / 2
            return int(pitch > 500)
        return 3


def test_figures_are_counted_over_the_right_things(small: Path, tmp_path: Path) -> None:
    """Sounds and captions are known for sure, so their figures are; pictures all look alike."""
    world = World(_Encoder(), read_stamps(small), tmp_path)
    rows = {(f.part, f.query, f.answer): f for f in all_figures(world, few(tmp_path))}
    sure = rows["c", "sound", "caption (of all)"]
    assert (sure.recalls[0].share, sure.recalls[0].queries) == (1.0, 2)
    assert sure.reached
    lost = rows["a", "picture: all", "caption"]
    assert lost.recalls[0].share == 0
    assert lost.recalls[0].queries == 5 * 3
    assert not lost.reached
    assert rows["f", "another picture", "caption"].recalls[0].queries == 1

    mistaken = World(_Encoder({"A cow.": "a dog"}), read_stamps(small), tmp_path)
    rows = {(f.part, f.query, f.answer): f for f in all_figures(mistaken, few(tmp_path))}
    assert rows["c", "sound", "caption (of all)"].recalls[0].share < 1


def test_forms_are_the_same_every_time_and_differ_from_each_other(small: Path) -> None:
    cut_out = Image.open(small / "animals" / "cow.png")
    made = [held_out.digest(held_out.window_of(cut_out, form, 3)) for form in held_out.FORMS]
    again = [held_out.digest(held_out.window_of(cut_out, form, 3)) for form in held_out.FORMS]
    assert made == again
    assert len({*made, held_out.digest(held_out.plain(cut_out))}) == len(held_out.FORMS) + 1
    samples = train.load_sound(small / "animals" / "cow.ogg")
    assert held_out.heard(samples, 1).shape == (held_out.WINDOW_SAMPLES,)
    assert held_out.digest(held_out.heard(samples, 1)) != held_out.digest(
        held_out.heard(samples, 2)
    )


def test_pictures_are_varied_by_level(small: Path, tmp_path: Path) -> None:
    """At level 0 a picture is nearly what it is; at 1 it is never twice alike."""
    pairs = pairs_of(read_stamps(small), tmp_path)[:1]
    inputs = Inputs(28, train.load_sound, Augmentation())
    plain = inputs.pictures(pairs, None)

    def moved(level: float) -> float:
        drawn = [inputs.pictures(pairs, np.random.default_rng(n), level=level) for n in range(8)]
        return float(sum((one - plain).abs().mean() for one in drawn) / 8)

    assert 1.2 * moved(0.0) < moved(0.5) < moved(1.0)
