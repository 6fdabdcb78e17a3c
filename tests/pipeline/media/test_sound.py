"""Sound on the picture's time line: 16 kHz, mono, int16."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import MediaRejected
from pipeline.media.pyav_sound import to_int16
from pipeline.records import MediaType, Status
from tests.pipeline.media.clips import (
    decoded,
    ffmpegs,
    tone,
    write_numbered,
    write_sound,
)
from tests.support.ffmpeg_program import run_ffmpeg

TIMES = [Fraction(n, 25) for n in range(100)]  # 4 s
DECODERS = ["pyav", "ffmpeg"]


def clicks(seconds: float, at_s: float, rate_hz: int = 16_000) -> np.ndarray:
    sound = np.zeros(round(seconds * rate_hz), np.int16)
    sound[round(at_s * rate_hz)] = 20_000
    return sound


@pytest.mark.parametrize("decoder", DECODERS)
def test_samples_are_kept_bit_for_bit(tmp_path: Path, decoder: str) -> None:
    noise = np.random.default_rng(0).integers(-32768, 32767, 40_000, dtype=np.int16)
    got = decoded(write_sound(tmp_path / "noise.wav", noise), decoder=decoder)
    assert np.array_equal(got.sound, noise)
    assert got.spans == [(0, 2000), (2000, 2500)]
    assert got.info.media_type is MediaType.AUDIO
    assert (got.info.sample_rate_hz, got.info.channels, got.info.declared_ms) == (16000, 1, 2500)
    assert all(w.frames is None for w in got.windows)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("start_s", [0.0, 0.7])
def test_offset_to_the_picture(tmp_path: Path, decoder: str, start_s: float) -> None:
    clip = write_numbered(
        tmp_path / "offset.mkv", TIMES, sound=clicks(3.0, 1.25), sound_start_s=start_s
    )
    got = decoded(clip, decoder=decoder)
    peak = int(np.abs(got.sound.astype(int)).argmax())
    assert abs(peak - round((1.25 + start_s) * 16_000)) <= 1
    assert got.numbers == [[12, 37], [62, 87]]


@pytest.mark.parametrize("decoder", DECODERS)
def test_picture_that_begins_first_pads_the_sound(tmp_path: Path, decoder: str) -> None:
    clip = write_numbered(tmp_path / "late.mkv", TIMES, sound=tone(1.0), sound_start_s=2.5)
    got = decoded(clip, decoder=decoder)
    first, second = got.windows[0].sound, got.windows[1].sound
    assert first is not None
    assert second is not None
    assert not first.any()
    assert not second[: 8_000 - 2].any()
    assert second[8_000:8_400].any()


@pytest.mark.parametrize("decoder", DECODERS)
def test_no_sound_is_no_error(tmp_path: Path, decoder: str) -> None:
    got = decoded(write_numbered(tmp_path / "mute.mp4", TIMES), decoder=decoder)
    assert got.windows
    assert all(w.sound is None for w in got.windows)
    assert got.end.status is Status.INDEXED
    assert not got.end.silent


@pytest.mark.slow("both decoders for each, 4 s of these")
@pytest.mark.parametrize(("rate_hz", "channels"), [(44_100, 2), (8_000, 1), (48_000, 6)])
def test_both_give_the_same_sound(tmp_path: Path, rate_hz: int, channels: int) -> None:
    clip = tmp_path / "sound.m4a"
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    run_ffmpeg("-f", "lavfi", "-i", f"anoisesrc=r={rate_hz}:d=3.3:seed=1:a=0.3,lowpass=f=2000",
               "-af", f"aformat=channel_layouts={layout}", "-c:a", "aac", clip)  # fmt: skip
    ours = decoded(clip, decoder="pyav")
    assert ours.info.channels == channels
    assert abs(len(ours.sound) - 3.3 * 16_000) <= 2
    for program in ffmpegs():
        theirs = decoded(clip, decoder="ffmpeg", ffmpeg_path=program)
        assert abs(len(theirs.sound) - len(ours.sound)) <= 1
        shortest = min(len(ours.sound), len(theirs.sound))
        a, b = ours.sound[:shortest].astype(float), theirs.sound[:shortest].astype(float)
        assert np.corrcoef(a, b)[0, 1] > 0.999


def test_mono_is_the_mean_and_does_not_clip(tmp_path: Path) -> None:
    run_ffmpeg("-f", "lavfi", "-i", "sine=440:r=16000:d=1,volume=8", "-ac", "2", "-c:a",
               "pcm_s16le", tmp_path / "loud.wav")  # fmt: skip
    with av.open(str(tmp_path / "loud.wav")) as container:
        left = np.concatenate([f.to_ndarray()[0, ::2] for f in container.decode(audio=0)])
    got = decoded(tmp_path / "loud.wav").sound
    assert np.abs(got.astype(int) - left[: len(got)]).max() <= 1


def test_what_is_no_number_becomes_silence(tmp_path: Path) -> None:
    samples = np.array([0.5, np.nan, np.inf, -np.inf, 1.0, -1.0, 0.0], np.float32)
    assert to_int16(samples).tolist() == [16384, 0, 0, 0, 32767, -32768, 0]
    sound = tone(1.0).astype(np.float32) / 32768
    sound[4000:4010] = np.nan
    path = tmp_path / "nan.wav"
    with av.open(str(path), "w") as container:
        track = container.add_stream("pcm_f32le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound[None], format="flt", layout="mono")
        frame.sample_rate = 16_000
        container.mux(track.encode(frame) + track.encode(None))
    got = decoded(path).sound
    assert not got[4000:4010].any()
    assert np.abs(got[:3990].astype(int) - tone(1.0)[:3990]).max() <= 1


def test_silence_is_told(tmp_path: Path) -> None:
    assert decoded(write_sound(tmp_path / "a.wav", np.zeros(16_000, np.int16))).end.silent
    assert not decoded(write_sound(tmp_path / "b.wav", tone(1.0))).end.silent


@pytest.mark.parametrize("decoder", DECODERS)
def test_too_short(tmp_path: Path, decoder: str) -> None:
    path = write_sound(tmp_path / "blip.wav", tone(0.03))
    with pytest.raises(MediaRejected) as caught:
        decoded(path, decoder=decoder)
    assert caught.value.code == "too_short"


def test_a_tail_of_sound_opens_no_window(tmp_path: Path) -> None:
    got = decoded(write_sound(tmp_path / "tail.wav", tone(2.03)))
    assert got.spans == [(0, 2000)]


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    song = tmp_path / "song.flac"
    run_ffmpeg("-f", "lavfi", "-i", "sine=440:d=2.5", "-f", "lavfi", "-i",
               "color=red:s=64x64:d=0.04:r=25", "-map", "0", "-map", "1", "-c:v", "png",
               "-disposition:v:0", "attached_pic", "-c:a", "flac", song)  # fmt: skip
    got = decoded(song)
    assert got.info.media_type is MediaType.AUDIO
    assert all(w.frames is None for w in got.windows)
    assert got.spans == [(0, 2000), (2000, 2500)]


def test_dts_stored_as_if_it_were_samples(tmp_path: Path) -> None:
    """As on a DTS CD: the header says PCM, and played as that it is noise."""
    run_ffmpeg(
        *("-f", "lavfi", "-i", "sine=440:r=44100:d=3", "-ac", "2", "-c:a", "dca"),
        *("-strict", "-2", "-b:a", "768k", "-f", "dts", tmp_path / "stream.dts"),
    )
    with wave.open(str(tmp_path / "cd.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes((tmp_path / "stream.dts").read_bytes())
    sound = decoded(tmp_path / "cd.wav", decoder="pyav").sound[8000:24_000]
    spectrum = np.abs(np.fft.rfft(sound))
    assert spectrum.argmax() == 440  # a second of sound: bins of 1 Hz
    assert spectrum[430:450].sum() > 0.5 * spectrum.sum()
