"""Every error that an encoder raises on purpose.

    EncoderError
    ├── UnknownEncoder   no card of that name
    ├── WeightsError     a checkpoint that is missing, unreadable, or of another network
    │   └── BrokenWeights   a network whose answer is not finite
    └── InputError       a batch of the wrong shape or type, or with NaN in it

A retry helps with none of them. Each has a `remedy`, one sentence for a person, and a `code`
that is short, stable and machine readable.
"""

from __future__ import annotations

from typing import ClassVar


class EncoderError(Exception):
    """What is wrong, the thing it is wrong with, and what to do."""

    code: ClassVar[str] = "encoder"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UnknownEncoder(EncoderError):
    code = "unknown_encoder"


class WeightsError(EncoderError):
    code = "weights"


class BrokenWeights(WeightsError):
    code = "broken_weights"


class InputError(EncoderError, ValueError):
    code = "encoder_input"
