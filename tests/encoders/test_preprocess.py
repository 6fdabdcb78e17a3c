"""Pre-processing beside the golden answers: pictures, log-mel spectrograms, token ids."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchaudio.compliance import kaldi
from torchaudio.functional import resample

from encoders.errors import InputError
from encoders.preprocess.audio import FRAMES, MEAN, STD, log_mel, log_mel_windows, reference_clips
from encoders.preprocess.image import crop_of, normalize
from encoders.preprocess.text import END_ID, START_ID, clean, token_ids
from tests.support import media_files
from tests.support.python_path import python_path


@pytest.mark.parametrize("name", ["dog", "car", "bird"])
def test_pictures_are_the_golden_ones(shared_dir: Path | None, name: str) -> None:
    if shared_dir is None:
        pytest.skip("no media of the reference beside the checkout")
    with Image.open(shared_dir / f"media/imagebind_assets/{name}_image.jpg") as picture:
        frames = torch.from_numpy(crop_of(picture)[None, None].copy())
    with np.load(shared_dir / f"golden/preprocess/{name}_image.vision.npz") as wanted:
        got = normalize(frames, torch.float32)[0].numpy()
        assert np.abs(got - wanted["pixels"]).max() <= 0.02


@pytest.mark.parametrize("name", ["dog", "car", "bird"])
def test_sounds_are_the_golden_ones(shared_dir: Path | None, name: str) -> None:
    """All three of the reference's clips."""
    if shared_dir is None:
        pytest.skip("no media of the reference beside the checkout")
    with wave.open(str(shared_dir / f"media/imagebind_assets/{name}_audio.wav")) as file:
        rate, channels = file.getframerate(), file.getnchannels()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    waveform = torch.from_numpy(samples.reshape(-1, channels).T / np.float32(32768))
    with np.load(shared_dir / f"golden/preprocess/{name}_audio.audio.npz") as wanted:
        got = reference_clips(waveform, rate).numpy()
        assert got.shape == wanted["melspec"].shape
        assert np.abs(got - wanted["melspec"]).max() <= 0.05


def test_clips_of_a_recording_are_what_torchaudio_makes_of_each() -> None:
    """The three clips at the reference's times: of two channels, at another rate, its first."""
    rate = 44_100
    both = np.stack([media_files.sound_array(n, 5 * rate / 16_000) for n in (1, 2)])  # 5 s
    waveform = torch.from_numpy(both.astype(np.float32) / 32768)
    got = reference_clips(waveform, rate)
    assert got.shape == (3, 1, 128, FRAMES)
    sound = resample(waveform, rate, 16_000)
    for mine, start in zip(got, (0, 24_000, 48_000), strict=True):
        piece = sound[:, start : start + 32_000]
        theirs = banks_of((piece - piece.mean())[:1])
        assert torch.allclose(mine[0], theirs, atol=1e-3)


def banks_of(centred: torch.Tensor) -> torch.Tensor:
    banks = kaldi.fbank(
        centred,
        htk_compat=True,
        sample_frequency=16_000,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=128,
        dither=0.0,
    )
    return (torch.nn.functional.pad(banks.T, (0, FRAMES - len(banks))) - MEAN) / STD


def test_a_batch_of_sounds_is_what_torchaudio_makes_of_each() -> None:
    sound = np.stack([media_files.sound_array(n, 2.0) for n in range(4)])
    got = log_mel_windows(sound)
    for mine, samples in zip(got, sound, strict=True):
        waveform = torch.from_numpy(samples.astype(np.float32) / 32768)
        theirs = banks_of((waveform - waveform.mean())[None])
        assert torch.allclose(mine[0], theirs, atol=1e-4)


def test_sound_is_padded_after_the_filter_banks() -> None:
    short = media_files.sound_array(1, 0.5)[None]
    mel = log_mel_windows(short)
    assert mel.shape == (1, 1, 128, FRAMES)
    assert torch.allclose(mel[..., 60:], torch.tensor(-MEAN / STD))
    assert torch.isfinite(log_mel_windows(np.zeros((2, 400), np.int16))).all()
    for bad in (torch.zeros(1, 399), torch.zeros(0, 800), torch.full((1, 800), torch.nan)):
        with pytest.raises(InputError):
            log_mel(bad)


def test_a_torchaudio_of_another_torch_is_named(root_dir: Path, tmp_path: Path) -> None:
    """pip puts any two beside each other; `sensedex doctor` and every command that loads an encoder
    end with this."""
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio/__init__.py").write_text("raise OSError('undefined symbol')\n")
    code = (
        "from encoders.errors import BrokenInstall\n"
        "from encoders.loading import load_encoder\n"
        "from flows.cli.doctor import _packages\n"
        "try: load_encoder('sensedex-mini', device='cpu', precision='fp32')\n"
        "except BrokenInstall as error: print(error)\n"
        "print(_packages().verdict.name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": python_path(tmp_path, root_dir)},
        capture_output=True,
        text=True,
        check=True,
    )
    said, doctor = done.stdout.splitlines()
    assert f"does not load beside torch {torch.__version__}: undefined symbol" in said
    assert 'pip install "torchaudio==' in said
    assert doctor == "FAIL"


def test_tokens_are_the_golden_ones(golden_dir: Path) -> None:
    rows = json.loads((golden_dir / "text_tokens.json").read_text())
    assert len(rows) == 13
    # The last row's literal special tokens are the reference's quirk; they are text here.
    for row in rows[:-1]:
        assert token_ids([row["text"]])[0].tolist() == row["tokens"], row["text"]
    assert token_ids([rows[-1]["text"]])[0].tolist() != rows[-1]["tokens"]


def test_tokens_without_the_golden_ones() -> None:
    ids = token_ids(["A dog.", "", "word " * 200, "&amp;lt;b&amp;gt;"])
    assert ids[0, :5].tolist() == [START_ID, 320, 1929, 269, END_ID]
    assert ids[1, :3].tolist() == [START_ID, END_ID, 0]
    assert ids[2, -1] == END_ID
    assert (ids[2] != 0).all()
    assert clean("  &amp;lt;b&amp;gt;\n x ") == "<b> x"


@pytest.mark.parametrize("size", [(640, 427), (300, 501), (224, 224)])
def test_a_picture_is_resized_cropped_and_normalised(size: tuple[int, int]) -> None:
    """As the reference does it: short side to 224, bicubic, the middle, CLIP's mean and spread."""
    pixels = np.random.default_rng(3).integers(0, 255, (size[1] // 8, size[0] // 8, 3), np.uint8)
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    width, height = (224 * side // min(size) for side in size)
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    crop = picture.resize((width, height), Image.Resampling.BICUBIC).crop(
        (left, top, left + 224, top + 224)
    )
    mean, spread = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    wanted = (np.asarray(crop) / 255 - mean) / spread
    frames = torch.from_numpy(crop_of(picture)[None, None].copy())
    got = normalize(frames, torch.float32)[0].numpy()
    assert np.abs(got - wanted.transpose(2, 0, 1)).max() <= 0.02


def test_a_picture_keeps_its_centre_and_its_shape() -> None:
    wide = np.zeros((100, 400, 3), np.uint8)
    wide[:, 150:250] = (255, 0, 0)  # the middle square is red
    crop = crop_of(Image.fromarray(wide))
    assert crop.shape == (224, 224, 3)
    assert (crop[:, 10:-10] == (255, 0, 0)).all()
    clip = normalize(torch.zeros(2, 2, 224, 224, 3, dtype=torch.uint8), torch.float32)
    assert clip.shape == (2, 3, 2, 224, 224)
