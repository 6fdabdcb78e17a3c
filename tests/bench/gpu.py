"""Embeddings a second on a GPU, of the published size: eager, compiled, and captured as a graph.

    python -m tests.bench.gpu [--json FILE] [--batch 256] [--size huge] [--device cuda]

Needs torch alone: no Ray, no S3, no checkpoint (weights are random; a product takes as long
whatever its numbers). Prints for each modality and form the embeddings a second, the share of the
card's own bf16 matrix rate, measured here on a large product, and the peak of memory; beside them
the same network in float32, run plainly. Shapes are fixed; text computes all of its 77 tokens.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoders.imagebind.config import HUGE, TINY
from encoders.imagebind.model import ImageBind
from encoders.modality import Modality
from encoders.preprocess.text import CONTEXT, END_ID
from tests.bench.flops import flop_an_embedding

Forward = Callable[[Tensor], Tensor]
SHAPES = {
    Modality.VISION: (3, 224, 224),
    Modality.AUDIO: (1, 128, 204),
    Modality.DEPTH: (1, 224, 224),
    Modality.THERMAL: (1, 224, 224),
    Modality.IMU: (6, 2000),
}
MATRIX = 8192
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", choices=["huge", "tiny"], default="huge")
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--forms", nargs="+", default=["eager", "compiled", "graph", "compiled graph"]
    )
    parser.add_argument("--modalities", nargs="+", default=[str(m) for m in Modality])
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --device cpu --size tiny tries the script itself")
    device = torch.device(options.device)
    peak = matrix_rate(device, MATRIX if device.type == "cuda" else 512)
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "CPU"
    print(f"{name}, torch {torch.__version__}: bf16 matrix rate {peak / 1e12:.1f} TFLOP/s\n")
    print(
        f"{'modality':<9}{'form':<16}{'emb/s':>10}{'share':>8}{'x fp32':>8}{'GB':>7}{'cosine':>9}"
    )
    rows: list[dict[str, Any]] = []
    for modality in options.modalities:
        rows += measure(
            Modality(modality), options.size, options.batch, device, peak, options.forms
        )
    if options.json:
        facts = {"device": name, "torch": torch.__version__, "matrix_flop_s": peak, "rows": rows}
        options.json.write_text(json.dumps(facts, indent=1))


def measure(
    modality: Modality,
    size: str,
    batch: int,
    device: torch.device,
    peak: float,
    forms: list[str],
) -> list[dict[str, Any]]:
    """A row a form, printed as it comes, after one of plain float32."""
    config = (HUGE if size == "huge" else TINY).only((modality,))
    flop = flop_an_embedding(config, modality)
    with torch.device(device):
        model = ImageBind(config).eval().requires_grad_(False)
        for parameter in model.parameters():
            spread = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.02
            torch.nn.init.normal_(parameter, std=spread)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    few = max(batch // 8, 1)
    wide = inputs(modality, batch, device, torch.float32)
    rows: list[dict[str, Any]] = []
    with torch.inference_mode():
        plain_rate = few / seconds(lambda: model.tower(modality, wide[:few]), device)
        exact = _unit(model.tower(modality, wide[:few]))
        rows.append(_row(modality, "plain fp32", plain_rate, flop, peak, plain_rate, device, 1.0))
        model = model.to(torch.bfloat16)
        x = wide if modality is Modality.TEXT else wide.to(torch.bfloat16)
        tokens = CONTEXT if modality is Modality.TEXT else None

        def eager(batch: Tensor) -> Tensor:
            return model.tower(modality, batch, tokens=tokens)

        for form in forms:
            forward: Forward = eager
            if "compiled" in form:
                forward = torch.compile(eager, dynamic=False)
            if "graph" in form:
                if device.type != "cuda":
                    continue
                forward = captured(forward, x)
            cosine = float((_unit(forward(x)[:few]) * exact).sum(1).min())
            rate = batch / seconds(lambda run=forward: run(x), device)  # type: ignore[misc]
            rows.append(_row(modality, form, rate, flop, peak, plain_rate, device, cosine))
            torch._dynamo.reset()
    return rows


def captured(forward: Forward, x: Tensor) -> Forward:
    """The same, as one CUDA graph over a buffer that every batch is copied into."""
    static = x.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            forward(static)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = forward(static)

    def replay(batch: Tensor) -> Tensor:
        static.copy_(batch)
        graph.replay()
        return out

    return replay


def inputs(modality: Modality, batch: int, device: torch.device, dtype: torch.dtype) -> Tensor:
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
    return 2 * size**3 / seconds(lambda: a @ a, device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """The best of some rounds, after two that do not count (a compiler's, a cache's)."""
    best = float("inf")
    for number in range(ROUNDS + 2):
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
) -> dict[str, Any]:
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    share = rate * flop / peak
    print(
        f"{modality:<9}{form:<16}{rate:>10.1f}{share:>8.2f}{rate / plain_rate:>8.1f}"
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


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
