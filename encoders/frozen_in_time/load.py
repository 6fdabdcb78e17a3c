"""Frozen in Time from its card: a published checkpoint, and the vocabulary beside it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer

from encoders.card import EncoderCard
from encoders.errors import WeightsError
from encoders.frozen_in_time.config import BASE
from encoders.frozen_in_time.encode import FrozenInTimeEncoder
from encoders.frozen_in_time.model import FrozenInTime, fit_frames, is_beside
from encoders.modality import Modality
from encoders.weights import check_fit, load_into, read_state_dict

VOCABULARY = "vocab.txt"
SPECIAL = {"[PAD]", "[UNK]", "[CLS]", "[SEP]"}


def build_frozen_in_time(
    card: EncoderCard,
    weights: Path,
    device: torch.device,
    dtype: torch.dtype,
    exact: Collection[Modality] = (),
) -> FrozenInTimeEncoder:
    """`exact` towers stay in float32. Raises WeightsError that names the file and the tensor."""
    tokenizer = read_vocabulary(weights.parent / VOCABULARY, BASE.text.vocabulary)
    state = fit_frames(read_state_dict(weights), BASE.frames)
    model = FrozenInTime(BASE)  # not on `meta`: the library fills buffers while it builds
    load_into(model, state, str(weights), is_beside)
    return FrozenInTimeEncoder(model, tokenizer, card, device, dtype, exact=exact)


def check_frozen_in_time(weights: Path) -> None:
    """Names and shapes, and the vocabulary; no tensor is loaded. Raises WeightsError."""
    read_vocabulary(weights.parent / VOCABULARY, BASE.text.vocabulary)
    with torch.device("meta"):
        model = FrozenInTime(BASE)
    state = fit_frames(read_state_dict(weights), BASE.frames)
    check_fit(model, state, str(weights), is_beside)


def read_vocabulary(path: Path, size: int) -> BertWordPieceTokenizer:
    """The WordPiece tokenizer of `bert-base-uncased`. Raises WeightsError that names the file."""
    if not path.is_file():
        raise WeightsError(
            f"There is no vocabulary {path}.",
            remedy="Put vocab.txt of bert-base-uncased beside the checkpoint.",
        )
    words = path.read_bytes().decode(errors="replace").splitlines()
    if len(words) != size or not set(words) >= SPECIAL:
        raise WeightsError(
            f"{path} has {len(words)} words, not {size} with {', '.join(sorted(SPECIAL))}.",
            remedy="The one that fits is that of bert-base-uncased.",
        )
    return BertWordPieceTokenizer(str(path), lowercase=True)
