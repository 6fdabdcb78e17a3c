"""Estimates beside what came: how often it lay in the range, on the demo and on made buckets.

    python -m tests.bench.estimates [--json FILE] [--tries 3] [--probe-s 12]

A made bucket has pictures of many sizes, films of many lengths and bit rates, or both and sounds. A
try probes a bucket that no run has seen, for a shorter time than a person would, and runs it then;
the run after a run goes by what that took, on a second bucket of the kind. Both count. Probe and
runs are processes of their own, as a person's are: in one that has started before, a start is
another.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.estimate.calibration import keep_calibration
from pipeline.estimate.compare import compared
from pipeline.media.ffmpeg import find_ffmpeg
from pipeline.planning.plan import plan
from pipeline.progress import ProgressReporter
from pipeline.report.read import read_report
from pipeline.report.record import RunReport
from pipeline.run.probe import probe
from pipeline.run.whole_run import run_index
from pipeline.run_options import RunOptions
from pipeline.settings import Settings, load_settings
from pipeline.settings_embedding import DecodeSettings
from tests.bench.targets import at_least
from tests.support.media_files import picture_array, wav

ROOT = Path(__file__).resolve().parents[2]
TARGET = 0.9
SIZES = ((320, 240), (640, 480), (1280, 960), (1920, 1080))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--probe-s", type=float, default=12.0)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part is not None:
        PARTS[options.part](_settings(options.folder), options.probe_s)
        return
    inside: Counter[str] = Counter()
    of: Counter[str] = Counter()
    print(f"{'bucket':<14}{'by':<12}{'figure':<14}{'expected':>24}{'was':>12}")
    for number in range(options.tries):
        for name, fill in BUCKETS.items():
            with tempfile.TemporaryDirectory() as folder:
                for by, report in _tried(Path(folder), fill, number, options.probe_s):
                    assert report.estimate is not None
                    for row in compared(report.estimate, report.actual):
                        if not row.expected.high:  # no media of any length
                            continue
                        of[row.name] += 1
                        inside[row.name] += row.inside
                        mark = "" if row.inside else "  outside"
                        print(
                            f"{name:<14}{by:<12}{row.name:<14}{row.expected_words:>24}"
                            f"{row.actual_words:>12}{mark}",
                            flush=True,
                        )
    rows: list[dict[str, Any]] = []
    for figure, tries in of.items():
        share = inside[figure] / tries
        print(f"{figure}: {inside[figure]} of {tries} in the range, at least {TARGET:.0%}")
        rows.append(
            {
                "name": f"estimates, {figure}",
                "value": share,
                "unit": "share inside",
                "baseline": None,
                "ratio": None,
                "targets": [at_least(TARGET)],
            }
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def _tried(
    folder: Path, fill: Callable[[Path, int], None], number: int, probe_s: float
) -> Iterator[tuple[str, RunReport]]:
    """A run that was probed before; then one over as many more objects, by that run."""
    (folder / "media").mkdir()
    settings = _settings(folder)
    for again, by in enumerate(("a probe", "a run")):
        fill(folder / "media", 2 * number + again)
        for part in ("run",) if again else ("probe", "run"):
            command = [sys.executable, "-m", "tests.bench.estimates", "--part", part]
            command += ["--folder", str(folder), "--probe-s", str(probe_s)]
            subprocess.run(command, check=True)
        yield by, read_report(settings)


def _probe(settings: Settings, probe_s: float) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        planned = plan(settings, RunOptions(), Path(scratch) / "plan", ProgressReporter())
        found = probe(settings, planned, Path(scratch), lambda _: None, probe_s)
        keep_calibration(planned.state.store, found)


def _run(settings: Settings, _: float) -> None:
    run_index(settings)


PARTS: dict[str, Callable[[Settings, float], None]] = {"probe": _probe, "run": _run}


def _settings(folder: Path) -> Settings:
    return load_settings(
        None,
        {
            "source.folder": str(folder / "media"),
            "state.location": str(folder / "state"),
            "index.path": str(folder / "qdrant"),
            "embed.engine": "loop",
        },
    )


def _demo(media: Path, number: int) -> None:
    """The second time it is the same media by other names."""
    for file in (ROOT / "infra/demo/media").rglob("*.*"):
        place = media / f"{number}" / file.relative_to(ROOT / "infra/demo/media")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)


@cache
def _drawn(number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    return picture_array(number, size)


def _pictures(media: Path, number: int, count: int = 300) -> None:
    random = np.random.default_rng(number)
    for place in range(count):
        size = SIZES[int(random.choice(4, p=[0.4, 0.3, 0.2, 0.1]))]
        buffer = io.BytesIO()
        image = Image.fromarray(_drawn(place % 12, size))
        image.save(buffer, "JPEG", quality=int(random.integers(70, 96)))
        # Otherwise alike ones would be as large as one another, which a bucket's are not.
        (media / f"{number}-{place:03d}.jpg").write_bytes(buffer.getvalue() + b"\0" * place)


def _films(media: Path, number: int, count: int = 14) -> None:
    random = np.random.default_rng(1000 + number)
    for place in range(count):
        seconds = float(np.clip(random.lognormal(2.3, 0.8), 2, 60))
        height = int(random.choice([360, 720]))
        command = [
            find_ffmpeg(DecodeSettings()).path, "-v", "error", "-y", "-f", "lavfi", "-i",
            f"testsrc2=size={height * 16 // 9 // 2 * 2}x{height}:rate=25:duration={seconds:.1f}",
            "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "60",
            "-crf", str(int(random.integers(18, 33))), str(media / f"{number}-{place:02d}.mp4"),
        ]  # fmt: skip
        subprocess.run(command, check=True)


def _mixed(media: Path, number: int) -> None:
    _pictures(media, number, 120)
    _films(media, number, 6)
    for place in range(20):
        (media / f"{number}-{place}.wav").write_bytes(wav(100 * number + place, 3.0 + place))


BUCKETS: dict[str, Callable[[Path, int], None]] = {
    "demo": _demo,
    "pictures": _pictures,
    "films": _films,
    "mixed": _mixed,
}


if __name__ == "__main__":
    main()
