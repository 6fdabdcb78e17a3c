"""Events beside a whole run, which may die or end at any step: what came last is what is shown.

A folder is an index that one process at a time has open; what goes on beside a whole run needs a
server.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.run import event_run
from pipeline.run.step_runner import LOAD, STATE
from pipeline.run.whole_run import run_index
from pipeline.state.objects import read_state
from pipeline.state.store import open_store
from tests.support import media_files
from tests.support.event_scene import EventScene, run_with
from tests.support.fixtures_qdrant import Served, one_stand_in
from tests.support.s3_server import S3Server
from tests.support.stopped_runs import StoppedError, stop_before


@pytest.fixture
def beside(s3_server: S3Server, tmp_path: Path, served: Served) -> EventScene:
    """A server as the index, and six objects in it."""
    fields = {f"index__{n}": v for n, v in served.settings.model_dump().items() if v is not None}
    scene = EventScene.at(s3_server, tmp_path, search__recall_queries=0, **fields)
    for number, name in enumerate("abcdef"):
        scene.put(f"{name}.jpg", media_files.jpeg(number), event=False)
    run_index(scene.settings)
    return scene


@one_stand_in
def test_events_beside_a_whole_run_win_object_by_object(beside: EventScene) -> None:
    scene, number = beside, iter(range(100, 200))

    def put(*names: str, event: bool = True) -> None:
        for name in names:
            scene.put(f"{name}.jpg", media_files.jpeg(next(number)), event=event)

    def remove(*names: str, event: bool = True) -> None:
        for name in names:
            scene.remove(f"{name}.jpg", event=event)

    def after_the_plan() -> None:  # their token is below the run's
        put("a", "g")
        remove("h")
        scene.batch()

    def before_the_loads() -> None:
        put("b", "d", "i")
        remove("j")
        scene.batch()

    def before_the_state() -> None:  # all that the run does is in the index
        put("c", "k")
        remove("l", "e")
        scene.batch()

    put("a", "b", "c", "h", "j", "l", "m", event=False)  # what the whole run finds to do
    remove("d", "f", event=False)
    run_with(
        scene.settings, plan=after_the_plan,
        **{LOAD.name: before_the_loads, STATE.name: before_the_state},
    )  # fmt: skip
    assert scene.live() == dict.fromkeys([f"{n}.jpg" for n in "abcdgikm"], 1)
    state = read_state(open_store(scene.settings.state.location, scene.settings.source))
    assert len(state.increments) == 2  # those that came after the run began
    scene.check_agrees()
    put("n", event=False)
    run_index(scene.settings)
    assert read_state(state.store).increments == ()
    scene.check_agrees()


@one_stand_in
@pytest.mark.parametrize("step", [LOAD, STATE], ids=lambda step: step.name)
def test_a_whole_run_that_dies_beside_increments(beside: EventScene, step: Any) -> None:
    scene = beside
    scene.put("a.jpg", media_files.jpeg(50), event=False)
    scene.put("new.jpg", media_files.jpeg(51), event=False)
    scene.remove("b.jpg", event=False)
    stop_before(step, scene.settings)
    scene.put("a.jpg", media_files.jpeg(52))
    scene.remove("new.jpg")
    scene.put("b.jpg", media_files.jpeg(53))
    scene.batch()
    run_index(scene.settings)
    scene.check_agrees()


@one_stand_in
def test_a_whole_run_that_ends_between_a_load_and_its_increment(
    beside: EventScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the event run took out, the whole run had brought in again: it goes once more."""
    scene = beside
    real: Callable[..., Any] = event_run.commit_increment
    begun: list[Any] = []

    def late(*args: Any, **more: Any) -> Any:
        begun.append((args, more))
        raise StoppedError("later")

    def removed_but_not_committed() -> None:
        scene.remove("new.jpg")
        with monkeypatch.context() as patch:
            patch.setattr(event_run, "commit_increment", late)
            patch.setattr(event_run, "writing", kept_open)
            with pytest.raises(StoppedError):
                scene.batch()

    with ExitStack() as stack:
        open_writing = event_run.writing

        @contextmanager
        def kept_open(*args: Any, **more: Any) -> Any:
            yield stack.enter_context(open_writing(*args, **more))

        scene.put("new.jpg", media_files.jpeg(60), event=False)
        run_with(scene.settings, **{LOAD.name: removed_but_not_committed})
        assert "new.jpg" in scene.live()  # for a moment
        (args, more) = begun[0]
        real(*args, **more)
    assert "new.jpg" not in scene.live()
    scene.check_agrees()
