"""A small bucket that a real run has indexed, and real servers of it on free ports."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from pipeline.ids import asset_id
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.s3 import client as s3
from pipeline.serve.front import Asked
from pipeline.serve.server import serve
from pipeline.settings import Settings
from tests.support import media_files
from tests.support.nasty_keys import KEYS, NO_KEYS_OF_SEAWEED
from tests.support.run_settings import small_run_settings

NASTY = tuple(key for key in KEYS if key not in NO_KEYS_OF_SEAWEED)
FILM, SOUND, PICTURE = "films/one.mp4", "sounds/two.wav", "pictures/0.jpg"
LARGE = "pictures/large.jpg"
KEY, OTHER_KEY = "a-key-of-the-test-1", "a-key-of-the-test-2"
READY_WITHIN_S = 120


@dataclass
class ServedCorpus:
    """The settings of the run, and the bytes of each object by its key."""

    settings: Settings
    objects: dict[str, bytes]

    @property
    def bucket(self) -> str:
        return self.settings.source.bucket

    def id_of(self, key: str) -> str:
        return asset_id(self.bucket, key)

    def client(self) -> Any:
        return s3.make_client(self.settings.source)


@dataclass
class ApiServer:
    """A running server; `asked` is what its log was told."""

    url: str
    corpus: ServedCorpus
    settings: Settings
    asked: list[Asked] = field(default_factory=list)

    def http(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **more)

    def search(self, *words: str, **more: Any) -> dict[str, Any]:
        terms = [{"kind": "words", "value": one} for one in words]
        with self.http() as http:
            answer = http.post("/v1/search", json={"terms": terms, **more})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def indexed_corpus(folder: Path, endpoint: str) -> ServedCorpus:
    """In a bucket of its own: pictures, a film with subtitles, a sound, and keys that try to be
    something else."""
    objects = {f"pictures/{n}.jpg": media_files.jpeg(n) for n in range(3)}
    objects |= {FILM: media_files.mp4(7), SOUND: media_files.wav(3)}
    # A decoder stops where the picture ends.
    objects[LARGE] = media_files.jpeg(50) + bytes(12_000_000)
    objects |= {key: media_files.jpeg(100 + n) for n, key in enumerate(NASTY)}
    bucket = f"b-{uuid.uuid4().hex}"
    settings = small_run_settings(folder, endpoint, bucket=bucket, embed__engine="loop")
    corpus = ServedCorpus(settings, objects)
    client = corpus.client()
    client.create_bucket(Bucket=bucket)
    for key, body in objects.items():
        client.put_object(Bucket=bucket, Key=key, Body=body)
    srt = b"1\n00:00:02,000 --> 00:00:04,000\nA <b>kingfisher</b> dives\n"
    client.put_object(Bucket=bucket, Key="films/one.srt", Body=srt)
    run_index(settings, RunOptions())
    return corpus


@contextmanager
def api_server(corpus: ServedCorpus, folder: Path, **fields: Any) -> Iterator[ApiServer]:
    """With a copy of the collection, since one process has a folder, and `serve` settings."""
    shutil.copytree(corpus.settings.index.path, folder / "qdrant")
    told = {"port": 0, "cache_folder": folder / "cache", **fields}
    settings = corpus.settings.model_copy(
        update={
            "index": corpus.settings.index.model_copy(update={"path": folder / "qdrant"}),
            "serve": type(corpus.settings.serve)(**told),
        }
    )
    ready = threading.Event()
    started: list[Any] = []
    server = ApiServer("", corpus, settings)

    def on_ready(url: str, end: Callable[[], None]) -> None:
        started[:] = [url, end]
        ready.set()

    def run() -> None:
        try:
            serve(settings, "0", on_ready, server.asked.append)
        except BaseException as error:
            started.append(error)
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(READY_WITHIN_S), "the server did not start"
    assert len(started) == 2, started
    server.url = started[0]
    try:
        yield server
    finally:
        started[1]()
        thread.join(30)
        assert not thread.is_alive(), "the server did not end"
