"""Cards and weights: what is known without loading, and what is said about a wrong checkpoint."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from encoders.catalogue import CARDS, card_for
from encoders.digest import file_digest
from encoders.errors import InputError, UnknownEncoder, WeightsError
from encoders.imagebind.config import DEMO, TINY
from encoders.imagebind.model import ImageBind
from encoders.loading import check_weights, load_encoder
from encoders.modality import Modality
from encoders.preprocess.image import still_windows
from encoders.protocol import Encoder
from encoders.seeded import seeded_state_dict
from encoders.weights import load_into, read_state_dict
from tests.support import media_files


@pytest.fixture(scope="module")
def demo() -> Encoder:
    return load_encoder("imagebind-demo", device="cpu", precision="fp32")


def test_a_card_needs_no_torch(root_dir: Path) -> None:
    code = (
        "import sys; from encoders.catalogue import card_for; card_for('imagebind-demo');"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root_dir)


def test_the_fingerprint_is_that_of_the_space() -> None:
    base = card_for("imagebind-demo")
    assert base.fingerprint() == card_for("imagebind-demo").fingerprint()
    assert base.fingerprint() != card_for("imagebind-demo", seed=1).fingerprint()
    assert len({card.fingerprint() for card in CARDS.values()}) == len(CARDS)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownEncoder, match="imagebind-huge"):
        card_for("clip-of-everything")
    with pytest.raises(WeightsError, match="--weights"):
        card_for("imagebind-huge")
    with pytest.raises(WeightsError, match="nowhere"):
        load_encoder("imagebind-huge", tmp_path / "nowhere.pth", precision="fp32")
    small = tmp_path / "small.safetensors"
    save_file(ImageBind(TINY).state_dict(), small)
    with pytest.raises(WeightsError, match=r"is \(1, 1, 64\) and should be \(1, 1, 192\)"):
        load_encoder("imagebind-demo", small, device="cpu", precision="fp32")
    for load in (check_weights, load_encoder):
        with pytest.raises(WeightsError, match="another network"):
            load("imagebind-huge", small)
    other = tmp_path / "other.safetensors"
    save_file({"layer.weight": torch.zeros(2)}, other)
    with pytest.raises(WeightsError, match="lacks"):
        load_encoder("imagebind-demo", other, device="cpu", precision="fp32")
    text = tmp_path / "text.pth"
    text.write_text("not weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_state_dict(text)


class _Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.write_text, (self.target, "owned")


def test_a_pickle_does_not_run(tmp_path: Path) -> None:
    target = tmp_path / "canary"
    evil = tmp_path / "evil.pth"
    evil.write_bytes(pickle.dumps({"state_dict": _Attack(target)}))
    with pytest.raises(WeightsError):
        read_state_dict(evil)
    torch.save({"w": _Attack(target)}, evil)
    with pytest.raises(WeightsError):
        read_state_dict(evil)
    assert not target.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_checkpoint_comes_back(tmp_path: Path, suffix: str) -> None:
    model = ImageBind(DEMO)
    state = seeded_state_dict(model, 3)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    else:
        save_file(state, path)
    load_into(model, read_state_dict(path), "it")
    encoder = load_encoder("imagebind-demo", path, device="cpu", precision="fp32")
    seeded = load_encoder("imagebind-demo", seed=3, device="cpu", precision="fp32")
    words = ["a dog", "a cat"]
    got, want = (e.encode(Modality.TEXT, words) for e in (encoder, seeded))
    assert np.allclose(got, want, atol=1e-6)
    assert encoder.card.weights_digest == file_digest(path)
    assert encoder.card.fingerprint() != seeded.card.fingerprint()


def test_raw_windows_in_unit_vectors_out(demo: Encoder) -> None:
    frames = np.stack([media_files.picture_array(n, (224, 224))[None] for n in range(3)])
    sound = np.stack([media_files.sound_array(n, 2.0) for n in range(3)])
    for modality, batch in ((Modality.VISION, frames), (Modality.AUDIO, sound)):
        together = demo.encode(modality, batch)
        alone = np.concatenate([demo.encode(modality, row[None]) for row in batch])
        assert together.shape == (3, 256)
        assert together.dtype == np.float32
        assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
        assert np.allclose(together, alone, atol=1e-5)
    texts = demo.encode(Modality.TEXT, ["a", "a much longer text about a dog", "a"])
    assert np.array_equal(texts[0], texts[2])
    alone = demo.encode(Modality.TEXT, ["a much longer text about a dog"])
    assert np.allclose(texts[1], alone[0], atol=1e-5)
    assert demo.encode(Modality.TEXT, []).shape == (0, 256)
    for bad in (frames[0], frames.astype(np.float32), np.zeros((1, 3, 224, 224, 3), np.uint8)):
        with pytest.raises(InputError):
            demo.encode(Modality.VISION, bad)
    with pytest.raises(InputError, match="depth"):
        demo.encode(Modality.DEPTH, frames)


@pytest.mark.slow("encodes pictures and sounds by the dozen, 2 s")
def test_the_demo_encoder_finds_things_again(demo: Encoder) -> None:
    """By a re-encoded picture with its rim cut off, and by a sound with noise added."""
    import io

    from PIL import Image

    pictures = [Image.fromarray(media_files.picture_array(n)) for n in range(40)]
    queries = []
    for picture in pictures:
        width, height = picture.size
        rim = (width // 25, height // 25, width - width // 25, height - height // 25)
        buffer = io.BytesIO()
        picture.crop(rim).save(buffer, "JPEG", quality=60)
        queries.append(Image.open(buffer))
    stored, asked = (
        demo.encode(Modality.VISION, still_windows(some)) for some in (pictures, queries)
    )
    assert ((asked @ stored.T).argmax(1) == np.arange(40)).mean() >= 0.9
    sounds = np.stack([media_files.sound_array(n, 2.0) for n in range(30)])
    noisy = sounds + np.random.default_rng(0).integers(-40, 40, sounds.shape).astype(np.int16)
    stored, asked = (demo.encode(Modality.AUDIO, some) for some in (sounds, noisy))
    assert ((asked @ stored.T).argmax(1) == np.arange(30)).all()
