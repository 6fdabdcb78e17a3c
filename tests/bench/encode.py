"""Embeddings a second as the encoder runs, beside the same network run naively: float32, one item
at a time, the whole 77 tokens of a text, a still doubled into two frames. And windows a second of
sensedex-mini, as the pipeline gives them: two frames of 224 x 224, two seconds of sound.

    python -m tests.bench.encode [--json FILE] [--huge]

`--huge` takes the published size with seeded weights: 5 GB of memory and some minutes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from encoders.catalogue import CARDS
from encoders.imagebind.config import DEMO, HUGE
from encoders.imagebind.encode import ImageBindEncoder
from encoders.imagebind.model import ImageBind
from encoders.loading import load_encoder
from encoders.modality import Modality
from encoders.preprocess.audio import log_mel_windows
from encoders.preprocess.image import normalize
from encoders.preprocess.text import token_ids
from encoders.seeded import seeded_state_dict
from encoders.weights import load_into
from pipeline.embed.reused_memory import keep_freed_memory
from tests.bench.targets import at_least
from tests.support import media_files

MINI_ASKED_FOR = {Modality.VISION: 60.0, Modality.AUDIO: 120.0}
TEXTS = ["a dog barks", "waves breaking on a beach at sunset", "an owl", "two people talk"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--huge", action="store_true")
    options = parser.parse_args()
    keep_freed_memory()  # as a run does, for both sides
    rows = measure(huge=options.huge) + ([] if options.huge else measure_mini())
    print(f"{'':<12}{'ours/s':>10}{'beside':>10}{'ratio':>8}")
    for row in rows:
        print(f"{row['name']:<12}{row['value']:>10.2f}{row['baseline']:>10.2f}{row['ratio']:>8.2f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def measure(*, huge: bool) -> list[dict[str, Any]]:
    model = ImageBind(HUGE.only(CARDS["imagebind-huge"].modalities) if huge else DEMO)
    load_into(model, seeded_state_dict(model, 0), "seed 0")
    model.eval().requires_grad_(False)
    size = 4 if huge else 32
    inputs: dict[Modality, Any] = {
        Modality.VISION: np.stack(
            [media_files.picture_array(n, (224, 224))[None] for n in range(size)]
        ),
        Modality.AUDIO: np.stack([media_files.sound_array(n, 2.0) for n in range(size)]),
        Modality.TEXT: [f"{TEXTS[n % 4]} {n}" for n in range(size)],
    }
    naive = {m: _rate(lambda m=m: _naive(model, m, inputs[m]), size, huge) for m in inputs}
    if huge:
        # The float32 network is given away, so that two of them are never in memory at once.
        card = replace(CARDS["imagebind-huge"], weights_digest="seed:0")
        encoder: Any = ImageBindEncoder(model, card, torch.device("cpu"), torch.bfloat16)
    else:
        encoder = load_encoder("imagebind-demo", device="cpu")
    ours = {m: _rate(lambda m=m: encoder.encode(m, inputs[m]), size, huge) for m in inputs}
    return [
        {
            "name": str(m),
            "value": round(ours[m], 3),
            "unit": "embeddings/s",
            "baseline": round(naive[m], 3),
            "ratio": round(ours[m] / naive[m], 3),
        }
        for m in inputs
    ]


def measure_mini() -> list[dict[str, Any]]:
    """Beside the windows a second that two cores were asked for."""
    encoder = load_encoder("sensedex-mini", device="cpu")
    size = 64
    frames = np.stack([media_files.picture_array(n, (224, 224)) for n in range(2 * size)])
    inputs: dict[Modality, Any] = {
        Modality.VISION: frames.reshape(size, 2, 224, 224, 3),
        Modality.AUDIO: np.stack([media_files.sound_array(n, 2.0) for n in range(size)]),
    }
    rates = {m: _rate(lambda m=m: encoder.encode(m, inputs[m]), size, once=False) for m in inputs}
    return [
        {
            "name": f"mini {m}",
            "value": round(rates[m], 1),
            "unit": "windows/s",
            "baseline": MINI_ASKED_FOR[m],
            "ratio": round(rates[m] / MINI_ASKED_FOR[m], 2),
            "targets": [at_least(MINI_ASKED_FOR[m])],
        }
        for m in inputs
    ]


def _naive(model: ImageBind, modality: Modality, batch: Any) -> None:
    """What a weekend script does; pre-processing included, as it is in ours."""
    with torch.inference_mode():
        for item in batch:
            if modality is Modality.VISION:
                doubled = torch.from_numpy(np.repeat(item[None], 2, axis=1))
                F.normalize(model.tower(modality, normalize(doubled, torch.float32)), dim=-1)
            elif modality is Modality.AUDIO:
                F.normalize(model.tower(modality, log_mel_windows(item[None])), dim=-1)
            else:
                _whole_text(model, torch.from_numpy(token_ids([item])))


def _whole_text(model: ImageBind, ids: torch.Tensor) -> None:
    pool = ids.argmax(-1)
    tokens = model.modality_preprocessors["text"](ids)
    model.modality_heads["text"](model.modality_trunks["text"](tokens, pool))


def _rate(work: Callable[[], object], items: int, once: bool) -> float:
    """Items a second, the best of three; once for what takes long."""
    if not once:
        work()
    best = float("inf")
    for _ in range(1 if once else 3):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return items / best


if __name__ == "__main__":
    main()
