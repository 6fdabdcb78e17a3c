"""Bodies of the messages by which S3 tells of objects, as docs.aws.amazon.com shows them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus


def by_s3(
    name: str, key: str, bucket: str = "media", size: int = 7, when: str = ""
) -> dict[str, Any]:
    """As S3 sends it: keys encoded as in a form, slashes left as they are."""
    about = {
        "s3SchemaVersion": "1.0",
        "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
        "object": {"key": quote_plus(key, safe="/"), "size": size, "sequencer": "0055AED6DCD9028"},
    }
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name, "s3": about}
    if when:
        record["eventTime"] = when
    return {"Records": [record]}


def by_sns(body: dict[str, Any]) -> dict[str, Any]:
    """The same through a topic, without raw delivery."""
    return {"Type": "Notification", "MessageId": "1", "Message": json.dumps(body)}


def by_event_bridge(name: str, key: str, bucket: str = "media", size: int = 7) -> dict[str, Any]:
    """The same by EventBridge: the key as it is."""
    detail = {"bucket": {"name": bucket}, "object": {"key": key, "size": size, "etag": "e"}}
    return {"version": "0", "detail-type": name, "source": "aws.s3", "detail": detail}
