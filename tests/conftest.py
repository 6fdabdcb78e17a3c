"""Fixtures that every test may use: the checkout, shared golden data, one Ray, one Prefect, and of
tests/support/ what `pytest_plugins` names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from flows.cli.demo_server import DemoServer, demo_server
from pipeline.embed.ray_start import prepare_environment
from tests.support.marked_processes import EQUAL_WORKERS
from tests.support.python_path import python_path

pytest_plugins = (
    "tests.support.fixtures_qdrant",
    "tests.support.fixtures_s3",
    "tests.support.garbage",
    "tests.support.needs",
    "tests.support.patience",
    "tests.support.waiting_apart",
    "tests.support.started_once",
    "tests.support.permitted_skips",
)

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    **EQUAL_WORKERS,
}
# The suite must pass in every precision: `SENSEDEX_ENCODE__PRECISION=bf16 make test` reaches every
# encoder that settings choose. Tests that load one themselves name its precision.
LET_THROUGH = (
    "SENSEDEX_SHARED",
    "SENSEDEX_ENCODE__PRECISION",
    "SENSEDEX_TEST_QDRANT_URL",
    "SENSEDEX_TEST_QDRANT_GRPC_PORT",
    "SENSEDEX_TEST_QDRANT_BIN",
)


def pytest_configure() -> None:
    """Ray reads how it authenticates when it is imported, and collecting tests imports it.

    Hypothesis fails what takes it longer than 0.2 s; on a busy machine anything may.
    """
    prepare_environment()
    hypothesis.settings.register_profile("suite", hypothesis.settings(), deadline=None)
    hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def root_dir() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Answers of the reference encoders; its README.md says what each is."""
    return ROOT / "tests/golden"


@pytest.fixture(scope="session")
def shared_dir() -> Path | None:
    """Media that are not ours to give away, and their answers, where they lie beside the checkout.

    A test that skips without them is listed in `tests/support/permitted_skips.py`.
    """
    named = os.environ.get("SENSEDEX_SHARED")
    folder = Path(named) if named else ROOT.parent / "shared"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Credentials of no account, set before Ray and Prefect start: their workers inherit them."""
    patch = pytest.MonkeyPatch()
    for name, value in ENVIRONMENT.items():
        patch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "PREFECT_API_URL"):
        patch.delenv(name, raising=False)
    for name in [n for n in os.environ if n.startswith("SENSEDEX_") and n not in LET_THROUGH]:
        patch.delenv(name)
    patch.setenv("PYTHONPATH", python_path(os.environ.get("PYTHONPATH", "")))
    patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def seaweed_server(
    _environment: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DemoServer]:
    """One real S3 server for all tests, empty at first; each takes a bucket of its own name."""
    with demo_server(tmp_path_factory.mktemp("seaweed")) as server:
        yield server
