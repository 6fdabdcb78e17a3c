"""The pages of a listing: each whole, the next one on its way, its times read without a search.

A listing is a request for every 1,000 objects. Waiting for the answers and reading them take about
as long, so that one is done beside the other (docs/performance.md).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, TypeVar

from botocore.utils import parse_timestamp

from pipeline.errors import ListingEndedEarly

Page = TypeVar("Page")


def ahead(pages: Iterable[Page]) -> Iterator[Page]:
    """The same pages; while one is worked on, the next is asked for. Who stops early, or is
    interrupted, does not wait for it."""
    coming = iter(pages)
    following = _begun(coming)
    while (page := following.result()) is not None:
        following = _begun(coming)
        yield page


def _begun(coming: Iterator[Page]) -> Future[Page | None]:
    """The next one, or None, in a thread that dies with the process: a pool's would be waited for,
    up to all the timeouts of a server that has stopped to answer."""
    future: Future[Page | None] = Future()

    def work() -> None:
        try:
            future.set_result(next(coming, None))
        except BaseException as error:  # noqa: BLE001  handed to who waits for the page
            future.set_exception(error)

    threading.Thread(target=work, daemon=True, name="listing").start()
    return future


def check_page(page: Mapping[str, Any], bucket: str) -> None:
    """One page of a listing: it must hold what it counts, and say where the next one begins.

    Raises ListingEndedEarly. A listing that is taken to be whole, and is not, removes objects.
    """
    listed = len(page.get("Contents", ())) + len(page.get("CommonPrefixes", ()))
    if page.get("IsTruncated") and not page.get("NextContinuationToken"):
        why = "the server says that there is more, and not where"
    elif page.get("KeyCount", listed) != listed:
        why = f"{page['KeyCount']} keys counted, {listed} listed"
    else:
        return
    raise ListingEndedEarly(
        f"The listing of {bucket!r} ended early: {why}.",
        remedy="Run again; with --allow-short-listing what is listed is taken in, and nothing "
        "behind it is removed.",
    )


def timestamp(value: Any) -> datetime:
    """As botocore reads one; but a listing's ("2026-01-02T03:04:05.000Z") is ISO 8601 in full, and
    guessing its form took half of the time that a listing takes to read."""
    try:
        read = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return parse_timestamp(value)
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)
