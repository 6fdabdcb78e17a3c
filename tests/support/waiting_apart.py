"""Pytest plugin: where tests run side by side, it says which files keep to one worker, and which
come first.

A run that comes by its schedule, or a worker that is missed by its heartbeats, takes minutes in
which little is computed. Spread over all the workers such tests would leave the cores idle; one
after the other beside the rest they cost next to nothing. Two workers have them, so that neither
is busy for longer than the rest is, and `make test` has one more for each of two cores.

A Ray session and a Prefect server are of one worker's process, and each takes half a minute of a
core to start: the files that use them follow one another, so that one of each is started. What
imports transformers keeps together for the same reason: that is four seconds of a core; and so does
what looks at one server in one browser, or at copies of one index.

After them come the files that compute for the longest, so that none of them is begun last.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

WAITING_FOR_PREFECT = (
    "tests/integration/test_cancelled_and_killed.py",
    "tests/integration/test_schedule.py",
)
WAITING_FOR_PROCESSES = (
    "tests/integration/test_demo.py",
    "tests/integration/test_server_restart.py",
    "tests/integration/test_cluster.py",
)

SHARING = (
    *(
        f"tests/flows/test_{name}.py"
        for name in (
            "error_logging",
            "hostile_bucket",
            "index",
            "index_events",
            "listeners",
            "lost_index",
            "prefect_away",
            "reconcile",
            "slots",
            "tasks",
        )
    ),
    "tests/integration/test_guarded_servers.py",
    "tests/pipeline/test_cluster_calls.py",
    "tests/pipeline/test_folder_source.py",
    "tests/pipeline/test_graph.py",
)
"""Those that ask for `ray_running` or `prefect_running`; tests/test_suite_rules.py knows them."""

WITH_TRANSFORMERS = tuple(
    f"tests/encoders/test_{name}.py"
    for name in ("precision", "pretrained", "frozen_encoder", "frozen_in_time")
)
IN_A_BROWSER = tuple(
    f"tests/serve/page/test_{name}.py"
    for name in (
        "playing_moments",
        "given_media",
        "refining",
        "moving_about",
        "harmless",
        "for_everyone",
    )
)
VERIFYING = tuple(
    f"tests/pipeline/verify/test_{name}.py" for name in ("damage", "lost_embeddings", "runs_beside")
)
TOGETHER = (
    WAITING_FOR_PREFECT,
    WAITING_FOR_PROCESSES,
    SHARING,
    IN_A_BROWSER,
    VERIFYING,
    WITH_TRANSFORMERS,
)
LONGEST = (
    "tests/flows/test_error_messages.py",
    "tests/encoders/test_imagebind.py",
    "tests/pipeline/media/test_odd_media.py",
    "tests/pipeline/media/test_bombs.py",
    "tests/test_chaos.py",
    "tests/pipeline/rebuild/test_meanwhile.py",
    "tests/pipeline/test_late_requests.py",
    "tests/flows/test_cli.py",
    "tests/pipeline/test_flip_readers.py",
    "tests/test_disasters.py",
    "tests/flows/test_demo_server.py",
    "tests/pipeline/test_events.py",
    "tests/pipeline/test_ray_session.py",
    "tests/pipeline/test_search_steps.py",
    "tests/pipeline/media/test_needed_bytes.py",
    "tests/pipeline/test_index_recall.py",
)

_ORDER = [file for files in TOGETHER[:4] for file in files]
_ORDER += [*LONGEST, *VERIFYING, *WITH_TRANSFORMERS]
_PLACES = {file: place for place, file in enumerate(_ORDER)}


def file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


class WaitingApart(LoadFileScheduling):
    """A worker takes a whole file at a time, or all the files that keep together."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((" ".join(files) for files in TOGETHER if file in files), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits, what shares, what takes long, and then the rest as it came."""
    items.sort(key=lambda item: _PLACES.get(file_of(item.nodeid), len(_PLACES)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return WaitingApart(config, log) if config.getoption("dist") == "loadfile" else None
