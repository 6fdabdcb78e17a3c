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
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.imagebind.encode import ImageBindEncoder
from encoders.modality import Modality
from tests.bench.flops import flop_an_embedding
from tests.bench.gpu_networks import SIZES, built, raw
from tests.bench.gpu_stage import Row, stage_rows

Rows = NDArray[np.float32]
MATRIX = 8192
ROUNDS = 5


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
