"""Pictures that share a decoding child: the same pixels, and each pays for what it does itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import MediaRejected
from pipeline.media.sandbox import server_process
from pipeline.media.sandbox.client import decode_in_child
from pipeline.media.sandbox.picture_area import PictureArea
from pipeline.media.sandbox.shared_child import MAX_OBJECT_BYTES, SandboxDecoder
from pipeline.media.window import Window
from pipeline.settings_embedding import DecodeSettings
from tests.support.hostile_server import hostile

KINDS = ("JPEG", "PNG", "GIF", "WEBP")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    found = {}
    for number, kind in enumerate(KINDS):
        pixels = np.random.default_rng(number).integers(0, 255, (30, 40, 3), np.uint8)
        found[kind] = folder / f"picture.{kind.lower()}"
        Image.fromarray(pixels).resize((640, 480)).save(found[kind], kind)
    return found


@pytest.fixture
def decoder() -> Iterator[SandboxDecoder]:
    made = SandboxDecoder(DecodeSettings(objects_per_child=8, max_wall_s=2, cpu_grace_s=2))
    yield made
    made.close()


@pytest.fixture
def hostile_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fork server whose decoders do what a file says."""
    server_process.stop_children()
    monkeypatch.setattr(server_process, "_MODULE", "tests.support.hostile_server")
    yield
    server_process.stop_children()


def test_the_same_pixels_as_alone(pictures: dict[str, Path], decoder: SandboxDecoder) -> None:
    for path in pictures.values():
        ours, alone = _frame(decoder, path), list(decode_in_child(path, DecodeSettings()))[1]
        assert isinstance(alone, Window)
        assert alone.frames is not None
        assert _alike(ours, alone.frames), path.name


@pytest.mark.parametrize("size", [(2000, 1500), (100, 80), (300, 1000), (1000, 300), (449, 448)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_sizes_that_fit_the_shared_memory_and_others(
    tmp_path: Path, size: tuple[int, int], kind: str
) -> None:
    decoder = SandboxDecoder(DecodeSettings())
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    picture = Image.fromarray(pixels).resize(size)
    exif = picture.getexif()
    exif[0x0112] = 6  # lies on its side
    path = tmp_path / "picture"
    picture.save(path, kind, exif=exif)
    ours, alone = _frame(decoder, path), list(decode_in_child(path, DecodeSettings()))[1]
    assert isinstance(alone, Window)
    assert alone.frames is not None
    assert len(_children()) == 1
    assert _alike(ours, alone.frames)
    decoder.close()


def test_the_shared_memory_is_this_sides() -> None:
    """A child that made it shorter would kill this process at its next look."""
    area = PictureArea()
    with pytest.raises(PermissionError):
        os.ftruncate(area.number, 10)
    for width, height in ((0, 0), (-640, -480), (640, 10**9), (4000, 3000), (224, 223)):
        with pytest.raises(ValueError, match="fits"):
            area.frame(width, height)
    assert area.frame(640, 480).shape == (224, 224, 3)
    area.close()


def test_who_shares(pictures: dict[str, Path], decoder: SandboxDecoder, tmp_path: Path) -> None:
    children = []
    for kind in ("JPEG", "PNG", "GIF", "JPEG", "WEBP", "PNG"):
        _frame(decoder, pictures[kind])
        children += _children()
    assert len(set(children)) == 1  # those of GIF and WebP had one of their own, and it is gone
    for _ in range(4):
        _frame(decoder, pictures["JPEG"])
    assert _children() == []  # it had its eight
    large = tmp_path / "large.jpg"
    large.write_bytes(pictures["JPEG"].read_bytes() + bytes(MAX_OBJECT_BYTES))
    _frame(decoder, large)
    assert _children() == []
    with_one = SandboxDecoder(DecodeSettings(objects_per_child=1))
    _frame(with_one, pictures["JPEG"])
    assert _children() == []


def test_a_picture_that_moves_is_no_still(decoder: SandboxDecoder, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (300, 300), color) for color in ("red", "blue")]
    path = tmp_path / "moves.png"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=3000)
    shared, alone = list(decoder.decode(path)), list(decode_in_child(path, DecodeSettings()))
    assert list(map(str, shared[:-1])) == list(map(str, alone[:-1]))
    assert len([item for item in shared if isinstance(item, Window)]) == 3


