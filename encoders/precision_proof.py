"""Prove a precision on the device that it is used on, before an encoder is used in it.

The first load of a checkpoint in less than float32 encodes a few fixed inputs a modality in both,
one network after the other, and keeps the smallest cosine beside the digests; a tower below
`MIN_COSINE` is loaded in float32. A later load reads the figures. They hold for one checkpoint and
pre-processing, one kind of device, and these versions of the libraries.
"""

from __future__ import annotations

import gc
import hashlib
import importlib.metadata
import json
import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.cache import cache_home, read_cached, write_cached
from encoders.card import EncoderCard
from encoders.errors import BrokenWeights
from encoders.modality import Modality
from encoders.precision import FULL, MIN_COSINE, TowerPrecision, fall_back_lines
from encoders.processor import device_kind
from encoders.proof_inputs import fixed_inputs
from encoders.protocol import Encoder

# Raised when the inputs, the comparison or the networks' arithmetic change: all is proved anew.
PROOF_VERSION = 2
Build = Callable[[str, Collection[Modality]], Encoder]
Rows = NDArray[np.float32] | None
logger = logging.getLogger(__name__)


def load_proven(
    card: EncoderCard,
    device: torch.device,
    precision: str,
    modalities: Sequence[Modality],
    build: Build,
) -> Encoder:
    """The encoder in that precision, each tower that fails its proof in float32; a warning says so.

    `build(precision, exact)` loads the network anew, the `exact` towers in float32: no two are in
    memory at once. Raises as `build` does.
    """
    encoder: Encoder | None = None
    figures = {m: _kept(card, device, precision, m) for m in modalities}
    unproved = [m for m, cosine in figures.items() if cosine is None]
    if unproved:
        wanted = _encoded(build(FULL, ()), unproved)
        _let_go(device)
        encoder = build(precision, ())
        for modality, got in _encoded(encoder, unproved).items():
            cosine = _smallest_cosine(wanted[modality], got)
            figures[modality] = cosine
            _keep(card, device, precision, modality, cosine)
    precisions = _precisions(card, device, precision, figures)
    exact = [one.modality for one in precisions if one.fell_back]
    if encoder is not None and exact:
        encoder = None
        _let_go(device)
    if encoder is None:
        encoder = build(precision, exact)
    encoder.precisions = precisions
    for line in fall_back_lines(precisions):
        logger.warning(line)
    return encoder


def known_precisions(
    card: EncoderCard, device: torch.device, precision: str, modalities: Sequence[Modality]
) -> tuple[TowerPrecision, ...]:
    """What a load would come to by the figures that are kept; nothing is loaded or encoded."""
    if precision == FULL:
        return in_full(card, modalities)
    figures = {m: _kept(card, device, precision, m) for m in modalities}
    return _precisions(card, device, precision, figures)


def in_full(card: EncoderCard, modalities: Sequence[Modality]) -> tuple[TowerPrecision, ...]:
    """Every tower in float32, as it was asked for: nothing is to be proved."""
    return tuple(TowerPrecision(card.name, m, FULL, FULL) for m in modalities)


def _precisions(
    card: EncoderCard,
    device: torch.device,
    precision: str,
    figures: Mapping[Modality, float | None],
) -> tuple[TowerPrecision, ...]:
    kind = device_kind(device)
    return tuple(
        TowerPrecision(
            card.name,
            modality,
            precision,
            FULL if cosine is not None and cosine < MIN_COSINE[precision] else precision,
            cosine,
            kind,
        )
        for modality, cosine in figures.items()
    )


def _encoded(encoder: Encoder, modalities: Sequence[Modality]) -> dict[Modality, Rows]:
    """Unit vectors of the fixed inputs; None where the network's answer was not finite."""
    rows: dict[Modality, Rows] = {}
    for modality in modalities:
        try:
            parts = [encoder.encode(modality, b) for b in fixed_inputs(encoder.card, modality)]
            rows[modality] = np.concatenate(parts)
        except BrokenWeights:
            rows[modality] = None
    return rows


def _smallest_cosine(wanted: Rows, got: Rows) -> float:
    if wanted is None or got is None:
        return 0.0
    cosines = (wanted.astype(np.float64) * got).sum(1)
    return min(1.0, float(cosines.min())) if np.isfinite(cosines).all() else 0.0


def _kept(
    card: EncoderCard, device: torch.device, precision: str, modality: Modality
) -> float | None:
    """The figure of an earlier proof; None where there is none, or none that can be read."""
    try:
        cosine = float(
            json.loads(read_cached(_path(card, device, precision, modality)) or "")["cosine"]
        )
    except (ValueError, KeyError, TypeError):
        return None
    return cosine if math.isfinite(cosine) else None


def _keep(
    card: EncoderCard, device: torch.device, precision: str, modality: Modality, cosine: float
) -> None:
    facts = _facts(card, device, precision, modality)
    text = json.dumps({**facts, "cosine": cosine}, indent=1)
    write_cached(_path(card, device, precision, modality), text)


def _path(card: EncoderCard, device: torch.device, precision: str, modality: Modality) -> Path:
    """A file a figure: loads that prove side by side write the same, and none takes another's."""
    facts = json.dumps(_facts(card, device, precision, modality), sort_keys=True)
    return cache_home() / "precision" / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.json"


def _facts(
    card: EncoderCard, device: torch.device, precision: str, modality: Modality
) -> dict[str, str | int]:
    return {
        "encoder": card.name,
        "fingerprint": card.fingerprint(),  # of the weights and the pre-processing, among others
        "weights": card.weights_digest,
        "modality": str(modality),
        "precision": precision,
        "device": device_kind(device),
        "torch": torch.__version__,
        "transformers": importlib.metadata.version("transformers"),
        "proof": PROOF_VERSION,
    }


def _let_go(device: torch.device) -> None:
    """A network that nobody holds any more gives its memory back before the next is loaded."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
