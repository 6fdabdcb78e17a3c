"""Benchmarks that need a Qdrant server say so where there is none, and do not fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.bench import __main__ as bench
from tests.bench import payload_indexes, server_load


@pytest.mark.parametrize("module", [server_load, payload_indexes], ids=["load", "payload indexes"])
def test_without_a_server_it_says_so(
    module: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("SENSEDEX_TEST_QDRANT_BIN", raising=False)
    monkeypatch.setattr(sys, "argv", ["bench", "--json", str(tmp_path / "rows.json")])
    module.main()
    assert "there is no Qdrant server" in capsys.readouterr().out
    assert json.loads((tmp_path / "rows.json").read_text()) == []


def test_make_bench_has_them() -> None:
    assert {"server_load", "payload_indexes"} <= set(bench.BENCHMARKS)
