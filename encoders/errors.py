"""Every error that an encoder raises on purpose.

    EncoderError
    ├── UnknownEncoder   no card of that name
    ├── WeightsError     a checkpoint that is missing, unreadable, or of another network
    │   └── BrokenWeights   a network whose answer is not finite
    └── InputError       a batch of the wrong shape or type, or with NaN in it

A retry helps with none of them. Each has a `remedy`, one sentence for a person.
"""

from __future__ import annotations


class EncoderError(Exception):
    """What is wrong, the thing it is wrong with, and what to do."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UnknownEncoder(EncoderError):
    pass


class WeightsError(EncoderError):
    pass


class BrokenWeights(WeightsError):
    pass


class InputError(EncoderError, ValueError):
    pass
