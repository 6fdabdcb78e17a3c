"""The published ViT-H on this CPU: float32 run plainly, and as the encoder runs each precision.

    python -m tests.bench.precision [--json FILE] [--items 4]

Plain is the same network as most would run it: a still doubled into two frames, every token of the
last block, float32. Weights are seeded; a product takes as long whatever its numbers. The cosine is
the worst one to plain float32. Text is measured apart: as it comes, and cut at its end and sorted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from encoders.imagebind.config import HUGE
from encoders.imagebind.int8 import to_int8
from encoders.imagebind.model import ImageBind
from encoders.modality import Modality
from encoders.preprocess.image import normalize
from encoders.preprocess.text import CONTEXT, token_ids
from encoders.processor import has_fast_bf16, has_vnni
from encoders.seeded import seeded_state_dict
from encoders.weights import load_into
from tests.bench.targets import at_least
from tests.support import media_files

WORDS = [
    "a",
    "dog",
    "barks",
    "at",
    "the",
    "waves",
    "on",
    "a",
    "beach",
    "while",
    "two",
    "people",
    "talk",
    "about",
    "the",
    "weather",
]
# What the quickest precision is asked for, on a processor with AMX or VNNI.
TIMES_PLAIN = 5.0
INT8_COSINE = 0.99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--items", type=int, default=4)
    options = parser.parse_args()
    print(
        f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}; "
        f"bf16 in hardware: {has_fast_bf16()}; VNNI: {has_vnni()}"
    )
    rows = vision(options.items) + text()
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def vision(items: int) -> list[dict[str, Any]]:
    frames = np.stack([media_files.picture_array(n, (224, 224))[None] for n in range(items)])
    pixels = normalize(torch.from_numpy(frames), torch.float32)
    doubled = pixels[:, :, None].expand(-1, -1, 2, -1, -1).contiguous()
    wanted = {"int8": [at_least(TIMES_PLAIN, "ratio"), at_least(INT8_COSINE, "cosine_to_fp32")]}
    with torch.inference_mode():
        base, exact = timed(_plain_vision, built(Modality.VISION), doubled)
        rows = [row("ViT-H, plain fp32", items / base, items / base, exact, exact)]
        # One network at a time: three of them would take 7 GB.
        for name, change, dtype in (
            ("fp32", lambda model: model, torch.float32),
            ("bf16", lambda model: model.to(torch.bfloat16), torch.bfloat16),
            ("int8", to_int8, torch.float32),
        ):
            ours, vectors = timed(_vision, change(built(Modality.VISION)), pixels.to(dtype))
            made = row(f"ViT-H, {name}", items / ours, items / base, vectors, exact)
            rows.append(made | {"targets": wanted.get(name, [])})
    return rows


def text() -> list[dict[str, Any]]:
    """Captions of 1 to 16 words, in batches of 16: of 77 tokens, and sorted and cut."""
    model = built(Modality.TEXT)
    captions = [" ".join(WORDS[: n % 16 + 1]) for n in range(64)]
    ids = torch.from_numpy(token_ids(captions))

    with torch.inference_mode():
        base, exact = timed(_text, model, ids, torch.arange(len(ids)), CONTEXT)
        ours, vectors = timed(_text, model, ids, ids.argmax(1).argsort(), None)
    rate = len(ids) / base
    return [
        row("text, 77 tokens", rate, rate, exact, exact),
        row("text, cut and sorted", len(ids) / ours, rate, vectors, exact),
    ]


def built(modality: Modality) -> ImageBind:
    model = ImageBind(HUGE.only((modality,)))
    load_into(model, seeded_state_dict(model, 0), "seed 0")
    return model.eval().requires_grad_(False)


def row(name: str, rate: float, base: float, vectors: Tensor, exact: Tensor) -> dict[str, Any]:
    unit = (F.normalize(t.float(), dim=-1) for t in (vectors, exact))
    cosine = float(torch.stack(list(unit)).prod(0).sum(1).min())
    print(f"{name:<24}{rate:>8.3f}/s{rate / base:>8.2f} x{cosine:>10.5f}", flush=True)
    return {
        "name": name,
        "value": round(rate, 4),
        "unit": "embeddings/s",
        "baseline": round(base, 4),
        "ratio": round(rate / base, 3),
        "cosine_to_fp32": round(cosine, 6),
    }


def timed(work: Callable[..., Tensor], *given: Any) -> tuple[float, Tensor]:
    """Seconds, the better of two, and what came out."""
    best = float("inf")
    for _ in range(2):
        started = time.perf_counter()
        out = work(*given)
        best = min(best, time.perf_counter() - started)
    return best, out


def _vision(model: ImageBind, pixels: Tensor) -> Tensor:
    return model.tower(Modality.VISION, pixels)


def _text(model: ImageBind, ids: Tensor, order: Tensor, tokens: int | None) -> Tensor:
    out = torch.empty(len(ids), HUGE.dimension)
    for part in order.split(16):
        out[part] = model.tower(Modality.TEXT, ids[part], tokens=tokens)
    return out


def _plain_vision(model: ImageBind, clips: Tensor) -> Tensor:
    tokens = model.modality_preprocessors["vision"](clips)
    every = model.modality_trunks["vision"](tokens, None)
    out: Tensor = model.modality_heads["vision"](every[:, 0])
    return out


if __name__ == "__main__":
    main()
