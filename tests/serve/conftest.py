"""One small bucket, indexed once, and two servers of it: one for this machine, one with keys and
tight limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from flows.cli.demo_server import DemoServer

if TYPE_CHECKING:
    from tests.support.api_server import ApiServer, ServedCorpus


@pytest.fixture(scope="session")
def corpus(seaweed_server: DemoServer, tmp_path_factory: pytest.TempPathFactory) -> ServedCorpus:
    from tests.support.api_server import indexed_corpus

    return indexed_corpus(tmp_path_factory.mktemp("corpus"), seaweed_server.url)


@pytest.fixture(scope="session")
def api(corpus: ServedCorpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """As it is by default: on loopback, without keys, media through the server."""
    from tests.support.api_server import api_server

    with api_server(corpus, tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture(scope="session")
def strict(corpus: ServedCorpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """With keys, media by redirect, and limits that are soon reached."""
    from tests.support.api_server import KEY, OTHER_KEY, api_server

    with api_server(
        corpus,
        tmp_path_factory.mktemp("strict"),
        api_keys=(KEY, OTHER_KEY),
        media="redirect",
        cors_origins=("https://shelf.example",),
        upload_mb=1,
        upload_pixels=200_000,
        upload_within_s=1.5,
        uploads_at_once=1,
    ) as server:
        yield server
