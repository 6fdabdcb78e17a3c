"""Settings of events: the queue that tells of objects, and how many of them make a batch."""

from __future__ import annotations

from pydantic import Field

from pipeline.settings_fields import PlainUrl, SettingsPart


class EventSettings(SettingsPart):
    """S3 event notifications from an SQS queue, for `sensedex events` (docs/events.md)."""

    queue_url: PlainUrl = Field(
        None,
        description="Address of the queue, as in https://sqs.eu-central-1.amazonaws.com/1/media; "
        "empty for none.",
    )
    batch_seconds: float = Field(
        5.0,
        ge=0,
        le=300,
        description="Seconds for which events are gathered after the first one. An object is "
        "searchable no sooner.",
    )
    batch_objects: int = Field(
        256,
        ge=1,
        le=10_000,
        description="Events of a batch, at most; more make another one, which has to wait.",
    )
    batch_mb: int = Field(
        2048,
        ge=1,
        description="Megabytes that the events of a batch tell of; the one with which it is "
        "reached is the last.",
    )
    visibility_s: int = Field(
        120,
        ge=1,
        le=43_200,
        description="Seconds for which a message that was read is hidden from other readers; put "
        "off while its batch is at work. After as long a killed reader's messages come again.",
    )
