"""Which stage sets a run's pace: by how busy its workers were, not by how many there were."""

from __future__ import annotations

import html
from dataclasses import replace

import pytest

from pipeline.progress import Stage
from pipeline.report.html import report_html
from pipeline.report.pace import pace_of
from pipeline.report.record import RunReport, StageTime

REPORT = RunReport(
    run_id="r", sequence=1, bucket="films", prefix="", collection="media", encoder="e",
    meaningful=True, started_at="", wall_seconds=60.0, objects_by_status={}, objects_by_action={},
    segments_by_modality={}, segments=0, media_seconds=0.0, bytes_fetched=0, points_in_index=0,
    seconds_by_phase={"embed and load": 50.0},
)  # fmt: skip


def with_stages(workers: dict[Stage, int], **busy_s: float) -> RunReport:
    return replace(
        REPORT,
        stages=tuple(StageTime(name, seconds, 9, "windows") for name, seconds in busy_s.items()),
        workers_by_stage={str(stage): many for stage, many in workers.items()},
    )


@pytest.mark.parametrize(
    ("busy_s", "stage", "said"),
    [
        ({"decode": 150.0, "encode": 45.0}, Stage.ENCODE, "one worker was busy 90 %"),
        ({"decode": 190.0, "encode": 45.0}, Stage.DECODE, "4 workers were busy 95 %"),
        ({"fetch": 780.0, "decode": 100.0}, Stage.FETCH, "16 workers were busy 98 %"),
        ({"decode": 20.0, "load": 49.0}, Stage.LOAD, "Qdrant server"),
        ({"write": 60.0, "load": 1.0}, Stage.WRITE, "busy 100 %"),
        ({"decode": 100.0, "encode": 20.0}, None, "No stage was busy for more than 50 %"),
    ],
)
def test_the_busiest_workers_set_the_pace(
    busy_s: dict[str, float], stage: Stage | None, said: str
) -> None:
    workers = {Stage.FETCH: 16, Stage.DECODE: 4, Stage.ENCODE: 1}
    report = with_stages(workers, **busy_s)
    pace = pace_of(report)
    assert pace is not None
    assert pace.stage == stage
    assert said in pace.sentence.replace("%", " %")
    assert pace.sentence in html.unescape(report_html(report))


def test_little_work_and_older_reports_say_nothing_of_it() -> None:
    assert pace_of(REPORT) is None
    assert pace_of(with_stages({}, decode=40.0)) is None
    short = with_stages({Stage.DECODE: 1}, decode=9.0)
    assert pace_of(replace(short, seconds_by_phase={"embed and load": 10.0})) is None
    assert pace_of(replace(short, seconds_by_phase={})) is None
