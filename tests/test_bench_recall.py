"""The benchmark of recall: what it says without a server, and that it sees a search that misses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bench import recall
from tests.support.fixtures_qdrant import Served


def test_without_a_server_it_says_that_it_needs_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("URL", "BIN"):
        monkeypatch.delenv(f"SENSEDEX_TEST_QDRANT_{name}", raising=False)
    monkeypatch.setattr(sys, "argv", ["recall", "--json", str(tmp_path / "r.json")])
    recall.main()
    assert capsys.readouterr().out == f"{recall.NEEDS}\n"
    assert json.loads((tmp_path / "r.json").read_text()) == []


@pytest.mark.parametrize("served", ["rest"], indirect=True)
def test_a_search_that_misses_is_seen(served: Served) -> None:
    """The stand-in misses every fifth answer, and with an ef of 512 every 25th."""
    served.server.blunt = 5
    settings = served.settings.model_copy(update={"collection": recall.NAME})
    matrix = recall.clustered(300, 16)
    assert np.linalg.norm(matrix, axis=1) == pytest.approx(np.ones(300), abs=1e-5)
    rows = recall.measure(settings, matrix, recall.questions_of(matrix, 4))
    found = {row["name"]: row["value"] for row in rows}
    assert len(found) == len(recall.EFS)
    assert found["none, ef default, oversampling 1"] == pytest.approx(0.8)
    assert found["none, ef 512, oversampling 1"] == 1.0
    assert all(row["queries_a_second"] > 0 for row in rows)
