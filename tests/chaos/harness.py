"""A bucket that changes between two runs, the second of which is killed, and a third that mends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.qdrant import open_index
from pipeline.settings import load_settings
from pipeline.store import open_store
from tests import media_files
from tests.chaos.reading import Live, Points, everything, judge, live_now, read_log, same
from tests.s3_server import S3Server

SHARD_OBJECTS = 8
LONGEST_S = 600


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one kill came to. `hits`: how often the point was passed; `again`: objects that were
    embedded by both the killed run and the next, beyond what was committed."""

    point: str
    hit: int
    killed: bool
    converged: bool
    embedded: int
    again: int
    reads: int
    lost: int
    doubled: int
    half: int

    @property
    def clean(self) -> bool:
        return self.converged and not (self.lost or self.doubled or self.half)


class Scene:
    """The bucket before and after its changes, and what clean runs make of both."""

    def __init__(self, server: S3Server, folder: Path, objects: int = 64) -> None:
        self._server = server
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        client = server.client()
        clip = media_files.mp4(folder, 7)
        for number in range(objects):
            body = media_files.jpeg(number)
            name = f"{number:03d}.jpg"
            if number % 8 == 3:
                body, name = media_files.wav(number), f"{number:03d}.wav"
            elif number % 16 == 5:
                body, name = clip, f"{number:03d}.mp4"
            client.put_object(Bucket="media", Key=name, Body=body)
        self._settings(folder / "before")
        assert self._run(folder / "before") == 0
        self.before = self._live(folder / "before")
        self._change(client)
        shutil.copytree(folder / "before", folder / "clean")
        self._settings(folder / "clean")
        self._run_clean()
        self.after = self._live(folder / "clean")
        self.wanted = self._everything(folder / "clean")

    def attempt(self, point: str, hit: int) -> Attempt:
        """Kill a run at the `hit`-th passing of the point, then let the next one run."""
        work = self._folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self._folder / "before", work)
        self._settings(work)
        for name in ("reads", "passed", "embedded"):
            (work / name).unlink(missing_ok=True)
        status = self._run(work, point, str(hit))
        before_kill = _number(work / "embedded")
        committed = self._committed(work)
        (work / "embedded").unlink(missing_ok=True)
        reads, seen = read_log(work / "reads")
        seen.append(self._live(work))
        if self._run(work) != 0:
            raise AssertionError(f"the run after a kill at {point!r} failed: {work}")
        after = _number(work / "embedded")
        more, later = read_log(work / "reads")
        seen += later
        seen.append(self._live(work))
        verdict = judge(seen, self._whole(), set(self.before) & set(self.after))
        return Attempt(
            point,
            hit,
            status == -signal.SIGKILL,
            same(self._everything(work), self.wanted),
            before_kill,
            max(0, before_kill - committed) if after else 0,
            max(reads, more) + 2,
            len(verdict.lost),
            len(verdict.doubled),
            len(verdict.half),
        )

    def hits(self, point: str) -> int:
        """How often a run of this scene passes the point."""
        work = self._folder / "count"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self._folder / "before", work)
        self._settings(work)
        (work / "passed").unlink(missing_ok=True)
        assert self._run(work, point, "0") == 0
        passed = work / "passed"
        return passed.stat().st_size if passed.is_file() else 0

    def _change(self, client: Any) -> None:
        """New, changed, gone, and one whose new content is no media."""
        for number in (1, 9, 17, 40, 58):
            client.put_object(
                Bucket="media", Key=f"{number:03d}.jpg", Body=media_files.jpeg(500 + number)
            )
        for number in (200, 201, 202, 203, 204, 205):
            client.put_object(Bucket="media", Key=f"{number}.jpg", Body=media_files.jpeg(number))
        for number in (2, 10, 33):
            client.delete_object(Bucket="media", Key=f"{number:03d}.jpg")
        client.put_object(Bucket="media", Key="012.jpg", Body=b"no picture any more\n" * 20)
        client.put_object(Bucket="media", Key="003.wav", Body=media_files.wav(333, 9.0))

    def _run_clean(self) -> None:
        assert self._run(self._folder / "clean") == 0

    def _settings(self, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {
            "source.bucket": "media",
            "source.endpoint_url": self._server.url,
            "source.region": "us-east-1",
            "encode.encoder": "imagebind-demo",
            "index.path": str(work / "qdrant"),
            "index.upsert_points": 4,
            "state.location": str(work / "state"),
            "state.shard_objects": SHARD_OBJECTS,
        }
        (work / "settings.json").write_text(json.dumps(values))

    def _run(self, work: Path, *point: str) -> int:
        command = [sys.executable, "-m", "tests.chaos.driver", str(work / "settings.json")]
        done = subprocess.run(
            [*command, str(work), *point],
            check=False,
            timeout=LONGEST_S,
            stderr=subprocess.PIPE,
            env={**os.environ, "AWS_ACCESS_KEY_ID": "chaos", "AWS_SECRET_ACCESS_KEY": "chaos"},
        )
        if done.returncode not in (0, -signal.SIGKILL):
            raise AssertionError(done.stderr.decode()[-3000:])
        return done.returncode

    def _opened(self, work: Path) -> Any:
        return open_index(load_settings(None, json.loads(_text(work / "settings.json"))).index)

    def _live(self, work: Path) -> Live:
        with self._opened(work) as index:
            return live_now(index)

    def _everything(self, work: Path) -> Points:
        with self._opened(work) as index:
            return everything(index)

    def _whole(self) -> Mapping[str, Mapping[str, int]]:
        whole: dict[str, dict[str, int]] = {}
        for live in (self.before, self.after):
            for asset, generations in live.items():
                whole.setdefault(asset, {}).update(generations)
        return whole

    def _committed(self, work: Path) -> int:
        """Objects in receipts of the killed run."""
        settings = load_settings(None, json.loads(_text(work / "settings.json")))
        store = open_store(settings.state.location, settings.source)
        last = max((name.split("/")[1] for name in store.list("runs/")), default="")
        total = 0
        for name in store.list(f"runs/{last}/receipts/"):
            found = store.read(name)
            if found is not None:
                total += len(json.loads(found.data)["outcomes"])
        return total


def _number(path: Path) -> int:
    return int(path.read_text()) if path.is_file() else 0


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
