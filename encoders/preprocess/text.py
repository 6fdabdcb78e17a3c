"""Words to CLIP's 77 token ids (Radford et al., 2021): cleaned, lower case, byte-pair encoded.

The literal `<|endoftext|>` in a user's text is text here; the reference obeys it.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cache
from typing import Any

import ftfy
import numpy as np
from instant_clip_tokenizer import Tokenizer
from numpy.typing import NDArray

from encoders.errors import InputError

CONTEXT = 77
START_ID = 49_406
END_ID = 49_407


def clean(text: str) -> str:
    """Mended Unicode, HTML entities resolved (twice, as data has them), single spaces."""
    mended = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return " ".join(mended.split())


def check_words(texts: Sequence[str] | NDArray[Any]) -> None:
    """Raises InputError for what is no string, and for a text in which there is nothing to read."""
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(
                f"Text {number} is a {type(text).__name__}.", remedy="Give a list of strings."
            )
        if not clean(text):
            raise InputError(
                f"Text {number}, {text!r}, has no words.", remedy="Leave empty texts out."
            )


def token_ids(texts: Sequence[str]) -> NDArray[np.int64]:
    """(N, 77): start, the text cut to 75 tokens, end, zeros."""
    ids = np.zeros((len(texts), CONTEXT), np.int64)
    for row, text in zip(ids, texts, strict=True):
        body = _tokenizer().encode(clean(text))[: CONTEXT - 2]
        row[0] = START_ID
        row[1 : 1 + len(body)] = body
        row[1 + len(body)] = END_ID
    return ids


@cache
def _tokenizer() -> Tokenizer:
    return Tokenizer()
