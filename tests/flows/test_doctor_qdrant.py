"""`sensedex doctor` at a Qdrant server: a collection that is not as the settings would make it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli import doctor
from flows.cli.doctor import render_findings
from flows.cli.doctor_qdrant import collection_finding, qdrant_finding
from flows.cli.finding import Finding, Verdict
from pipeline.index.vector_index import open_index
from pipeline.models.spaces import cards_of, spaces_of
from pipeline.settings import Settings
from pipeline.settings_index import IndexSettings
from tests.support import qdrant_grpc, qdrant_server
from tests.support.fixtures_qdrant import Served, only_stand_ins
from tests.support.invented_assets import SPACES


def settings_with(index: IndexSettings) -> Settings:
    return Settings(index=index)


def test_a_collection_as_it_would_be_made_is_in_order(served: Served) -> None:
    settings = settings_with(served.settings)
    assert collection_finding(settings).detail == "none yet: a run makes it as the settings say"
    with open_index(settings.index) as index:
        index.ensure_collection(spaces_of(cards_of(settings)))
    found = collection_finding(settings)
    assert found.verdict is Verdict.OK, found.detail
    assert found.detail.startswith("media-1: float32, quantization none, hnsw_m 16")
    assert "0 live segments" in qdrant_finding(settings).detail


def test_each_difference_is_a_line_and_a_warning(served: Served) -> None:
    made = served.settings.model_copy(update={"strict_mode": False})
    settings = settings_with(
        served.settings.model_copy(update={"quantization": "int8", "datatype": "float16"})
    )
    with open_index(made) as index:
        index.ensure_collection(SPACES)
    found = collection_finding(settings)
    assert found.verdict is Verdict.WARN
    has, *lines = found.detail.splitlines()
    assert "strict mode off" in has
    assert lines[:4] == [
        "vector vision is of 8 dimensions, not of 192, as sensedex-mini gives",
        "vector audio is of 8 dimensions, not of 192, as sensedex-mini gives",
        "vector text is not there, not of 192, as sensedex-mini gives",
        "quantization is none, not int8",
    ]
    assert "`sensedex rebuild` would change quantization, strict_mode, without" in found.remedy
    assert "It cannot change vector vision, vector audio, vector text:" in found.remedy
    assert render_findings([found])


@only_stand_ins
def test_a_server_older_than_is_recommended_is_a_warning(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_with(served.settings)
    assert qdrant_finding(settings).verdict is Verdict.OK
    for module in (qdrant_server, qdrant_grpc):
        monkeypatch.setattr(module, "VERSION", "1.17.3")
    found = qdrant_finding(settings)
    assert found.verdict is Verdict.WARN
    assert found.detail.endswith("no collection yet; Qdrant 1.17")
    assert "1.19 or newer is recommended" in found.remedy


def test_a_folder_has_nothing_to_compare(tmp_path: Path) -> None:
    """No graph, no quantization, no limits: the command leaves the line out."""
    settings = settings_with(IndexSettings(path=tmp_path / "qdrant"))
    assert "local mode" in qdrant_finding(settings).detail
    assert not (tmp_path / "qdrant").exists()


@pytest.mark.server  # decoding's canary, which no child can reach
def test_a_folder_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One at a time can have it: a second look beside the first would be refused, and said to be
    another process's."""
    settings = settings_with(IndexSettings(path=tmp_path / "qdrant"))
    with open_index(settings.index) as index:
        index.ensure_collection(SPACES)
    asked: list[str] = []
    looked = {"qdrant": doctor.qdrant_finding, "collection": doctor.collection_finding}

    def noted(what: str) -> Callable[[Settings], Finding]:
        def look(settings: Settings) -> Finding:
            asked.append(what)
            return looked[what](settings)

        return look

    for what in looked:
        monkeypatch.setattr(doctor, f"{what}_finding", noted(what))
    found = {one.what: one for one in doctor.examine(settings)}
    assert asked == ["qdrant"]
    assert found["qdrant"].verdict is Verdict.OK
    assert "collection" not in found
