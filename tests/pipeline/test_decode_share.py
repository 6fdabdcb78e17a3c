"""What the last run says of how its work was divided, for the pools of the next one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.report.build import keep_report
from pipeline.report.read import last_decode_share
from pipeline.report.record import StageTime
from pipeline.state.objects import CurrentState
from pipeline.state.receipts import RunFolder
from pipeline.state.store import FolderStore
from tests.stored_records import REPORT
from tests.support.run_settings import small_run_settings

STAGES = (StageTime("decode", 90.0, 400, "windows"), StageTime("encode", 30.0, 400, "windows"))
LONG = {"embed and load": 100.0}


def test_a_first_run_has_none_before_it(tmp_path: Path) -> None:
    settings = small_run_settings(tmp_path)
    assert last_decode_share(CurrentState(store=FolderStore(tmp_path)), settings) is None


def test_the_last_run_says_it_of_its_encoder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    settings = small_run_settings(tmp_path, encode__encoder="imagebind-demo")
    state = CurrentState(7, "r", store=store)
    assert last_decode_share(state, settings) is None, "its report is gone"
    report = replace(
        REPORT, encoder="imagebind-demo", stages=STAGES, seconds_by_phase=LONG,
        workers_by_stage={"decode": 2, "encode": 1},
    )  # fmt: skip
    keep_report(store, RunFolder(7, "r"), report)
    assert last_decode_share(state, settings) == pytest.approx(0.75)
    another = small_run_settings(tmp_path, encode__encoder="sensedex-mini")
    assert last_decode_share(state, another) is None
