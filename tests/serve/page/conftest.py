"""A bucket that a real run has indexed, served, and a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.serve.page.hands import Opened
from tests.support.api_server import ApiServer, api_server
from tests.support.browser import running_browser, watched_context
from tests.support.page_corpus import page_corpus
from tests.support.s3_server import S3Server, reset_moto


@pytest.fixture(scope="package")
def served(
    root_dir: Path, tmp_path_factory: pytest.TempPathFactory, _environment: None
) -> Iterator[ApiServer]:
    bucket = S3Server()
    try:
        reset_moto(bucket.url)
        corpus = page_corpus(bucket, tmp_path_factory.mktemp("page"), root_dir / "infra/demo/media")
        with api_server(corpus, tmp_path_factory.mktemp("served"), look_for_s=0) as server:
            yield server
    finally:
        bucket.stop()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def opened(browser: Browser, served: ApiServer) -> Iterator[Opened]:
    """`opened("/#/?q=a+dog")` is a page in a profile of its own; one of `beside` in that page's."""
    with ExitStack() as stack:

        def open_page(
            place: str = "/",
            *,
            beside: Page | None = None,
            expected: tuple[str, ...] = (),
            **options: Any,
        ) -> Page:
            if beside is not None:
                page = beside.context.new_page()
            else:
                context, watched = stack.enter_context(
                    watched_context(browser, served.url, **options)
                )
                watched.expected = expected
                page = context.new_page()
            page.goto(served.url + place)
            return page

        yield open_page
