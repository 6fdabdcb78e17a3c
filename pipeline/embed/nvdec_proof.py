"""Prove the device's decoder, codec by codec, before `auto` gives it an object.

A clip that is made here is decoded twice, each time in a child as an object is: by PyAV on the CPU,
and by the device with nothing to fall back on. The windows must have the same times, and the frames
differ by no more than `MAX_MEAN_DIFFERENCE`. The figure is kept beside the proofs of precision; it
holds for one driver, one set of GPUs and these versions of the libraries.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from encoders.cache import cache_home, read_cached, write_cached
from pipeline.errors import SensedexError
from pipeline.media import nvdec
from pipeline.media.nvdec import CODECS, NvdecUse
from pipeline.media.sandbox.client import decode_in_child
from pipeline.media.window import Window
from pipeline.settings_embedding import DecodeSettings

# Grey levels, the mean over a frame: H.264 and its like are decoded to the bit, and what scales
# NV12 rounds otherwise than what scales planes.
MAX_MEAN_DIFFERENCE = 1.0
PROOF_VERSION = 1
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CodecProof:
    """`difference` is the largest mean difference of a frame; None where no frames or other times
    came, and `why` says so."""

    codec: str
    difference: float | None
    why: str = ""

    @property
    def holds(self) -> bool:
        return self.difference is not None and self.difference <= MAX_MEAN_DIFFERENCE


def nvdec_use(settings: DecodeSettings) -> NvdecUse | None:
    """What a decode stage may give to the device; the first call on a machine proves it.

    Who sets `nvdec` answers for it: all its codecs, and nothing to fall back on. None where the
    settings want another decoder, where there is no GPU, or where nothing was proved.
    """
    if settings.decoder not in ("auto", "nvdec") or not nvdec.is_there():
        return None
    if settings.decoder == "nvdec":
        return NvdecUse(tuple(CODECS), fall_back=False)
    proofs = [kept_proof(codec) or _prove(codec) for codec in CODECS]
    proved = tuple(proof.codec for proof in proofs if proof.holds)
    return NvdecUse(proved, fall_back=True) if proved else None


def kept_proof(codec: str) -> CodecProof | None:
    """The figure of an earlier proof; None where there is none, or none that can be read."""
    try:
        told = json.loads(read_cached(_path(codec)) or "")
        found = told["difference"]
        return CodecProof(codec, None if found is None else float(found), str(told["why"]))
    except (ValueError, KeyError, TypeError):
        return None


def _prove(codec: str) -> CodecProof:
    proof = prove(codec)
    facts = {**_facts(codec), "difference": proof.difference, "why": proof.why}
    write_cached(_path(codec), json.dumps(facts, indent=1))
    if not proof.holds:
        logger.warning("%s stays on the CPU: %s", codec, proof.why or _too_far(proof))
    return proof


def prove(codec: str) -> CodecProof:
    """Decode a clip by both, and compare. Nothing is kept."""
    settings = DecodeSettings(decoder="pyav")
    with tempfile.TemporaryDirectory(prefix="sensedex-") as folder:
        clip = Path(folder) / "clip.mkv"
        try:
            nvdec.make_clip(clip, codec)
            wanted = _windows(clip, settings, None)
            got = _windows(clip, settings, NvdecUse((codec,), fall_back=False))
        except (SensedexError, OSError, ValueError) as error:
            return CodecProof(codec, None, f"{type(error).__name__}: {error}")
    return compared(codec, wanted, got)


def compared(codec: str, wanted: Sequence[Window], got: Sequence[Window]) -> CodecProof:
    """Times equal, frames within a difference."""
    if not wanted or [w.segment for w in wanted] != [w.segment for w in got]:
        return CodecProof(codec, None, "the device gives windows of other times")
    worst = 0.0
    for one, other in zip(wanted, got, strict=True):
        if one.frames is None or other.frames is None or one.frames.shape != other.frames.shape:
            return CodecProof(codec, None, "the device gives windows with other frames")
        apart = np.abs(one.frames.astype(np.int16) - other.frames).mean(axis=(1, 2, 3))
        worst = max(worst, float(apart.max()))
    return CodecProof(codec, worst)


def _windows(clip: Path, settings: DecodeSettings, use: NvdecUse | None) -> list[Window]:
    return [w for w in decode_in_child(clip, settings, nvdec=use) if isinstance(w, Window)]


def _too_far(proof: CodecProof) -> str:
    return f"frames differ by {proof.difference:.2f} levels, {MAX_MEAN_DIFFERENCE} at most"


def _path(codec: str) -> Path:
    facts = json.dumps(_facts(codec), sort_keys=True)
    return cache_home() / "nvdec" / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.json"


def _facts(codec: str) -> dict[str, str | int]:
    return {
        "codec": codec,
        "driver": nvdec.driver(),
        "cards": len(nvdec.cards()),
        "av": importlib.metadata.version("av"),
        "proof": PROOF_VERSION,
    }
