"""The encode stage on a GPU: windows a second, fed with ready tables and by the decoder."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from encoders.modality import Modality
from pipeline.ahead import ahead
from pipeline.embed.encode import EncodeStage
from pipeline.embed.engine import usable_cores
from pipeline.embed.job import chunks
from pipeline.embed.rows import DecodedRow, decoded_table
from pipeline.media.sandbox.client import decode_in_child
from pipeline.media.window import Window
from pipeline.models.spaces import spaces_of
from pipeline.progress import Stage, StageProgress
from pipeline.settings_embedding import DecodeSettings
from tests.bench.decode import make_1080p
from tests.bench.flops import flop_an_embedding
from tests.bench.gpu_networks import SIZES, WINDOW_S, built

Row = dict[str, Any]


def stage_rows(options: argparse.Namespace, device: torch.device, peak: float) -> list[Row]:
    """The encode stage, of windows with picture and sound: fed with ready tables, and by the
    decoder."""
    config, _ = SIZES[options.size]
    senses = (Modality.VISION, Modality.AUDIO)
    encoder = built(options.size, senses, device, torch.bfloat16, options.batch)
    done: list[StageProgress] = []

    def add(_stage: Stage, progress: StageProgress) -> None:
        done.append(progress)

    stage = EncodeStage(lambda: [encoder], spaces_of([encoder.card]), add, batch_size=options.batch)
    flop = sum(flop_an_embedding(config, modality) for modality in senses)
    print(f"\ncaptured: {encoder.feed.captured or 'nothing'}")
    print(
        f"{'encode stage, fed by':<24}{'windows/s':>10}{'share':>8}"
        f"{'h of 1080p/h':>14}{'USD/1,000 h':>13}"
    )
    table = decoded_table([_ready(number) for number in range(options.batch)])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        make_1080p(film, options.seconds)
        feeds: dict[str, Callable[[], Iterator[pa.Table]]] = {
            "null decoder": lambda: (table for _ in range(options.stage_batches)),
            "decoder": lambda: _decoded(film, options.decoders or usable_cores(), options.batch),
        }
        for name, tables in feeds.items():
            for _ in stage.tables([table]):  # what a first batch costs is not the rate
                pass
            done.clear()
            began = time.perf_counter()
            for _ in stage.tables(tables()):
                pass
            windows = sum(progress.segments for progress in done)
            rate = windows / (time.perf_counter() - began)
            rows.append(_stage_row(name, rate, flop, peak, options.price))
    return rows


def _stage_row(name: str, rate: float, flop: float, peak: float, price: float) -> Row:
    hours_an_hour = rate * WINDOW_S
    cost = 1000 / hours_an_hour * price
    print(f"{name:<24}{rate:>10.1f}{rate * flop / peak:>8.2f}{hours_an_hour:>14.1f}{cost:>13.2f}")
    return {
        "name": f"encode stage, {name}",
        "value": round(rate, 2),
        "unit": "windows/s",
        "baseline": None,
        "ratio": None,
        "share_of_matrix_rate": round(rate * flop / peak, 4),
        "hours_of_1080p_an_hour": round(hours_an_hour, 2),
        "usd_per_1000_hours": round(cost, 2),
        "usd_an_hour": price,
    }


def _ready(number: int) -> DecodedRow:
    noise = np.random.default_rng(number)
    frames = noise.integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    sound = noise.integers(-9000, 9000, int(16_000 * WINDOW_S), dtype=np.int16)
    return _window(number, frames, sound)


def _window(number: int, frames: Any, sound: Any) -> DecodedRow:
    began_ms = int(number * WINDOW_S * 1000)
    return DecodedRow(
        0, 1, "film", "g", number, began_ms, began_ms + int(WINDOW_S * 1000), payload="{}",
        frames=None if frames is None else frames.tobytes(),
        sound=None if sound is None else sound.tobytes(),
    )  # fmt: skip


def _decoded(film: Path, decoders: int, batch: int) -> Iterator[pa.Table]:
    """Tables of the film's windows, which each of the decoders reads from its beginning."""

    def windows() -> Iterator[DecodedRow]:
        for item in decode_in_child(film, DecodeSettings()):
            if isinstance(item, Window):
                yield _window(item.segment.index, item.frames, item.sound)

    with ahead(*(windows() for _ in range(decoders)), most=2 * batch) as rows:  # type: ignore[arg-type]
        for chunk in chunks(rows, batch):
            yield decoded_table(chunk)
