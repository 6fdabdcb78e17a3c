"""Text as it may be shown: without passwords in URLs, signatures of presigned ones, and the keys
that this process was given.

Settings take no URL with a secret in it, but variables of other makers do (AWS_ENDPOINT_URL, a
proxy's), and libraries repeat in their messages what they could not reach.
"""

from __future__ import annotations

import os
import re

HIDDEN = "***"
# What a secret is given by; shorter values are words that may stand anywhere.
VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SENSEDEX_INDEX__API_KEY")
SHORTEST = 8
_USER_IN_URL = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
_SIGNATURE = re.compile(
    r"((?:X-Amz-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|Signature|api[-_]?key|"
    r"(?:access_)?token|sig)=)[^&\s'\"]+",
    flags=re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """The same text; what is secret in it is three stars. Anything else is left as it is."""
    if "://" in text:
        text = _USER_IN_URL.sub(HIDDEN, text)
    if "=" in text:
        text = _SIGNATURE.sub(rf"\g<1>{HIDDEN}", text)
    for name in VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= SHORTEST and value in text:
            text = text.replace(value, HIDDEN)
    return text