@pytest.mark.parametrize("cut", [2, 400, -400])
def test_a_broken_one_is_rejected_as_alone(
    pictures: dict[str, Path], decoder: SandboxDecoder, tmp_path: Path, cut: int
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff" + pictures["JPEG"].read_bytes()[3:cut])
    before = _frame(decoder, pictures["PNG"])
    with pytest.raises(MediaRejected) as shared:
        list(decoder.decode(broken))
    with pytest.raises(MediaRejected) as alone:
        list(decode_in_child(broken, DecodeSettings()))
    assert (shared.value.code, shared.value.message) == (alone.value.code, alone.value.message)
    assert _alike(_frame(decoder, pictures["PNG"]), before)


def test_a_child_keeps_the_memory_of_one_picture_for_the_next(pictures: dict[str, Path]) -> None:
    """The system hands it out page by page, which takes longer than to decode a small picture."""
    decoder = SandboxDecoder(DecodeSettings())
    for _ in range(8):
        _frame(decoder, pictures["JPEG"])
    [child] = _children()
    before = _page_faults(child)
    for _ in range(16):
        _frame(decoder, pictures["JPEG"])
    assert _children() == [child]
    pages_of_a_picture = 640 * 480 * 3 // 4096
    assert (_page_faults(child) - before) / 16 < pages_of_a_picture / 4
    decoder.close()


@pytest.mark.slow("a fork server for each, 8 s of these")
@pytest.mark.usefixtures("hostile_server")
@pytest.mark.parametrize(
    ("deed", "code"),
    [
        ("crash", "decoder_crashed"),
        ("exit", "decoder_crashed"),
        ("hang", "too_much_time"),
        ("spin", "too_much_time"),
        ("swell", "too_much_memory"),
    ],
)
def test_a_hostile_one_costs_itself_alone(
    pictures: dict[str, Path], tmp_path: Path, deed: str, code: str
) -> None:
    # To fill the memory takes longer than two seconds where others use the machine.
    wall_s = 2 if code == "too_much_time" else 60
    decoder = SandboxDecoder(DecodeSettings(objects_per_child=8, max_wall_s=wall_s, cpu_grace_s=2))
    attack = tmp_path / "attack.jpg"
    attack.write_bytes(pictures["JPEG"].read_bytes() + hostile(deed))
    before = _frame(decoder, pictures["JPEG"])
    with pytest.raises(MediaRejected) as caught:
        list(decoder.decode(attack))
    assert caught.value.code == code
    assert _alike(_frame(decoder, pictures["JPEG"]), before)
    assert len(_children()) == 1
    decoder.close()


@pytest.mark.slow("a fork server for each, 8 s of these")
@pytest.mark.usefixtures("hostile_server")
def test_a_decoder_taken_over_by_another_kind_changes_nothing_after_it(
    pictures: dict[str, Path], decoder: SandboxDecoder, tmp_path: Path
) -> None:
    before = {kind: _frame(decoder, pictures[kind]) for kind in KINDS}
    for kind in ("GIF", "WEBP"):
        attack = tmp_path / f"attack.{kind.lower()}"
        attack.write_bytes(pictures[kind].read_bytes() + hostile("blacken"))
        assert not _frame(decoder, attack).any()
        for other in KINDS:
            assert _alike(_frame(decoder, pictures[other]), before[other])


@pytest.mark.slow("a fork server for each, 8 s of these")
@pytest.mark.usefixtures("hostile_server")
def test_a_common_kind_taken_over_reaches_nothing_outside_its_child(
    pictures: dict[str, Path], tmp_path: Path
) -> None:
    """What docs/security.md says of the risk that is left: those after it in the same child, and
    no more of them than the settings name."""
    before = _frame(SandboxDecoder(DecodeSettings(objects_per_child=1)), pictures["PNG"])
    decoder = SandboxDecoder(DecodeSettings(objects_per_child=3))
    attack = tmp_path / "attack.jpg"
    attack.write_bytes(pictures["JPEG"].read_bytes() + hostile("escape", str(pictures["PNG"])))
    assert _alike(_frame(decoder, pictures["PNG"]), before)
    _frame(decoder, attack)  # it would have died of a signal, had it got out
    attack.write_bytes(pictures["JPEG"].read_bytes() + hostile("blacken"))
    _frame(decoder, attack)
    assert _alike(_frame(decoder, pictures["PNG"]), before)
    decoder.close()


def _frame(decoder: SandboxDecoder, path: Path) -> NDArray[np.uint8]:
    [window] = [item for item in decoder.decode(path) if isinstance(item, Window)]
    assert window.frames is not None
    return window.frames


def _page_faults(pid: int) -> int:
    """Those for which nothing was read; proc_pid_stat(5), minflt."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def _alike(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    """To one level, in a few values of a thousand: a shared child's pictures are resized elsewhere,
    and one that took too long, on a busy machine, had a child of its own."""
    apart = np.abs(a.astype(int) - b)
    return bool(apart.max() <= 1 and (apart > 0).mean() < 0.01)


def _children() -> list[int]:
    """The decoding children that are alive, between two objects."""
    servers = [p for p in psutil.Process().children() if "sandbox" in " ".join(p.cmdline())]
    servers += [p for p in psutil.Process().children() if "hostile" in " ".join(p.cmdline())]
    return [
        child.pid
        for server in servers
        for child in server.children()
        if child.status() != psutil.STATUS_ZOMBIE
    ]
