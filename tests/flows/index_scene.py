"""What a run is asked and what it leaves: labelled queries; its log, its live keys, its points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.index.vector_index import open_index
from pipeline.planning.file import read_plan
from pipeline.planning.plan import plan
from pipeline.progress import ProgressReporter
from pipeline.report.record import RunReport
from pipeline.run_options import RunOptions
from pipeline.settings import Settings
from tests.support import media_files


def labelled_queries(folder: Path) -> Path:
    """Each of the searches of `test_the_whole_path`, with its answer."""
    (folder / "query.jpg").write_bytes(media_files.jpeg(3, quality=60))
    piece = media_files.sound_array(1, 5.0)[32_000:64_000]
    (folder / "query.wav").write_bytes(_wav_of(piece.tobytes()))
    rows = [
        {"query": "query.jpg", "modality": "vision", "expected": [{"key": "pictures/3.jpg"}]},
        {
            "query": "query.wav",
            "modality": "audio",
            "expected": [{"key": "sounds/1.wav", "start_ms": 2000, "end_ms": 4000}],
        },
        {
            "query": "the second picture",
            "modality": "text",
            "expected": [{"key": "films/one.mp4", "start_ms": 2000, "end_ms": 4000}],
        },
    ]
    path = folder / "queries.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def check_log(text: str, report: RunReport) -> None:
    """Each line is an object, and the run, its shards and what did not get in are told in them."""
    lines = [json.loads(line) for line in text.splitlines()]
    of_assets = [line for line in lines if "asset" in line]
    told = {line["asset"]: line["code"] for line in of_assets if "code" in line}
    assert told == {failure.key: failure.code for failure in report.failures}
    # What got in is told only where it was slow, as it is on a machine that does much else.
    assert all(line["message"].startswith("slow: ") for line in of_assets if "code" not in line)
    messages = [line["message"] for line in lines]
    assert messages.count("shard committed") == messages.count("shard loaded") >= 2
    whole = lines[messages.index("the run is whole")]
    assert (whole["run"], whole["objects"]) == (report.run_id, report.objects_by_status)


def keys_live(settings: Settings) -> dict[str, set[str]]:
    """Of each live key, the generations that a reader sees."""
    found: dict[str, set[str]] = {}
    with open_index(settings.index) as index:
        import numpy as np

        for name in ("vision", "audio"):
            vector = np.ones(256, np.float32) / 16
            for hit in index.query(name, vector, 1000):
                found.setdefault(hit.payload["key"], set()).add(hit.payload["generation"])
    return found


def points_of(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every segment by id, without what names the run."""
    import numpy as np

    found = {}
    with open_index(settings.index) as index:
        for name in ("vision", "audio", "text"):
            for hit in index.query(name, np.ones(256, np.float32) / 16, 1000):
                payload = dict(hit.payload)
                for volatile in ("run_id", "sequence"):
                    del payload[volatile]
                found[hit.point_id] = payload
    return found


def read_plan_of(settings: Settings, folder: Path) -> list[Any]:
    path = folder / "look.parquet"
    plan(settings, RunOptions(allow_removals=True), path, ProgressReporter())
    return list(read_plan(path))


def _wav_of(samples: bytes) -> bytes:
    import io
    import wave

    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples)
    return buffer.getvalue()
