"""The flow `index-events` in a real Prefect: a batch is done, and a held lease is no error."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.index_events import events_flow
from pipeline.state.run_leases import hold_events_lease
from pipeline.state.store import open_store
from tests.support import media_files
from tests.support.event_scene import EventScene
from tests.support.s3_server import S3Server


@pytest.mark.usefixtures("prefect_running")
def test_the_flow_drains_the_queue(s3_server: S3Server, tmp_path: Path) -> None:
    scene = EventScene.at(s3_server, tmp_path)
    parts = {
        name: getattr(scene.settings, name)
        for name in ("source", "encode", "index", "state", "events")
    }
    scene.put("a.jpg", media_files.jpeg(1))
    store = open_store(scene.settings.state.location, scene.settings.source)
    with hold_events_lease(store, scene.settings.state, "another"):
        assert events_flow(**parts)["messages"] == 0
    assert scene.left() == 1
    done = events_flow(**parts)
    assert (done["messages"], done["objects_by_status"]) == (1, {"indexed": 1})
    assert (scene.left(), scene.live()) == (0, {"a.jpg": 1})
