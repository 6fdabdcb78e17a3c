"""Exact sampling beside key frames: what each costs, and what key frames lose.

    python -m tests.bench.sampling [--json FILE] [--seconds 60]

Cost: CPU-seconds a media-second of 1080p H.264 with sound, at GOP 60 (30 frames a second) and 250.
Drift: cosines to exact's vectors, and how often words find their shot (moment@1: the best window of
all lies in it; asset@1: its film), in the demo's videos and in films of shots of 2.5 to 7 seconds
that are cut together here, with key frames at the cuts (as encoders put them) and without.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encoders.loading import load_encoder
from encoders.modality import Modality
from encoders.protocol import Encoder
from pipeline.media.sandbox.client import decode_in_child
from pipeline.media.window import DecodeEnd, Window
from pipeline.settings_embedding import DecodeSettings
from tests.bench.decode import run
from tests.bench.targets import at_most

DEMO = Path(__file__).resolve().parents[2] / "infra/demo"
Sampling = Literal["exact", "keyframes", "keyframes_only"]
SAMPLINGS: tuple[Sampling, ...] = ("exact", "keyframes", "keyframes_only")
TARGETS = {
    (60, "exact"): 0.055, (60, "keyframes"): 0.018, (250, "keyframes_only"): 0.010,
}  # fmt: skip
FILMS, SHOTS = 6, 8


@dataclass(frozen=True, slots=True)
class Shot:
    """From when to when a film shows what the words say."""

    film: str
    start_ms: int
    end_ms: int
    words: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--seconds", type=int, default=60, help="length of the 1080p clips")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for gop in (60, 250):
            rows += costs(folder / f"{gop}.mp4", gop, options.seconds)
        encoder = load_encoder("sensedex-mini", device="cpu", precision="fp32")
        rows += drift("the demo's videos", DEMO / "media", demo_shots(), encoder)
        for gop, cuts in ((60, True), (250, True), (250, False)):
            where = folder / f"films-{gop}-{cuts}"
            where.mkdir()
            what = f"films, GOP {gop}, {'key frames at' if cuts else 'none at'} cuts"
            rows += drift(what, where, films(where, gop, cuts=cuts), encoder)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def costs(clip: Path, gop: int, seconds: int) -> list[dict[str, Any]]:
    """Of the whole child: what it reads, decodes, scales and says."""
    run(
        *("-f", "lavfi", "-i", f"testsrc2=s=1920x1080:r=30:d={seconds},noise=alls=8:allf=t"),
        *("-f", "lavfi", "-i", f"sine=440:d={seconds}", "-c:v", "libx264", "-preset", "veryfast"),
        *("-g", gop, "-sc_threshold", "0", "-bf", "3", "-b:v", "5M", "-pix_fmt", "yuv420p"),
        *("-c:a", "aac", clip),
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    for sampling in SAMPLINGS:
        *_, end = decode_in_child(clip, DecodeSettings(sampling=sampling))
        assert isinstance(end, DecodeEnd)
        target = TARGETS.get((gop, sampling))
        cost = end.cpu_seconds / seconds
        rows.append(_row(f"1080p, GOP {gop}: {sampling}", cost, "CPU s/media s", target))
        rows[-1] |= {"baseline": rows[0]["value"], "ratio": cost / rows[0]["value"]}
    return rows


def drift(what: str, folder: Path, shots: Sequence[Shot], encoder: Encoder) -> list[dict[str, Any]]:
    """Of every film that is named."""
    names = sorted({shot.film for shot in shots})
    words = encoder.encode(Modality.TEXT, [shot.words for shot in shots])
    rows: list[dict[str, Any]] = []
    exact: NDArray[np.float32] | None = None
    for sampling in SAMPLINGS:
        places: list[tuple[str, int]] = []
        frames = []
        for film in names:
            for window in _windows(folder / film, sampling):
                if window.frames is not None:
                    places.append((film, (window.segment.start_ms + window.segment.end_ms) // 2))
                    frames.append(window.frames)
        vectors = encoder.encode(Modality.VISION, np.stack(frames))
        exact = vectors if exact is None else exact
        best = [places[int(row)] for row in (words @ vectors.T).argmax(axis=1)]
        cosines = (vectors * exact).sum(axis=1)
        moments = [_found(place, shot, shots) for place, shot in zip(best, shots, strict=True)]
        rows += [
            _row(f"{what}: {sampling}: moment@1", float(np.mean(moments)), "share"),
            _row(
                f"{what}: {sampling}: asset@1",
                float(
                    np.mean([_right_film(b, s, shots) for b, s in zip(best, shots, strict=True)])
                ),
                "share",
            ),
        ]
        if sampling != "exact":
            rows += [
                _row(f"{what}: {sampling}: median cosine", float(np.median(cosines)), "cosine"),
                _row(
                    f"{what}: {sampling}: windows below 0.9",
                    float((cosines < 0.9).mean()),
                    "share",
                ),
            ]
    return rows


def demo_shots() -> list[Shot]:
    with (DEMO / "shots.tsv").open() as file:
        return [
            Shot(row["key"], int(row["start_ms"]), int(row["end_ms"]), row["caption"])
            for row in csv.DictReader(file, delimiter="\t")
        ]


def films(folder: Path, gop: int, *, cuts: bool) -> list[Shot]:
    """Photographs of the demo that are slowly approached, one after the other."""
    random = np.random.default_rng(0)
    photos = [p for p in sorted((DEMO / "media/photos").glob("*.jpg")) if p.stem.isalpha()]
    shots = []
    for number in range(FILMS):
        film = f"{number}.mp4"
        chosen = random.choice(len(photos), SHOTS, replace=False)
        lengths_ms = random.integers(25, 70, SHOTS) * 100
        inputs: list[str | Path] = []
        steps, at_ms = [], 0
        for place, (photo, length_ms) in enumerate(zip(chosen, lengths_ms, strict=True)):
            inputs += ["-i", photos[photo]]
            steps.append(
                f"[{place}]scale=640:360:force_original_aspect_ratio=increase,crop=640:360,setsar=1,"
                f"zoompan=z=1+0.0015*on:x=iw/2-iw/zoom/2:y=ih/2-ih/zoom/2:s=640x360:fps=30:"
                f"d={length_ms * 30 // 1000}[s{place}]"
            )
            shots.append(Shot(film, at_ms, at_ms + int(length_ms), f"a {photos[photo].stem}"))
            at_ms += int(length_ms)
        joined = "".join(f"[s{place}]" for place in range(SHOTS))
        graph = ";".join([*steps, f"{joined}concat=n={SHOTS}:v=1"])
        run(
            *inputs, "-filter_complex", graph, "-c:v", "libx264", "-preset", "veryfast",
            "-g", str(gop), "-sc_threshold", "40" if cuts else "0", "-pix_fmt", "yuv420p",
            folder / film,
        )  # fmt: skip
    return shots


def _windows(
    path: Path, sampling: Literal["exact", "keyframes", "keyframes_only"]
) -> Iterable[Window]:
    items = decode_in_child(path, DecodeSettings(sampling=sampling))
    return (item for item in items if isinstance(item, Window))


def _found(place: tuple[str, int], wanted: Shot, shots: Sequence[Shot]) -> bool:
    film, at_ms = place
    return any(
        shot.words == wanted.words and shot.film == film and shot.start_ms <= at_ms < shot.end_ms
        for shot in shots
    )


def _right_film(place: tuple[str, int], wanted: Shot, shots: Sequence[Shot]) -> bool:
    return any(shot.words == wanted.words and shot.film == place[0] for shot in shots)


def _row(name: str, value: float, unit: str, target: float | None = None) -> dict[str, Any]:
    beside = f"  at most {target}" if target else ""
    print(f"{name:<62}{value:>9.4f} {unit}{beside}", flush=True)
    return {
        "name": name, "value": round(value, 5), "unit": unit,
        "targets": [] if target is None else [at_most(target)],
        "baseline": None, "ratio": None,
    }  # fmt: skip


if __name__ == "__main__":
    main()
