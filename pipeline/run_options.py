"""The options of one run: the flow's form and the command line are made from this one model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RunOptions(BaseModel):
    """What a person may ask of one run, beside the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    retry_failed: bool = Field(
        False, description="Try again all that was rejected or failed before."
    )
    retry_keys: tuple[str, ...] = Field(
        (), description="Keys to try again, whatever became of them."
    )
    allow_removals: bool = Field(
        False, description="Remove more than state.max_removed_share allows."
    )
    allow_denied: bool = Field(False, description="Go on past state.max_denied_share.")
    allow_short_listing: bool = Field(
        False, description="Go on with a listing that ended early; nothing behind it is removed."
    )
