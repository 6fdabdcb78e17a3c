"""One index for all, a copy for each test."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.models import spaces
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from tests.pipeline.verify.scene import SRT, Made, Place
from tests.support import media_files
from tests.support.index_damage import FILM
from tests.support.run_settings import small_run_settings
from tests.support.s3_server import S3Server, fill, reset_moto


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Six good objects, one with a sidecar, and one bad one, in two shards."""
    folder = tmp_path_factory.mktemp("made")
    objects = {f"pictures/{n}.jpg": media_files.jpeg(n) for n in range(3)}
    objects |= {f"sounds/{n}.wav": media_files.wav(n) for n in range(2)}
    objects[FILM] = media_files.mp4(7)
    objects["films/one.srt"] = SRT
    objects["bad/text.mp4"] = b"not a film at all\n" * 30
    server = S3Server()
    try:
        reset_moto(server.url)
        server.client().create_bucket(Bucket="media")
        fill(server, objects)
        run_index(small_run_settings(folder, server.url), RunOptions())
    finally:
        server.stop()
    return Made(folder, objects)


@pytest.fixture
def place(made: Made, s3_server: S3Server, tmp_path: Path) -> Place:
    for part in ("qdrant", "state"):
        shutil.copytree(made.folder / part, tmp_path / part)
    fill(s3_server, made.objects)
    return Place(s3_server, small_run_settings(tmp_path, s3_server.url), tmp_path)


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("an encoder was loaded")

    monkeypatch.setattr(spaces, "load_encoder", refuse)
