"""The device's decoder, by all that needs no device: which objects it is offered, what is refused,
how it is proved, what a child may reach for its sake. tests/gpu/ has the device.

Where a child has to decode, `standing_in` decodes on the CPU in the device's place: PyAV with no
accelerator, by the same reader.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.codec.hwaccel import HWAccel

from flows.cli.doctor import nvdec_finding
from flows.cli.finding import Verdict
from pipeline.embed import nvdec_proof
from pipeline.embed.nvdec_proof import CodecProof, compared, kept_proof, nvdec_use
from pipeline.errors import MediaRejected, SettingsError
from pipeline.media import nvdec
from pipeline.media.decode import decode
from pipeline.media.nvdec import CODECS, DeviceUnavailable, NvdecUse, check_nvdec, make_clip
from pipeline.media.sandbox import shared_child
from pipeline.media.sandbox.client import start_job
from pipeline.media.sandbox.protocol import receive_facts
from pipeline.media.sandbox.shared_child import SandboxDecoder
from pipeline.media.window import DecodeEnd, Window
from pipeline.settings_embedding import DecodeSettings

AUTO, ALWAYS = DecodeSettings(), DecodeSettings(decoder="nvdec")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nvdec") / "clip.mkv"
    make_clip(path, "h264")
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def _no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvdec, "_DEVICES", tmp_path)


@pytest.fixture
def a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Device files of two GPUs, as a driver makes them; there is nothing behind them."""
    folder = tmp_path / "dev"
    (folder / "nvidia-caps").mkdir(parents=True)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (folder / name).touch()
    monkeypatch.setattr(nvdec, "_DEVICES", folder)
    return folder


