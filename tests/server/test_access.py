"""Keys, certificates and a proxy before a server; a disk that is full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipeline.errors import IndexUnavailable, SensedexError, SettingsError
from pipeline.index.errors import IndexRefused
from pipeline.index.vector_index import open_index
from pipeline.settings_index import IndexSettings
from tests.server.nodes import settings_of, started
from tests.support.invented_assets import SPACES, live, load, whole
from tests.support.real_qdrant import QdrantNodes

ROOT = Path(__file__).resolve().parent.parent.parent


def keyed(settings: IndexSettings, key: str) -> IndexSettings:
    return settings.model_copy(update={"api_key": SecretStr(key)})


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_key_to_read_with_searches_and_does_not_write(tmp_path: Path, grpc: bool) -> None:
    keys = {"QDRANT__SERVICE__API_KEY": "all", "QDRANT__SERVICE__READ_ONLY_API_KEY": "read"}
    with started(tmp_path / "node", **keys) as nodes:
        settings = settings_of(nodes, grpc=grpc)
        with open_index(keyed(settings, "all")) as index:
            index.ensure_collection(SPACES)
            load(index, tmp_path, [("a.mp4", "g1", 3)], 1)
        with open_index(keyed(settings, "read")) as index:
            assert live(index) == {"a.mp4": whole("g1", 3)}
            with pytest.raises(IndexRefused, match="refused the key") as raised:
                load(index, tmp_path, [("a.mp4", "g2", 3)], 2)
            assert raised.value.remedy.startswith("Set SENSEDEX_INDEX__API_KEY")
        for wrong in (keyed(settings, "neither"), settings):
            with pytest.raises(IndexRefused, match="refused the key"), open_index(wrong):
                pass


def test_a_certificate_of_a_private_authority(tmp_path: Path, grpc: bool) -> None:
    """In a process of its own: gRPC reads its roots once."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = {
        "QDRANT__SERVICE__ENABLE_TLS": "true",
        "QDRANT__TLS__CERT": str(certificate),
        "QDRANT__TLS__KEY": str(key),
    }
    look = (
        "import sys\n"
        "from pipeline.index.vector_index import open_index\n"
        "from pipeline.settings import IndexSettings\n"
        "settings = IndexSettings.model_validate_json(sys.argv[1])\n"
        "with open_index(settings) as index:\n"
        "    print('there' if index.exists() else 'nothing there')\n"
    )
    with started(tmp_path / "node", tls=certificate, **tls) as nodes:
        settings = settings_of(nodes, grpc=grpc)
        asked = [sys.executable, "-c", look, settings.model_dump_json()]
        unknown = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
        assert "No trusted connection to Qdrant" in unknown.stderr
        assert "SSL_CERT_FILE" in unknown.stderr
        known = subprocess.run(
            asked,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "SSL_CERT_FILE": str(certificate)},
        )
        assert known.stdout == "nothing there\n", known.stderr


@pytest.mark.timeout(200)
def test_a_full_disk_refuses_writes_and_serves_reads(tmp_path: Path, grpc: bool) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    size = "size=420m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], check=True)
    try:
        with started(disk / "node") as nodes:
            _fill_and_make_room(nodes, disk, tmp_path, grpc=grpc)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _fill_and_make_room(nodes: QdrantNodes, disk: Path, folder: Path, *, grpc: bool) -> None:
    with open_index(settings_of(nodes, grpc=grpc)) as index:
        index.ensure_collection(SPACES)
        load(index, folder, [("a.mp4", "g1", 3)], 1)
        room = disk / "filler"
        with room.open("wb") as file:
            while True:
                try:
                    file.write(b"\0" * 65536)
                    file.flush()
                except OSError:
                    break

        def load_on() -> None:
            for number in range(2, 40):
                assets = [(f"{n}.mp4", f"g{number}", 300) for n in range(10)]
                load(index, folder, assets, number, batch_rows=256)

        with pytest.raises(SensedexError) as raised:
            load_on()
        assert isinstance(raised.value, IndexUnavailable)
        assert raised.value.code == "index_full", raised.value
        assert live(index)["a.mp4"] == whole("g1", 3)
        room.unlink()
        nodes.nodes[0].kill()
        nodes.nodes[0].start()
        load(index, folder, [("a.mp4", "g50", 4)], 50)
        assert live(index)["a.mp4"] == whole("g50", 4)


def test_what_is_no_tls_is_said(node: QdrantNodes) -> None:
    first = node.nodes[0]
    wrong = IndexSettings(url=first.url.replace("http", "https"), prefer_grpc=False)
    with pytest.raises(SettingsError, match="No trusted connection"), open_index(wrong):
        pass
