"""Metrics as they are read: samples by name and labels; whether a run's report says the same."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from pipeline.report.record import RunReport

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def by_label(found: Samples, name: str) -> dict[str, float]:
    """Of a metric with one label."""
    return {labels[0][1]: value for (n, labels), value in found.items() if n == name}


def names(found: Samples) -> set[str]:
    return {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
            if not name.endswith("_total") else name for name, _ in found}  # fmt: skip


def agree(found: Samples, report: RunReport) -> None:
    """Each figure that the report has, too."""
    assert by_label(found, "sensedex_objects_total") == dict(report.objects_by_status)
    stages = {stage.name: stage for stage in report.stages}
    windows = by_label(found, "sensedex_windows_total")
    assert {name: windows[name] for name in stages if name != "fetch"} == {
        name: stage.items for name, stage in stages.items() if name != "fetch"
    }
    seconds = by_label(found, "sensedex_media_seconds_total")
    busy = by_label(found, "sensedex_stage_busy_seconds_total")
    for name, stage in stages.items():
        assert seconds[name] == pytest.approx(stage.media_seconds)
        assert busy[name] == pytest.approx(stage.busy_seconds, abs=1e-4)
    assert by_label(found, "sensedex_bytes_total")["fetch"] == report.bytes_fetched
    workers = by_label(found, "sensedex_stage_workers")
    assert {name: workers[name] for name in report.workers_by_stage} == report.workers_by_stage
    [(_, labels)] = [key for key in found if key[0] == "sensedex_run_info"]
    assert dict(labels)["run_id"] == report.run_id


def text_of(collector: Collector) -> Samples:
    registry = CollectorRegistry()
    registry.register(collector)
    return samples(generate_latest(registry).decode())
