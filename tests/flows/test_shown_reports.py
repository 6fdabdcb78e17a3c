"""A report on a terminal and as a page: keys steer neither, and the page has every count."""

from __future__ import annotations

import html.parser
import io

from rich.console import Console

from flows.cli.render import render_failures, render_report, shown
from pipeline import codec
from pipeline.report.html import report_html
from pipeline.report.record import FailureRow, RunReport, StageTime

HARD_KEY = "x/<script>alert(1)</script>\n\x1b[31m[red] 100%.mp4"

REPORT = RunReport(
    run_id="20260101T000000-abc123",
    sequence=3,
    bucket="films",
    prefix="",
    collection="media",
    encoder="imagebind-demo",
    meaningful=False,
    started_at="2026-01-01T00:00:00+00:00",
    wall_seconds=31.5,
    objects_by_status={"indexed": 1207, "rejected": 3, "unchanged": 41},
    objects_by_action={"new": 1210},
    segments_by_modality={"vision": 900, "audio": 800},
    segments=1000,
    media_seconds=2000.0,
    bytes_fetched=10**9,
    points_in_index=1041,
    failures=(
        FailureRow(HARD_KEY, "rejected", "decode", "not_media", False, "<b>text</b>", "Go."),
    ),
    stages=(StageTime("decode", 12.0, 1000, "windows"), StageTime("encode", 20.0, 1000, "windows")),
    seconds_by_phase={"list and plan": 1.0, "embed and load": 25.0},
)


def test_hard_keys_cannot_steer_a_terminal_or_a_page() -> None:
    buffer = io.StringIO()
    console = Console(file=buffer, width=300, force_terminal=False)
    console.print(render_failures(REPORT.failures))
    console.print(render_report(REPORT))
    printed = buffer.getvalue()
    assert "\x1b" not in printed
    assert "\\x1b[31m[red] 100%.mp4" in printed
    assert shown("é 🐕") == "é 🐕"

    page = report_html(REPORT)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;text&lt;/b&gt;" in page
    assert "\x1b" not in page


def test_the_report_is_one_file_with_every_count() -> None:
    page = report_html(REPORT)

    class Reader(html.parser.HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.text = ""
            self.plots = 0

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.plots += tag == "svg"
            for name, value in attrs:
                remote = (value or "").startswith(("http:", "https:", "//"))
                assert not remote or name.startswith("xmlns"), f"{tag} {name}={value}"
                assert name != "src"

        def handle_data(self, data: str) -> None:
            self.text += data

    reader = Reader()
    reader.feed(page)
    assert reader.plots == 4
    for fact in ("1,207", "1,251", "41", "carry no meaning", "not_media", REPORT.run_id):
        assert fact in reader.text
    assert codec.from_bytes(RunReport, codec.to_bytes(REPORT)) == REPORT
