"""Small objects: CPU a picture or a sound in the sandbox, alone in a child and in a shared one.

    python -m tests.bench.small_objects [--json FILE] [--repeats 64]

Counted is what the fork server, its children and this process take together; beside it the same
decoding in this process, and plain Pillow to the same size (convert, resize, crop).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from pipeline.media.decode import decode
from pipeline.media.image import load_formats
from pipeline.media.sandbox.shared_child import SandboxDecoder
from pipeline.settings_embedding import DecodeSettings
from tests.bench.decode import run
from tests.bench.targets import at_most

TARGETS_MS = {"640x480": 2.5, "1280x960": 5.5, "4000x3000": 25.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--repeats", type=int, default=64)
    options = parser.parse_args()
    load_formats()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, path in made(Path(folder)).items():
            rows += measured(name, path, options.repeats)
    for row in rows:
        target = "".join(f"  {one['is']} {one['bound']}" for one in row["targets"])
        print(f"{row['name']:<44}{row['value']:>8.2f} {row['unit']}{target}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def picture(path: Path, width: int, height: int, seed: int = 0) -> Path:
    """A JPEG like a photograph in what a decoder has to do: waves with grain, at quality 88."""
    down, across = np.mgrid[0:height, 0:width] * (640 / width) + seed
    waves = [127 + 60 * np.sin(across / s) + 60 * np.sin(down / (s + 7)) for s in (9, 21, 55)]
    grain = np.random.default_rng(seed).normal(0, 6, (height, width, 3))
    pixels = np.stack(waves, axis=-1) + grain
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=88)
    return path


def made(folder: Path) -> dict[str, Path]:
    """A file of each kind, by its name."""
    files = {}
    for width, height in ((640, 480), (1280, 960), (4000, 3000)):
        files[f"{width}x{height}"] = picture(folder / f"{width}.jpg", width, height)
    for name, codec in (("sound.wav", "pcm_s16le"), ("sound.mp3", "libmp3lame")):
        run("-f", "lavfi", "-i", "sine=440:r=44100:d=5", "-c:a", codec, folder / name)
        files[f"5 s of {name[6:]}"] = folder / name
    return files


def measured(name: str, path: Path, repeats: int) -> list[dict[str, Any]]:
    """Rows of one file."""
    shared, alone = (
        SandboxDecoder(DecodeSettings(objects_per_child=objects)) for objects in (64, 1)
    )
    ways: dict[str, Callable[[], Iterable[object]]] = {
        "shared child": lambda: shared.decode(path),
        "a child of its own": lambda: alone.decode(path),
        "this process": lambda: decode(path, DecodeSettings()),
    }
    if path.suffix == ".jpg":
        ways["plain Pillow"] = lambda: [_by_pillow(path)]
    else:
        del ways["shared child"]  # sounds never share
    rows = []
    for way, items in ways.items():
        list(items())
        before = cpu_s_of_all()
        for _ in range(repeats):
            list(items())
        row = {
            "name": f"{name}: {way}",
            "value": round((cpu_s_of_all() - before) / repeats * 1000, 3),
            "unit": "CPU ms an object",
            "targets": [at_most(TARGETS_MS[name])] if way == "shared child" else [],
        }
        rows.append(row)
    shared.close()
    in_process = next(row["value"] for row in rows if row["name"].endswith("this process"))
    return [row | {"baseline": in_process, "ratio": row["value"] / in_process} for row in rows]


def _by_pillow(path: Path) -> object:
    picture = Image.open(path).convert("RGB")
    scale = 224 / min(picture.size)
    size = round(picture.width * scale), round(picture.height * scale)
    left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
    resized = picture.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + 224, top + 224)))


def cpu_s_of_all() -> float:
    """Of this process, its children and theirs, living or ended."""
    time.sleep(0.05)  # a child that has said its last word is still on its way out
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        times = process.cpu_times()
        total += times.user + times.system
        if process.pid != psutil.Process().pid:
            total += times.children_user + times.children_system
    return total


if __name__ == "__main__":
    main()
