"""The product's way to a GPU, measured: vectors a second of each tower, and windows a second of the
encode stage, fed with ready windows and by the decoder.

    python -m tests.bench.gpu [--json FILE] [--batch 64] [--size huge] [--device cuda]
                              [--price 1.30] [--seconds 600] [--decoders 0]

No S3 and no checkpoint: weights are random, a product takes as long whatever its numbers. Three
forms of each tower, from raw windows to unit vectors on the host:

    plain fp32   the network as it stands, one batch after the other
    eager        in bf16, the same way
    product      `encoders.device_feed.DeviceFeed` as the pipeline calls it: captured, pinned, a
                 batch submitted ahead

Then `pipeline.embed.encode.EncodeStage` by itself (null decoder: the same ready tables again and
again) and behind the real one, of a 1080p film made here: windows a second, hours of 1080p an
hour, and what 1,000 hours cost at `--price` an hour of this machine. The share is of the card's
own bf16 rate, measured here on a large product.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.card import EncoderCard
from encoders.catalogue import CARDS
from encoders.imagebind.config import HUGE, MINI, TINY, ImageBindConfig
from encoders.imagebind.encode import ImageBindEncoder
from encoders.imagebind.model import ImageBind
from encoders.modality import Modality
from encoders.preprocess.text import CONTEXT, END_ID
from encoders.seeded import seeded_state_dict
from encoders.weights import load_into
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

Row = dict[str, Any]
Rows = NDArray[np.float32]
SHAPES = {
    Modality.VISION: (3, 224, 224),
    Modality.AUDIO: (1, 128, 204),
    Modality.DEPTH: (1, 224, 224),
    Modality.THERMAL: (1, 224, 224),
    Modality.IMU: (6, 2000),
}
SIZES: dict[str, tuple[ImageBindConfig, str]] = {
    "huge": (HUGE, "imagebind-huge"),
    "tiny": (TINY, "imagebind-huge"),
    "mini": (MINI, "sensedex-mini"),
}
MATRIX = 8192
ROUNDS = 5
WINDOW_S = 2.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--batch", type=int, default=64, help="windows in a batch, as encode.batch_size"
    )
    parser.add_argument("--size", choices=list(SIZES), default="huge")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--forms", nargs="+", default=["eager", "product"])
    parser.add_argument("--modalities", nargs="+", help="all that the network has, by default")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of which the best one counts")
    parser.add_argument("--stage-batches", type=int, default=64, help="given to the encode stage")
    parser.add_argument("--seconds", type=int, default=600, help="length of the film")
    parser.add_argument("--decoders", type=int, default=0, help="0 for one on each core")
    parser.add_argument("--price", type=float, default=1.30, help="USD an hour of this machine")
    options = parser.parse_args(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("there is no GPU here; --device cpu --size mini tries the script itself")
    device = torch.device(options.device)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    peak = matrix_rate(device, MATRIX if device.type == "cuda" else 512)
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "CPU"
    print(f"{name}, torch {torch.__version__}: bf16 matrix rate {peak / 1e12:.1f} TFLOP/s\n")
    config, _ = SIZES[options.size]
    wanted = [Modality(m) for m in options.modalities or config.towers]
    print(
        f"{'modality':<9}{'form':<12}{'emb/s':>10}{'share':>8}{'x fp32':>8}{'GB':>7}{'cosine':>9}"
    )
    rows: list[Row] = []
    for modality in wanted:
        rows += towers(
            modality, options.size, options.batch, device, peak, options.forms, options.rounds
        )
    rows += stage_rows(options, device, peak)
    if options.json:
        facts = {"device": name, "torch": torch.__version__, "matrix_flop_s": peak, "rows": rows}
        options.json.write_text(json.dumps(facts, indent=1))


def towers(
    modality: Modality,
    size: str,
    batch: int,
    device: torch.device,
    peak: float,
    forms: Sequence[str],
    rounds: int,
) -> list[Row]:
    """A row a form, printed as it comes, after one of plain float32."""
    config, _ = SIZES[size]
    flop = flop_an_embedding(config, modality)
    few = max(batch // 8, 1)
    windows = raw(modality, batch)
    exact, plain_rate = plainly(modality, size, windows[:few], device, rounds)
    rows = [_row(modality, "plain fp32", plain_rate, flop, peak, plain_rate, device, 1.0)]
    encoder = built(size, (modality,), device, torch.bfloat16, batch)
    for form in forms:
        if form == "product":
            encoder.feed.prepare([modality], batch)
            got = encoder.feed.encode(modality, windows[:few])
            taken = seconds(lambda: _submitted(encoder, modality, windows, 4), device, rounds) / 4
        else:
            got = eagerly(encoder, modality, windows[:few])
            taken = seconds(lambda: eagerly(encoder, modality, windows), device, rounds)
        cosine = float((got * exact).sum(1).min())
        rows.append(_row(modality, form, batch / taken, flop, peak, plain_rate, device, cosine))
    return rows


def plainly(
    modality: Modality, size: str, windows: Any, device: torch.device, rounds: int
) -> tuple[Rows, float]:
    """Vectors in float32, and how many a second; the network is gone afterwards."""
    encoder = built(size, (modality,), device, torch.float32, len(windows))
    vectors = eagerly(encoder, modality, windows)
    taken = seconds(lambda: eagerly(encoder, modality, windows), device, rounds)
    return vectors, len(windows) / taken


def eagerly(encoder: ImageBindEncoder, modality: Modality, windows: Any) -> Rows:
    """Without streams, pinned memory or graphs, and everything waited for."""
    tower = encoder.feed.towers[modality]
    device = next(encoder.model.parameters()).device
    cut = tower.cut(windows, len(windows))
    with torch.inference_mode():
        parts = []
        for piece in cut.pieces:
            there = tower.prepare(*(tensor.to(device) for tensor in piece))
            parts.append(tower.finish(tower.forward(*there).float().cpu()))
        rows: Rows = torch.cat(parts).numpy()
    return rows if cut.place is None else rows[cut.place]


def _submitted(encoder: ImageBindEncoder, modality: Modality, windows: Any, times: int) -> None:
    pending = [encoder.feed.submit(modality, windows) for _ in range(times)]
    for one in pending:
        one.result()


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


def built(
    size: str,
    modalities: tuple[Modality, ...],
    device: torch.device,
    dtype: torch.dtype,
    batch: int,
) -> ImageBindEncoder:
    """As `encoders.loading` builds it, with seeded weights."""
    config, name = SIZES[size]
    model = ImageBind(config.only(modalities))
    load_into(model, seeded_state_dict(model, 0), "seed 0")
    card: EncoderCard = replace(
        CARDS[name], weights_digest="seed:0", dimension=config.dimension, modalities=modalities
    )
    return ImageBindEncoder(model, card, device, dtype, max_batch=batch)


def raw(modality: Modality, batch: int) -> Any:
    """A batch as the encoder takes it; texts of which all 77 tokens are computed."""
    noise = np.random.default_rng(0)
    if modality is Modality.VISION:
        return noise.integers(0, 256, (batch, 2, 224, 224, 3), dtype=np.uint8)
    if modality is Modality.AUDIO:
        return noise.integers(-9000, 9000, (batch, int(16_000 * WINDOW_S)), dtype=np.int16)
    if modality is Modality.TEXT:
        return [f"{number} {'dog ' * CONTEXT}" for number in range(batch)]
    if modality is Modality.IMU:
        return noise.standard_normal((batch, 6, 2000)).astype(np.float32)
    return (1 + 9 * noise.random((batch, 224, 224))).astype(np.float32)


def inputs(modality: Modality, batch: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """What the network itself takes, for those who count its operations."""
    generator = torch.Generator(device).manual_seed(0)
    if modality is Modality.TEXT:
        ids = torch.randint(1, 40_000, (batch, CONTEXT), device=device, generator=generator)
        ids[:, -1] = END_ID
        return ids
    shape = (batch, *SHAPES[modality])
    return torch.randn(shape, device=device, generator=generator).to(dtype)


def matrix_rate(device: torch.device, size: int) -> float:
    """Floating-point operations a second of one large bf16 product: what the card can do."""
    a = torch.randn(size, size, device=device).to(torch.bfloat16)
    return 2 * size**3 / seconds(lambda: a @ a, device, ROUNDS)


def seconds(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """The best of some rounds, after two that do not count (caches, a library's choice)."""
    best = float("inf")
    for number in range(rounds + 2):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        if number >= 2:
            best = min(best, time.perf_counter() - started)
    return best


def _row(
    modality: Modality,
    form: str,
    rate: float,
    flop: float,
    peak: float,
    plain_rate: float,
    device: torch.device,
    cosine: float,
) -> Row:
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    share = rate * flop / peak
    print(
        f"{modality:<9}{form:<12}{rate:>10.1f}{share:>8.2f}{rate / plain_rate:>8.1f}"
        f"{memory / 1e9:>7.1f}{cosine:>9.5f}",
        flush=True,
    )
    return {
        "name": f"{modality}, {form}",
        "value": round(rate, 2),
        "unit": "embeddings/s",
        "baseline": round(plain_rate, 2),
        "ratio": round(rate / plain_rate, 3),
        "share_of_matrix_rate": round(share, 4),
        "peak_bytes": memory,
        "cosine_to_fp32": round(cosine, 6),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
