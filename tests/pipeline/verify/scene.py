"""An index that a real run made, and a copy of it that a test may damage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.progress import ProgressReporter
from pipeline.run.whole_run import run_index
from pipeline.settings import Settings
from pipeline.verify.audit import AuditOptions, verify
from pipeline.verify.findings import VerifyReport
from pipeline.verify.repair import Round, repair_round, rounds_of
from tests.support.run_settings import small_run_settings
from tests.support.s3_server import S3Server

SRT = b"1\n00:00:02,000 --> 00:00:04,000\nthe second picture\n"
WHOLE = AuditOptions(seed=1)


@dataclass(frozen=True, slots=True)
class Made:
    """What a run left, and the objects that it read."""

    folder: Path
    objects: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Place:
    """A copy of it that a test may damage."""

    server: S3Server
    settings: Settings
    folder: Path

    def look(self, options: AuditOptions = WHOLE) -> VerifyReport:
        return verify(self.settings, options, ProgressReporter())

    def found(self) -> dict[str, tuple[int, int]]:
        """Of each name that is found, (objects, points)."""
        return {str(row.name): (row.objects, row.points) for row in self.look().findings}

    def repair_round(self) -> Round:
        return repair_round(self.settings, WHOLE, ProgressReporter())

    def repair(self) -> list[Round]:
        """Repair, run and look again, as `sensedex verify --repair` does."""
        self.server.requests.clear()
        return list(rounds_of(self.repair_round, lambda asked: run_index(self.settings, asked)))

    def client(self) -> Any:
        return self.server.client()

    def files(self) -> list[Path]:
        return sorted(Path(self.settings.state.location).glob("runs/*/shards/*.parquet"))

    def fetched(self) -> set[str]:
        """Objects that were fetched from the bucket."""
        paths = (path for verb, path in self.server.requests if verb == "GET")
        return {p.removeprefix("/media/") for p in paths if p.strip("/").count("/")}


def replace_settings(place: Place, **more: Any) -> Place:
    return replace(place, settings=small_run_settings(place.folder, place.server.url, **more))
