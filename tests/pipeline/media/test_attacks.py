"""Files that point elsewhere: no other file is opened, no connection made, by any way of decoding.

The first test shows that the canaries sing when the same files are opened without our rules.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import MediaRejected
from pipeline.media.container import opened
from pipeline.media.decode import decode
from pipeline.media.ffmpeg import find_ffmpeg
from pipeline.media.sandbox.client import decode_in_child
from pipeline.media.window import DecodeEnd
from pipeline.settings_embedding import DecodeSettings
from tests.pipeline.media.attack_files import attacks
from tests.pipeline.media.canary import AddressCanary, FileCanary
from tests.pipeline.media.made_media import flat

pytestmark = pytest.mark.server


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[tuple[Path, FileCanary, AddressCanary]]:
    """A film that is none of the decoder's business, and an address."""
    (tmp_path / "elsewhere").mkdir()
    film = tmp_path / "elsewhere" / "film.mp4"
    flat(25)(film)
    file, address = FileCanary(film), AddressCanary()
    yield film, file, address
    file.close()
    address.close()


def test_the_canaries_sing(
    tmp_path: Path, elsewhere: tuple[Path, FileCanary, AddressCanary]
) -> None:
    film, file, address = elsewhere
    made = attacks(tmp_path / "work.mp4", str(film), address.url)
    hls = ("-protocol_whitelist", "file,http,tcp,crypto", "-allowed_extensions", "ALL", "-f", "hls")
    concat = ("-safe", "0", "-protocol_whitelist", "file")
    loose = {
        "hls-file.mp4": hls,
        "hls-address.mp4": hls,
        "ffconcat-file.mp4": concat,
        "tagged-ffconcat-file.mp3": concat,
        "reference-alias.mov": ("-enable_drefs", "1", "-use_absolute_path", "1"),
    }
    program = str(find_ffmpeg(DecodeSettings()).path)
    sung = set()
    for name, how in loose.items():
        (tmp_path / name).write_bytes(made[name])
        command = [program, "-v", "quiet", "-nostdin", *how, "-i", name, "-f", "null", "-"]
        with subprocess.Popen(command, cwd=tmp_path) as running:
            end = time.monotonic() + 20
            while name not in sung and time.monotonic() < end:
                ended = running.poll() is not None
                if file.touched() or address.touched():
                    sung.add(name)
                elif ended:
                    break
                time.sleep(0.02)
            running.kill()
    # Newer versions of ffmpeg do not look behind a tag.
    assert sung >= set(loose) - {"tagged-ffconcat-file.mp3"}


def _here(path: Path, settings: DecodeSettings) -> None:
    for _ in decode(path, settings):
        pass


def _opened(path: Path, settings: DecodeSettings) -> None:
    """Past the look at the first bytes: what the lists of formats and protocols do alone."""
    with opened(path, settings) as container:
        for packet in container.demux():
            packet.decode()


def _in_child(path: Path, settings: DecodeSettings) -> None:
    for _ in decode_in_child(path, settings):
        pass


@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
@pytest.mark.parametrize("way", [_here, _opened, _in_child])
def test_nothing_gets_out(
    tmp_path: Path,
    elsewhere: tuple[Path, FileCanary, AddressCanary],
    way: Callable[[Path, DecodeSettings], None],
    decoder: str,
) -> None:
    film, file, address = elsewhere
    made = attacks(tmp_path / "work.mp4", str(film), address.url)
    assert len(made) >= 15
    settings = DecodeSettings(decoder=decoder)  # type: ignore[arg-type]
    got_out, decoded = [], []
    for name, content in made.items():
        path = tmp_path / name
        path.write_bytes(content)
        try:
            way(path, settings)
            decoded.append(name)
        except (MediaRejected, OSError):
            pass
        if file.touched() or address.touched():
            got_out.append(name)
    assert got_out == []
    # A true film beside its references: what it holds itself may be decoded, nothing else. Past the
    # look at the first bytes, text may be taken for bare sound; it opens nothing.
    assert way is _opened or set(decoded) <= {n for n in made if n.startswith("reference-")}


def test_an_attack_shows_nothing_of_the_other_file(
    tmp_path: Path, elsewhere: tuple[Path, FileCanary, AddressCanary]
) -> None:
    """What a referring film gives is its own second, not the canary's."""
    film, _, address = elsewhere
    made = attacks(tmp_path / "work.mp4", str(film), address.url)
    (tmp_path / "a.mov").write_bytes(made["reference-alias.mov"])
    try:
        items = list(decode_in_child(tmp_path / "a.mov", DecodeSettings()))
    except MediaRejected as error:
        assert str(film) not in error.message  # noqa: PT017
    else:
        assert isinstance(items[-1], DecodeEnd)
        assert str(film) not in items[-1].note
