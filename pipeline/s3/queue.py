"""An SQS queue: messages received, hidden for longer, and deleted.

It lies beside S3 because boto3 is at home here, and its errors are mapped in the same way.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore import exceptions as aws
from botocore.config import Config

from pipeline.errors import CredentialsMissing, Permanent, SensedexError, SettingsError, Transient
from pipeline.first_contact import why_silent
from pipeline.s3.client import session_for
from pipeline.s3.errors import NO_CREDENTIALS, answer_of, host_of
from pipeline.settings import SourceSettings

PER_REQUEST = 10  # SQS gives, hides and deletes no more at once
MAX_WAIT_S = 20
_REGION = re.compile(r"^(?:sqs\.|queue\.)?([a-z]{2}(?:-[a-z]+)+-\d)\.")
_MISSING = ("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")


class QueueUnavailable(Transient):
    """The queue does not answer, or is throttled."""

    default_code = "queue_unavailable"


class QueueRefused(Permanent):
    """There is no such queue, or these credentials may not use it."""

    default_code = "queue_refused"


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """`receipt` is what it is hidden and deleted by, until it is received again."""

    message_id: str
    receipt: str
    body: str


class Queue:
    """The queue of a URL, by the credentials that the bucket is read with."""

    def __init__(self, url: str, source: SourceSettings) -> None:
        self.url = url
        parts = urlsplit(url)
        if not parts.scheme.startswith("http") or not parts.netloc or not parts.path.strip("/"):
            raise SettingsError(
                f"Setting events.queue_url: {host_of(url)!r} is no address of a queue.",
                remedy="Write it as https://sqs.REGION.amazonaws.com/ACCOUNT/NAME.",
            )
        self._endpoint = f"{parts.scheme}://{parts.netloc}"
        named = _REGION.match(parts.netloc)
        region = named[1] if named else source.region or "us-east-1"
        with self._errors():
            session = session_for(source)[1]
            self._client: Any = session.client(
                "sqs",
                endpoint_url=self._endpoint,
                region_name=region,
                config=Config(
                    retries={"mode": "standard", "total_max_attempts": 4},
                    connect_timeout=5,
                    read_timeout=MAX_WAIT_S + 10,
                ),
            )

    def check(self) -> None:
        """Say within seconds that the queue is not there. Raises QueueUnavailable, QueueRefused."""
        if why := why_silent(self._endpoint):
            raise self._silent(why)
        self.waiting()

    def waiting(self) -> int:
        """About how many messages are neither received nor delayed."""
        asked = "ApproximateNumberOfMessages"
        with self._errors():
            found = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=[asked])
        return int(found["Attributes"][asked])

    def receive(self, wait_s: int, visibility_s: int) -> list[QueueMessage]:
        """Up to ten, which are hidden from others for `visibility_s`; none when none came within
        `wait_s`."""
        with self._errors():
            answer = self._client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=PER_REQUEST,
                WaitTimeSeconds=min(wait_s, MAX_WAIT_S),
                VisibilityTimeout=visibility_s,
            )
        return [
            QueueMessage(one["MessageId"], one["ReceiptHandle"], one["Body"])
            for one in answer.get("Messages", ())
        ]

    def hide(self, messages: Iterable[QueueMessage], visibility_s: int) -> None:
        """From now on for so long; 0 gives them back. One that is gone meanwhile is no error."""
        timeout = {"VisibilityTimeout": visibility_s}
        self._for_each(messages, lambda entries: self._client.change_message_visibility_batch(
            QueueUrl=self.url, Entries=[entry | timeout for entry in entries]
        ))  # fmt: skip

    def delete(self, messages: Iterable[QueueMessage]) -> None:
        """One that could not be deleted comes again, which is no error."""
        self._for_each(messages, lambda entries: self._client.delete_message_batch(
            QueueUrl=self.url, Entries=entries
        ))  # fmt: skip

    def _for_each(
        self, messages: Iterable[QueueMessage], send: Callable[[list[Any]], object]
    ) -> None:
        iterator = iter(messages)
        while some := list(itertools.islice(iterator, PER_REQUEST)):
            with self._errors():
                send([{"Id": str(n), "ReceiptHandle": m.receipt} for n, m in enumerate(some)])

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (aws.BotoCoreError, aws.ClientError) as error:
            raise self._mapped(error) from error

    def _mapped(self, error: BaseException) -> SensedexError:
        host = host_of(self.url)
        code, status = answer_of(error)
        said = f"(SQS says {code or status})"
        if isinstance(error, NO_CREDENTIALS):
            return CredentialsMissing(
                f"There are no usable AWS credentials for the queue at {host}.",
                remedy="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or source.profile.",
            )
        if code in _MISSING or status == 404:
            return QueueRefused(
                f"There is no queue {urlsplit(self.url).path!r} at {host} {said}.",
                remedy="Check events.queue_url.",
            )
        if status in (400, 401, 403):
            return QueueRefused(
                f"The queue at {host} may not be used {said}.",
                remedy="Allow sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility "
                "and sqs:GetQueueAttributes to these credentials (infra/iam/events.json).",
            )
        return self._silent(code or type(error).__name__)

    def _silent(self, why: str) -> QueueUnavailable:
        return QueueUnavailable(
            f"No answer from the queue at {host_of(self.url)} ({why}).",
            remedy="Check events.queue_url and the network, then run again.",
        )
