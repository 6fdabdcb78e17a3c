"""The report's plots: what a person reads off them is what the run did."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import Status
from pipeline.report.history import history_plots
from pipeline.report.html import report_html
from pipeline.report.plots import STATUS_TONES, axis_to, phase_plot, plots_of, seconds_text
from pipeline.report.record import RunReport, StageTime
from pipeline.search.recall import SearchRecall
from pipeline.served_recall import ServedRecall, VectorRecall

REPORT = RunReport(
    run_id="r", sequence=1, bucket="films", prefix="", collection="media", encoder="e",
    meaningful=True, started_at="", wall_seconds=40.0,
    objects_by_status={"rejected": 3, "indexed": 1200, "unchanged": 300, "moved": 0},
    objects_by_action={}, segments_by_modality={"vision": 1, "audio": 2_000_000},
    segments=1000, media_seconds=2000.0, bytes_fetched=0, points_in_index=1000,
    stages=(StageTime("decode", 12.0, 1000, "windows"), StageTime("encode", 24.0, 1000, "windows")),
    seconds_by_phase={"list and plan": 10.0, "embed and load": 30.0, "sweep": 0.0},
    workers_by_stage={"decode": 2, "encode": 1},
)  # fmt: skip


def drawn(report: RunReport, *earlier: RunReport) -> dict[str, ElementTree.Element]:
    """Every plot of the page by its key, each read as XML, which HTML need not be."""
    plots = {}
    for text in re.findall(r"<svg.*?</svg>", report_html(report, earlier), flags=re.S):
        svg = ElementTree.fromstring(text)
        plots[svg.attrib["aria-labelledby"].split("-")[0]] = svg
    return plots


def texts(svg: ElementTree.Element, kind: str) -> list[str]:
    return [t.text or "" for t in svg.iter("text") if t.attrib["class"] == kind]


def shares(svg: ElementTree.Element, side: str = "width") -> list[float]:
    return [float(bar.attrib[side].removesuffix("%")) for bar in svg.iter("rect")]


def test_each_count_is_a_bar_with_its_name_and_number() -> None:
    status = drawn(REPORT)["status"]
    assert texts(status, "name") == ["indexed", "unchanged", "rejected", "moved"]
    assert texts(status, "value") == ["1,200", "300", "3", "0"]
    assert shares(status) == pytest.approx([80, 20, 0.2, 0])  # of an axis to 1,500
    assert texts(status, "tick") == ["0", "500", "1,000", "1,500"]
    assert texts(status, "axis") == ["objects"]
    assert [bar.attrib["class"] for bar in status.iter("rect")] == ["good", "quiet", "bad", "quiet"]


def test_one_in_two_million_is_still_drawn() -> None:
    modality = drawn(REPORT)["modality"]
    assert texts(modality, "name") == ["audio", "vision"]
    assert shares(modality) == pytest.approx([100, 0.00005])
    assert texts(modality, "tick") == ["0", "500k", "1M", "1.5M", "2M"]


def test_phases_follow_one_another() -> None:
    phases = drawn(REPORT)["phases"]
    assert texts(phases, "name") == ["list and plan", "embed and load"]  # a sweep of no time: none
    assert texts(phases, "value") == ["10.0 s", "30.0 s"]
    assert shares(phases, "x") == pytest.approx([0, 25])
    assert shares(phases) == pytest.approx([25, 75])
    assert texts(phases, "axis") == ["seconds since the start"]


def test_stages_say_their_rate_and_which_is_the_longest() -> None:
    stages = drawn(REPORT)["stages"]
    assert texts(stages, "value") == ["12.0 s, 83 windows/s", "24.0 s, 42 windows/s"]
    first, second = shares(stages)
    assert second == pytest.approx(2 * first)
    assert [bar.attrib["class"] for bar in stages.iter("rect")] == ["plain", "care"]


def test_who_hears_the_page_is_told_every_bar() -> None:
    for svg in drawn(REPORT).values():
        assert svg.attrib["role"] == "img"
        by_id = {e.attrib["id"]: e.text or "" for e in svg if "id" in e.attrib}
        title, words = (by_id[name] for name in svg.attrib["aria-labelledby"].split())
        assert title
        for name, value in zip(texts(svg, "name"), texts(svg, "value"), strict=True):
            assert f"{name} {value}" in words


def test_text_does_nothing() -> None:
    hard = "</svg><script>alert('1')</script>&\x1b[31m\ud800"
    shown = "</svg><script>alert('1')</script>&\\x1b[31m\\ud800"
    plots = drawn(replace(REPORT, seconds_by_phase={hard: 1.0}, segments_by_modality={hard: 1}))
    assert texts(plots["phases"], "name") == [shown]
    assert texts(plots["modality"], "name") == [shown]
    assert len(plots) == 4


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    page = report_html(REPORT)
    assert not re.search(r"\s(src|href)=|xlink|url\(|@import|https?:", page)


def test_a_status_has_its_colour_in_the_page() -> None:
    assert set(STATUS_TONES) == set(Status)
    page = report_html(REPORT)
    for tone in set(STATUS_TONES.values()):
        assert f".{tone} {{ fill: var(--{tone});" in page
        assert page.count(f"--{tone}: #") == 2, f"{tone}: one for a light page, one for a dark one"


def test_what_has_nothing_to_show_is_left_out() -> None:
    empty = replace(
        REPORT, objects_by_status={}, segments_by_modality={}, stages=(), seconds_by_phase={}
    )
    assert plots_of(empty) == ()
    assert drawn(empty) == {}
    assert phase_plot("p", "P", {"sweep": 0.0001}).bars == ()
    idle = replace(REPORT, stages=(StageTime("load", 0.0, 0, "windows"),))
    assert texts(drawn(idle)["stages"], "value") == ["0 s, 0 windows/s"]


@given(st.floats(min_value=1e-6, max_value=1e12), st.booleans())
def test_an_axis_holds_what_is_on_it(longest: float, whole: bool) -> None:
    longest = float(max(1, round(longest))) if whole else longest
    end, ticks = axis_to(longest, whole=whole)
    assert longest <= end * (1 + 1e-8)
    assert longest >= end / 3 or whole  # and is not lost on it
    assert 2 <= len(ticks) <= 6
    assert ticks[0].text == "0"
    assert len({tick.text for tick in ticks}) == len(ticks)
    assert [tick.percent for tick in ticks] == sorted(tick.percent for tick in ticks)
    assert ticks[-1].percent == 100
    if whole:
        assert (end / (len(ticks) - 1)).is_integer()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.004, "0.004 s"), (0.25, "0.25 s"), (25, "25.0 s"), (5400.2, "5,400 s")],
)
def test_seconds_have_the_digits_that_tell_something(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_the_runs_before_stand_beside_one_another() -> None:
    ended = {"indexed": 50, "failed": 3, "denied": 1, "rejected": 9}
    first = replace(REPORT, started_at="2026-01-01", media_seconds=1e3, objects_by_status=ended)
    between = replace(REPORT, started_at="2026-01-02", seconds_by_phase={}, search=())
    plots = drawn(REPORT, first, between)
    dealt = [float(column.attrib["height"]) for column in plots["dealt"].iter("rect")]
    assert [length / dealt[1] for length in dealt] == pytest.approx([63 / 1203, 1, 1], abs=1e-3)
    assert shares(plots["dealt"], "x") == pytest.approx([0, 100 / 3, 200 / 3], abs=1e-3)
    failed = [column.findtext("title") for column in plots["failures"].iter("rect")]
    assert failed == ["2026-01-01: 4", "2026-01-02: 0", ": 0"]
    assert texts(plots["failures"], "value") == ["now 0"]
    assert texts(plots["failures"], "tick") == ["at most 4"]
    # A run that embedded nothing has no rate, and none of these was measured or paid for.
    assert len(list(plots["rate"].iter("rect"))) == 2
    assert texts(plots["rate"], "value") == ["now 66.7"]
    assert plots.keys() & {"recall", "found", "money"} == set()


def test_recall_is_on_an_axis_to_one() -> None:
    def asked(share: float) -> RunReport:
        recall = ServedRecall(vectors=(VectorRecall("vision", 50, share),))
        search = (SearchRecall("asset", 1, 3, 4, 0.3, 0.9),)
        return replace(REPORT, recall=recall, search=search)

    plots = drawn(asked(0.5), asked(1.0))
    whole, half = (float(column.attrib["height"]) for column in plots["recall"].iter("rect"))
    assert half == pytest.approx(whole / 2)
    assert texts(plots["found"], "value") == ["now 0.750"]


def test_of_one_run_there_is_no_history() -> None:
    assert history_plots([REPORT]) == ()
    assert history_plots([]) == ()
    assert "runs that changed something" not in report_html(REPORT)


def test_money_is_shown_where_reports_have_it() -> None:
    @dataclass(frozen=True)
    class Priced:
        """As a report with prices will be."""

        money: float
        started_at: str = ""
        objects: int = 0
        objects_by_status: Mapping[str, int] = field(default_factory=dict)
        media_seconds_per_second: float = 0.0
        recall: None = None
        search: tuple[SearchRecall, ...] = ()

    [*_, plot] = history_plots([Priced(2.5), Priced(1.0)])  # type: ignore[list-item]
    assert (plot.key, plot.last, plot.highest) == ("money", "1.00", "2.50")
