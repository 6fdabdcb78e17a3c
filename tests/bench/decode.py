"""Decoding: CPU-seconds a media-second beside a full decode, and memory beside length.

    python -m tests.bench.decode --json decode.json [--seconds 60]

The clips are made here. The two decoders must agree in times and pixels, or there is no figure.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from pipeline.media.ffmpeg import find_ffmpeg
from pipeline.media.sandbox.client import ChildExit, decode_in_child
from pipeline.media.window import DecodeEnd, Window
from pipeline.settings_embedding import DecodeSettings

FFMPEG = find_ffmpeg(DecodeSettings())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--seconds", type=int, default=60, help="length of the 1080p clip")
    parser.add_argument("--long-seconds", type=int, default=7200, help="length of the long video")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = speed(Path(folder), options.seconds) + memory(Path(folder), options.long_seconds)
    for row in rows:
        beside = "" if row["baseline"] is None else f"{row['baseline']:>12.4g} {row['ratio']:>8.2f}"
        print(f"{row['name']:<52} {row['value']:>12.4g} {row['unit']:<20} {beside}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def speed(folder: Path, seconds: int) -> list[dict[str, object]]:
    """1080p H.264, GOP 250, noise on a moving test picture, with sound; one thread each."""
    clip = folder / "clip.mp4"
    print(f"making {seconds} s of 1080p with ffmpeg {FFMPEG.version} ({FFMPEG.origin})", flush=True)
    make_1080p(clip, seconds)
    full = cpu_seconds("-threads", "1", "-i", clip, "-f", "null", "-") / seconds
    way = {name: windows(clip, name) for name in ("pyav", "ffmpeg")}
    ours, theirs = way["pyav"][0], way["ffmpeg"][0]
    if [w.segment for w in ours] != [w.segment for w in theirs]:
        raise SystemExit("the two decoders give other windows")
    worst = max(
        float(np.abs(a.frames.astype(int) - b.frames).mean())
        for a, b in zip(ours, theirs, strict=True)
        if a.frames is not None and b.frames is not None
    )
    if worst >= 1:
        raise SystemExit(f"the two decoders give other pixels: {worst:.2f} levels apart")
    rows = [row("full decode, ffmpeg", full, "CPU s/media s")]
    for name, (_, end) in way.items():
        rows.append(row(f"decode, {name}", end.cpu_seconds / seconds, "CPU s/media s", full))
    rows.append(row("decode, pyav, real time on a core", seconds / way["pyav"][1].cpu_seconds, "x"))
    rows.append(row("largest difference of a frame between the two", worst, "grey levels"))
    return rows


def make_1080p(clip: Path, seconds: int) -> None:
    """1080p H.264 at 5 Mbit/s, GOP 250, noise on a moving test picture, with sound."""
    run(
        *("-f", "lavfi", "-i", f"testsrc2=s=1920x1080:r=25:d={seconds},noise=alls=8:allf=t"),
        *("-f", "lavfi", "-i", f"sine=440:d={seconds}", "-c:v", "libx264", "-preset", "veryfast"),
        *("-g", "250", "-bf", "3", "-b:v", "5M", "-pix_fmt", "yuv420p", "-c:a", "aac", clip),
    )


def memory(folder: Path, long_s: int) -> list[dict[str, object]]:
    """Peak memory of the child over 10 minutes and over a long video, one looped clip each."""
    short_s = min(600, long_s)
    run(
        *("-f", "lavfi", "-i", "testsrc2=s=160x120:r=5:d=60", "-f", "lavfi", "-i", "sine=440:d=60"),
        *("-c:v", "libx264", "-g", "50", "-bf", "3", "-pix_fmt", "yuv420p"),
        *("-c:a", "aac", "-ar", "16000", folder / "minute.mp4"),
    )
    peaks = []
    for length_s in (short_s, long_s):
        path = folder / f"{length_s}.mkv"
        loops = str(length_s // 60 - 1)
        run("-stream_loop", loops, "-i", folder / "minute.mp4", "-c", "copy", path)
        exits: list[ChildExit] = []
        count = sum(
            isinstance(item, Window)
            for item in decode_in_child(path, DecodeSettings(), on_exit=exits.append)
        )
        if abs(count - length_s // 2) > 2:
            raise SystemExit(f"{count} windows of {length_s} s")
        peaks.append(exits[0].peak_rss_bytes / 2**20)
    return [
        row(f"peak memory of the child, {short_s} s", peaks[0], "MB"),
        row(f"peak memory of the child, {long_s} s", peaks[1], "MB", peaks[0]),
    ]


def windows(clip: Path, decoder: str) -> tuple[list[Window], DecodeEnd]:
    settings = DecodeSettings(decoder=decoder)  # type: ignore[arg-type]
    items = list(decode_in_child(clip, settings))
    end = items[-1]
    if not isinstance(end, DecodeEnd):
        raise SystemExit("decoding did not end")
    return [item for item in items if isinstance(item, Window)], end


def run(*arguments: str | Path) -> None:
    command = [FFMPEG.path, "-v", "error", "-y", "-nostdin", *map(str, arguments)]
    subprocess.run(command, check=True)


def cpu_seconds(*arguments: str | Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(name: str, value: float, unit: str, baseline: float | None = None) -> dict[str, object]:
    ratio = None if baseline is None else value / baseline
    return {"name": name, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio}


if __name__ == "__main__":
    main()
