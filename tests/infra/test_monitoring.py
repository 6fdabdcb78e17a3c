"""infra/monitoring: every query is of metrics that there are, every alert has its page."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.metrics import table
from tests.infra import promql

METRICS = {name: (*metric.labels, *table.EVENTS_LABELS) for name, metric in table.METRICS.items()}
PROMETHEUS_OWN: dict[str, tuple[str, ...]] = {"up": ()}


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Rule(_Fields):
    alert: str | None = None
    record: str | None = None
    expr: str
    for_: str | None = Field(None, alias="for")
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Group(_Fields):
    name: str
    interval: str | None = None
    rules: list[Rule]


def rule_complaints(document: Any, runbook: str) -> list[str]:
    """What is wrong with Prometheus's rules; `runbook` is the page to which the alerts lead."""
    try:
        groups = [Group.model_validate(group) for group in document["groups"]]
    except ValidationError as error:
        return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    rules = [rule for group in groups for rule in group.rules]
    known = METRICS | PROMETHEUS_OWN | {rule.record: ("stage",) for rule in rules if rule.record}
    wrong = []
    for rule in rules:
        name = rule.alert or rule.record or ""
        said = list(promql.complaints(rule.expr, known))
        if rule.alert:
            said += _of_alert(rule, runbook)
        wrong += [f"{name}: {words}" for words in said]
    sections = set(re.findall(r"^## (\w+)$", runbook, flags=re.M))
    alerts = {rule.alert for rule in rules if rule.alert}
    return wrong + [f"the runbook has {name}, which is no alert" for name in sections - alerts]


def _of_alert(rule: Rule, runbook: str) -> Iterator[str]:
    if rule.labels.get("severity") not in ("page", "ticket"):
        yield "severity is page or ticket"
    if "summary" not in rule.annotations:
        yield "no summary"
    if rule.annotations.get("runbook_url") != f"docs/runbook.md#{(rule.alert or '').lower()}":
        yield "runbook_url leads elsewhere"
    _, _, section = runbook.partition(f"\n## {rule.alert}\n")
    commands = re.findall(r"^    \S.*$", section.partition("\n## ")[0], flags=re.M)
    if len(commands) != 3:
        yield f"its section has {len(commands)} commands, not three"


def dashboard_complaints(document: Any) -> list[str]:
    """What is wrong with a Grafana dashboard."""
    wrong = []
    ids = [panel["id"] for panel in document["panels"]]
    if len(set(ids)) != len(ids):
        wrong.append("two panels have one id")
    cells: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        grid = panel["gridPos"]
        own = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        if own & cells or grid["x"] + grid["w"] > 24:
            wrong.append(f"{panel['title']}: lies over another, or past the edge")
        cells |= own
        if panel["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
            wrong.append(f"{panel['title']}: another source than the one that is chosen")
        if not panel["targets"]:
            wrong.append(f"{panel['title']}: shows nothing")
        for target in panel["targets"]:
            said = promql.complaints(target["expr"], METRICS | PROMETHEUS_OWN)
            wrong += [f"{panel['title']}: {words}" for words in said]
    shown = " ".join(t["expr"] for panel in document["panels"] for t in panel["targets"])
    return wrong + [f"no panel shows {name}" for name in METRICS if name not in shown]


@pytest.fixture(scope="module")
def rules(root_dir: Path) -> Any:
    return yaml.safe_load((root_dir / "infra/monitoring/rules.yml").read_text())


@pytest.fixture(scope="module")
def runbook(root_dir: Path) -> str:
    return (root_dir / "docs/runbook.md").read_text()


@pytest.fixture(scope="module")
def dashboard(root_dir: Path) -> Any:
    return json.loads((root_dir / "infra/monitoring/dashboard.json").read_text())


def test_the_rules_are_well(rules: Any, runbook: str) -> None:
    assert rule_complaints(rules, runbook) == []


def test_the_dashboard_is_well(dashboard: Any) -> None:
    assert dashboard_complaints(dashboard) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("sensedex_bucket_lag_seconds", "sensedex_lag_seconds", "no metric sensedex_lag_seconds"),
        (r"clamp_min\(", "clamp_least(", "no function clamp_least"),
        ("severity: page", "severity: loud", "severity is page or ticket"),
        ("summary: No run has done", "title: No run has done", "no summary"),
        ("#sensedexstalled", "#stalled", "runbook_url leads elsewhere"),
        ("alert: SensedexRetries", "alert: SensedexTries", "which is no alert"),
        ('status="denied"', 'state="denied"', "has no label state"),
        (r"\[7d\]\)\)", "[7d])", "is not closed"),
        (r"\[7d\]", "", "max_over_time wants a range"),
        ("for: 1h", "fore: 1h", "Extra inputs"),
        (r"> 36 \* 3600", "> $limit", "not PromQL: '$limit"),
    ],
)
def test_a_rule_that_is_none_is_seen(
    root_dir: Path, runbook: str, old: str, new: str, complaint: str
) -> None:
    text = (root_dir / "infra/monitoring/rules.yml").read_text()
    broken, count = re.subn(old, new, text, count=1)
    assert count == 1
    found = rule_complaints(yaml.safe_load(broken), runbook)
    assert any(complaint in said for said in found), found


def test_a_section_with_a_command_too_few_is_seen(rules: Any, runbook: str) -> None:
    broken = runbook.replace("    ray status\n", "")
    assert rule_complaints(rules, broken) == [
        "SensedexStalled: its section has 2 commands, not three"
    ]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d["panels"][0]["gridPos"].update(x=3), "lies over another"),
        (lambda d: d["panels"][0].update(id=2), "two panels have one id"),
        (lambda d: d["panels"][0].update(datasource={"uid": "mine"}), "another source"),
        (lambda d: d["panels"][0].update(targets=[]), "shows nothing"),
        (lambda d: d["panels"][1]["targets"][0].update(expr="sensedex_lag"), "no metric"),
        (lambda d: d["panels"].pop(1), "no panel shows sensedex_bucket_lag_seconds"),
    ],
)
def test_a_panel_that_is_none_is_seen(dashboard: Any, change: Any, complaint: str) -> None:
    broken = copy.deepcopy(dashboard)
    change(broken)
    assert any(complaint in said for said in dashboard_complaints(broken))


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("sum by (stage) (rate(sensedex_windows_total[5m]))", None),
        ("sum(rate(sensedex_windows_total{stage=~\"a|b\", job='x'}[5m])) by (stage) > 1.5e3", None),
        (
            "histogram_quantile(0.9, sum by (le) "
            '(rate(sensedex_upsert_seconds_bucket{le!="1"}[1h30m])))',
            None,
        ),
        ("sensedex_windows_total_bucket", "no metric sensedex_windows_total_bucket"),
        ("sum by (stage) (rate(sensedex_windows_total[5m])", "( is not closed"),
        ("sum(up])", "] closes nothing"),
        ("rate(sensedex_windows_total)", "rate wants a range"),
        ("averages(up)", "no function averages"),
    ],
)
def test_promql_is_read(query: str, complaint: str | None) -> None:
    found = promql.complaints(query, METRICS | PROMETHEUS_OWN)
    assert found == [] if complaint is None else any(complaint in said for said in found)
