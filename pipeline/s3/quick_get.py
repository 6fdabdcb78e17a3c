"""GETs of objects without botocore's client, which takes more than half of the CPU
time of a small one (docs/performance.md).

botocore still finds the address, the credentials and the signature, and its own transport sends the
request. What it does beside that, to retry, to follow a bucket to its region, to say what an answer
means, is left to it: only a plain 200 is taken here, or the 206 of a range, and everything else is
asked of it anew.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from botocore import exceptions as aws
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from botocore.response import StreamingBody
from botocore.session import Session
from botocore.utils import get_environ_proxies, percent_encode

from pipeline.records import MediaObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client as S3Client
else:
    S3Client = Any

_PLAIN_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""No ARN of an access point, which is signed for another service."""

_SIGNED_FOR_S3 = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,]*/([^/,]+)/s3/aws4_request,")
_METADATA = "x-amz-meta-"
_REFUSES_NOT_THE_WAY = {200, 404, 412, 429}
"""The server knows no ranges, the object is gone or another, or the server is busy: the next one
may be asked for so again."""


class QuickGet:
    """May be shared by threads. It learns the address and the region of each bucket from the first
    object of it that `client` reads; where it is refused as a whole, it asks for nothing of that
    bucket any more."""

    def __init__(self, http: URLLib3Session, credentials: Any, user_agent: str) -> None:
        self._http = http
        self._credentials = credentials
        self._user_agent = user_agent
        self._asked = threading.local()
        self._homes: dict[str, tuple[str, str]] = {}
        self._refused: set[str] = set()

    def url_of(self, obj: MediaObject) -> str:
        """Where it lies, without any signature; "" while nothing is known."""
        home = self._homes.get(obj.bucket)
        if home is None:
            return ""
        url = home[0] + _path_of(obj)
        if obj.version_id is not None:
            url += f"?versionId={percent_encode(obj.version_id, safe='-._~')}"
        return url

    def get(self, obj: MediaObject, byte_range: str = "") -> dict[str, Any] | None:
        """What botocore's `get_object` answers, as far as it is looked at: Body, ContentType,
        Metadata. None where it is to be asked instead. `byte_range` is as in `bytes=0-99`."""
        home = self._homes.get(obj.bucket)
        if home is None or obj.bucket in self._refused:
            return None
        headers = {"If-Match": f'"{obj.etag}"', "User-Agent": self._user_agent}
        if byte_range:
            headers["Range"] = byte_range
        request = AWSRequest("GET", self.url_of(obj), headers)
        try:
            frozen = self._credentials.get_frozen_credentials()
            S3SigV4Auth(frozen, "s3", home[1]).add_auth(request)
            prepared = request.prepare()
            prepared.stream_output = True
            answer = self._http.send(prepared)
        except aws.BotoCoreError:
            return None
        if answer.status_code != (206 if byte_range else 200):
            # 403 may be of one object; then what is lost is the time that is saved here.
            if answer.status_code not in _REFUSES_NOT_THE_WAY and answer.status_code < 500:
                self._refused.add(obj.bucket)
            answer.raw.close()
            return None
        named = answer.headers
        return {
            "Body": StreamingBody(answer.raw, int(named.get("content-length", obj.size_bytes))),
            "ContentType": named.get("content-type", ""),
            "Metadata": {
                name[len(_METADATA) :]: value
                for name, value in named.items()
                if name.lower().startswith(_METADATA)
            },
            "ResponseMetadata": {"HTTPStatusCode": answer.status_code},
        }

    def note_request(self, request: Any, **_: Any) -> None:
        """A handler of botocore's `before-send`: what it asks for, and for whom it has signed."""
        signed = request.headers.get("Authorization", "")
        self._asked.last = request.url, signed.decode() if isinstance(signed, bytes) else signed

    def learn(self, obj: MediaObject) -> None:
        """From the request with which this thread has just read `obj` by botocore."""
        url, signed = getattr(self._asked, "last", ("", ""))
        address, path = url.partition("?")[0], _path_of(obj)
        found = _SIGNED_FOR_S3.match(signed)
        known = obj.bucket in self._homes or not _is_plain(obj.bucket)
        if not known and found is not None and address.endswith(path):
            self._homes[obj.bucket] = address.removesuffix(path), found[1]


def quick_get_of(session: Session, client: S3Client, buckets: Collection[str]) -> QuickGet | None:
    """For the buckets as `client` reaches them; None for what is not plain: no credentials, a
    bucket that is named by an ARN or wants a session (S3 Express), a proxy, a certificate of ours.

    Raises BotoCoreError where credentials cannot be had.
    """
    config: Any = client.meta.config
    credentials = session.get_credentials()
    if (
        credentials is None
        or not all(map(_is_plain, buckets))
        or config.client_cert is not None
        or config.proxies is not None
        or get_environ_proxies(client.meta.endpoint_url)
    ):
        return None
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or session.get_config_variable("ca_bundle")
    transport: Any = URLLib3Session  # its stubs know fewer types than it takes
    http = transport(
        verify=bundle or True,
        timeout=(config.connect_timeout, config.read_timeout),
        max_pool_connections=config.max_pool_connections,
    )
    quick = QuickGet(http, credentials, config.user_agent)
    client.meta.events.register("before-send.s3", quick.note_request)
    return quick


def _is_plain(bucket: str) -> bool:
    return _PLAIN_BUCKET.fullmatch(bucket) is not None and not bucket.endswith("--x-s3")


def _path_of(obj: MediaObject) -> str:
    return f"/{percent_encode(obj.key, safe='/~')}"
