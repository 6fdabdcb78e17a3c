"""Every error that an encoder raises on purpose.

    EncoderError
    ├── UnknownEncoder   no card of that name
    ├── WeightsError     a checkpoint that is missing, unreadable, or of another network
    │   └── BrokenWeights   a network whose answer is not finite
    ├── BrokenInstall    a library that is installed and cannot be loaded
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
    """There is no encoder of that name."""

    code = "unknown_encoder"


class WeightsError(EncoderError):
    """The weights are missing, of another model, or not of the digest that was given."""

    code = "weights"


class BrokenWeights(WeightsError):
    """The file of weights cannot be read."""

    code = "broken_weights"


class BrokenInstall(EncoderError):
    """A library is installed and cannot be loaded: most often it was built for another torch."""

    code = "broken_install"


class InputError(EncoderError, ValueError):
    """A batch is not of the shape, type or range that the encoder takes."""

    code = "encoder_input"
