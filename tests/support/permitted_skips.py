"""Pytest plugin: a run in which a test is skipped for a reason that is not listed here fails.

A test that skips wherever it matters proves nothing, and nobody sees it.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import NamedTuple

import pytest

from tests.support.waiting_apart import IN_A_BROWSER


class Skip(NamedTuple):
    """The tests of one file may be skipped with these words."""

    file: str
    reason: str


MEDIA = "no media of the reference beside the checkout"
PERMITTED = frozenset(
    {
        # Media under licences that keep them out of the repository.
        Skip("tests/encoders/test_preprocess.py", MEDIA),
        Skip("tests/encoders/test_sampling.py", MEDIA),
        Skip("tests/pipeline/media/test_image.py", MEDIA),
        Skip("tests/pipeline/media/test_verdicts.py", "no corpus beside the checkout"),
        # Checkers that Go builds in minutes; what they are asked is checked without them, too.
        Skip("tests/infra/test_tools.py", "not built yet: make infra-check"),
        Skip("tests/infra/test_image_steps.py", "no ffmpeg of the system's, which the image has"),
        # A browser, where there is none and none may be installed.
        *(
            Skip(file, "no Chromium here, and none can be had: infra/setup/browser.sh")
            for file in IN_A_BROWSER
        ),
        # Of a client that is no part of this.
        Skip("tests/serve/test_query_snippets.py", "no curl here"),
        # What only root may do.
        Skip("tests/flows/test_error_messages.py", "mounting a disk is root's alone"),
        Skip(
            "tests/pipeline/media/test_sandbox_kernel.py",
            "these tests do not run as root: the others show it",
        ),
    }
)
_unlisted: dict[str, str] = {}


def pytest_sessionstart() -> None:
    _unlisted.clear()


def _look(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    words = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = words.removeprefix("Skipped: ")
    file = PurePosixPath(report.nodeid.partition("::")[0])
    if Skip(str(file), reason) not in PERMITTED:
        _unlisted[report.nodeid] = reason


# With xdist the process that was called sees the reports of all; a worker's own verdict is unheard.
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _look(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _look(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _unlisted and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _unlisted:
        terminalreporter.section("skipped, and not in tests/support/permitted_skips.py", red=True)
        for test, reason in _unlisted.items():
            terminalreporter.line(f"{test}: {reason}")