@pytest.fixture
def standing_in(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The CPU in the device's place, in this process; the codecs that it was asked to begin."""
    asked: list[str] = []

    def starts(_use: NvdecUse, codec: str) -> bool:
        asked.append(codec)
        return True

    monkeypatch.setattr(NvdecUse, "starts", starts)
    monkeypatch.setattr(NvdecUse, "accelerator", lambda _use: None)
    return asked


def windows(items: Iterator[Any]) -> list[Window]:
    return [item for item in items if isinstance(item, Window)]


@pytest.mark.usefixtures("_no_device")
def test_without_a_device_it_is_refused_in_a_sentence_and_auto_goes_on() -> None:
    assert not nvdec.is_there()
    with pytest.raises(SettingsError, match="there is no NVIDIA GPU here") as told:
        check_nvdec(ALWAYS)
    assert "Set decode.decoder to auto" in told.value.remedy
    check_nvdec(AUTO)
    assert nvdec_use(AUTO) is None
    assert nvdec_use(ALWAYS) is None
    found = nvdec_finding(ALWAYS)
    assert found.verdict is Verdict.FAIL
    assert "auto" in found.remedy


def test_what_is_seen_of_devices(a_device: Path) -> None:
    assert nvdec.is_there()
    assert [path.name for path in nvdec.cards()] == ["nvidia0", "nvidia1"]
    assert [path.name for path in nvdec.device_files()] == [
        "nvidia-uvm", "nvidia0", "nvidia1", "nvidiactl",
    ]  # fmt: skip
    check_nvdec(ALWAYS)
    assert a_device.is_dir()


def test_the_devices_way_gives_the_same_windows(clip: Path, standing_in: list[str]) -> None:
    wanted = windows(decode(clip, AUTO))
    got = windows(decode(clip, ALWAYS, nvdec=NvdecUse(tuple(CODECS), fall_back=False)))
    assert standing_in == ["h264"]
    assert compared("h264", wanted, got) == CodecProof("h264", 0.0)
    assert len(wanted) == 2


def test_limits_come_before_the_device(clip: Path, standing_in: list[str]) -> None:
    small = DecodeSettings(decoder="nvdec", max_pixels=100)
    with pytest.raises(MediaRejected) as told:
        list(decode(clip, small, nvdec=NvdecUse(("h264",), fall_back=False)))
    assert told.value.code == "too_many_pixels"
    assert standing_in == []
    short = DecodeSettings(decoder="nvdec", max_duration_s=2)
    end = list(decode(clip, short, nvdec=NvdecUse(("h264",), fall_back=False)))[-1]
    assert isinstance(end, DecodeEnd)
    assert "max_duration_s" in end.note


def test_a_codec_that_is_not_the_devices(clip: Path, standing_in: list[str]) -> None:
    assert len(windows(decode(clip, AUTO, nvdec=NvdecUse(("hevc",), fall_back=True)))) == 2
    with pytest.raises(MediaRejected, match="not used for h264, only for h264, hevc, vp9") as told:
        list(decode(clip, ALWAYS, nvdec=NvdecUse(("hevc",), fall_back=False)))
    assert told.value.code == "undecodable"
    assert standing_in == []
    with pytest.raises(ValueError, match="av1"):
        NvdecUse(("av1",), fall_back=True)
    # A person's own file is offered no device.
    assert len(windows(decode(clip, ALWAYS))) == 2


def test_a_device_that_fails_is_no_fault_of_the_object(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is none here, or one is named that no machine has: the driver says so."""
    missing = lambda use: HWAccel("cuda", 99, use.fall_back)  # noqa: E731
    monkeypatch.setattr(NvdecUse, "accelerator", missing)
    assert len(windows(decode(clip, AUTO, nvdec=NvdecUse(("h264",), fall_back=True)))) == 2
    with pytest.raises(DeviceUnavailable) as told:
        list(decode(clip, ALWAYS, nvdec=NvdecUse(("h264",), fall_back=False)))
    assert told.value.retryable


def test_small_objects_are_not_worth_a_device(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered: list[NvdecUse | None] = []

    def noted(_path: Path, _settings: DecodeSettings, **given: Any) -> Iterator[Any]:
        offered.append(given["nvdec"])
        return iter(())

    monkeypatch.setattr(shared_child, "decode_in_child", noted)
    use = NvdecUse(("h264",), fall_back=True)
    list(SandboxDecoder(AUTO, use).decode(clip))
    list(SandboxDecoder(ALWAYS, use).decode(clip))
    monkeypatch.setattr(shared_child, "MIN_AUTO_BYTES", clip.stat().st_size)
    list(SandboxDecoder(AUTO, use).decode(clip))
    list(SandboxDecoder(AUTO).decode(clip))
    assert offered == [None, use, use, None]


def test_a_proof_is_made_once_and_what_fails_it_stays_on_the_cpu(
    a_device: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers = {
        "h264": CodecProof("h264", 0.25),
        "hevc": CodecProof("hevc", 3.5),
        "vp9": CodecProof("vp9", None, "MediaRejected: no such decoder"),
    }
    made: list[str] = []

    def prove(codec: str) -> CodecProof:
        made.append(codec)
        return answers[codec]

    monkeypatch.setattr(nvdec_proof, "prove", prove)
    assert nvdec_use(DecodeSettings(decoder="pyav")) is None
    assert nvdec_use(ALWAYS) == NvdecUse(tuple(CODECS), fall_back=False)
    assert made == [], "who sets nvdec answers for it"
    assert "h264 (proved by the first run)" in nvdec_finding(AUTO).detail
    with caplog.at_level(logging.WARNING):
        assert nvdec_use(AUTO) == NvdecUse(("h264",), fall_back=True)
    assert made == list(CODECS)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "hevc stays on the CPU: frames differ by 3.50 levels, 1.0 at most",
        "vp9 stays on the CPU: MediaRejected: no such decoder",
    ]
    assert nvdec_use(AUTO) == NvdecUse(("h264",), fall_back=True)
    assert made == list(CODECS), "figures are kept, of failures too"
    assert {codec: kept_proof(codec) for codec in CODECS} == answers
    detail = nvdec_finding(AUTO).detail
    assert "h264 (0.25 levels" in detail
    assert "hevc on the CPU (3.50 levels" in detail
    assert "vp9 on the CPU (MediaRejected: no such decoder)" in detail
    (a_device / "nvidia2").touch()  # other cards: all is proved anew
    assert kept_proof("h264") is None


def test_a_figure_that_cannot_be_read_is_made_again(
    a_device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert a_device.is_dir()
    monkeypatch.setattr(nvdec_proof, "prove", lambda codec: CodecProof(codec, 0.0))
    nvdec_use(AUTO)
    kept = sorted((tmp_path / "cache").rglob("nvdec/*.json"))
    assert len(kept) == 3
    for path, text in zip(kept, ("{", "{}", json.dumps({"difference": "far", "why": ""})),
                          strict=True):  # fmt: skip
        path.write_text(text)
    assert [kept_proof(codec) for codec in CODECS] == [None] * 3


def test_what_a_proof_compares(clip: Path) -> None:
    wanted = windows(decode(clip, AUTO))

    def altered(**changes: Any) -> list[Window]:
        return [replace(wanted[0], **changes), *wanted[1:]]

    frames = wanted[0].frames
    assert frames is not None
    brighter = np.where(frames < 254, frames + 2, frames)
    far = compared("h264", wanted, altered(frames=brighter))
    assert far.difference is not None
    assert 1.0 < far.difference <= 2.0
    assert not far.holds
    later = replace(wanted[0].segment, start_ms=40)
    for other in (altered(segment=later), wanted[:1], []):
        assert compared("h264", wanted, other).why == "the device gives windows of other times"
    assert not compared("h264", [], []).holds
    assert not compared("h264", wanted, altered(frames=frames[:1])).holds
    assert compared("h264", wanted, wanted).holds


@pytest.mark.parametrize("codec", CODECS)
def test_the_clips_of_the_proofs_can_be_made(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    make_clip(path, codec)
    found = windows(decode(path, AUTO))
    assert [(w.segment.start_ms, w.segment.end_ms) for w in found] == [(0, 2000), (2000, 3000)]
    assert found[0].frames is not None
    assert np.abs(np.diff(found[0].frames.astype(int), axis=0)).mean() > 5, "something moves"


def test_a_proof_says_what_the_device_said() -> None:
    """Made for real, in children."""
    proof = nvdec_proof.prove("h264")
    assert proof.holds is nvdec.is_there()
    if not nvdec.is_there():
        assert proof.why.startswith("DeviceUnavailable: The GPU cannot decode now")


def test_a_child_for_the_device_is_confined_but_for_it(tmp_path: Path) -> None:
    """It reaches no address and no other file, as any child."""
    for name in ("object", "other"):
        (tmp_path / name).write_bytes(b"canary")
    attempt = {"port": 9, "file": str(tmp_path / "other")}
    use = {"codecs": ["h264"], "fall_back": True}
    job = start_job(tmp_path / "object", AUTO, nvdec=use, **{"try": attempt})
    try:
        facts = receive_facts(job.read_into)
    finally:
        job.end(0.0)
    plain = start_job(tmp_path / "object", AUTO, **{"try": attempt})
    try:
        assert facts == receive_facts(plain.read_into)
    finally:
        plain.end(0.0)
