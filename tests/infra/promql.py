"""PromQL as far as it can be known without Prometheus: words, brackets, functions, metrics, labels.

`make infra-check` has it read by promtool, too, where that is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

FUNCTIONS = frozenset({
    "abs", "absent", "absent_over_time", "avg", "avg_over_time", "bottomk", "ceil", "changes",
    "clamp", "clamp_max", "clamp_min", "count", "count_over_time", "count_values", "delta",
    "deriv", "exp", "floor", "group", "histogram_quantile", "idelta", "increase", "irate",
    "label_join", "label_replace", "last_over_time", "ln", "log10", "log2", "max",
    "max_over_time", "min", "min_over_time", "predict_linear", "present_over_time", "quantile",
    "quantile_over_time", "rate", "resets", "round", "scalar", "sgn", "sort", "sort_desc", "sqrt",
    "stddev", "stddev_over_time", "stdvar", "sum", "sum_over_time", "time", "timestamp", "topk",
    "vector",
})  # fmt: skip
OF_A_RANGE = frozenset(name for name in FUNCTIONS if name.endswith("_over_time")) | {
    "rate", "increase", "irate", "delta", "idelta", "changes", "resets", "deriv",
}  # fmt: skip
GROUPING = frozenset(("by", "without", "on", "ignoring", "group_left", "group_right"))
WORDS = GROUPING | {"and", "or", "unless", "offset", "bool"}
OF_THE_SCRAPE = frozenset(("job", "instance"))
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<duration>\d+(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*)
    |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
    |(?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^<>=(){}\[\],]))""",
    re.VERBOSE,
)
CLOSED_BY = {"(": ")", "[": "]", "{": "}"}


def tokens(query: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each. Raises ValueError at what is none."""
    position = 0
    while query[position:].strip():
        found = _TOKEN.match(query, position)
        if found is None:
            raise ValueError(f"not PromQL: {query[position:].strip()[:20]!r}")
        assert found.lastgroup is not None
        yield found.lastgroup, found[found.lastgroup]
        position = found.end()


def complaints(query: str, metrics: Mapping[str, tuple[str, ...]]) -> list[str]:
    """What is wrong with a query, where `metrics` are all there are, with their labels.

    A histogram's `_bucket`, `_sum` and `_count` are known by its name.
    """
    try:
        found = list(tokens(query))
    except ValueError as error:
        return [str(error)]
    return [*_brackets(found), *_names(found, metrics)]


def _brackets(found: list[tuple[str, str]]) -> Iterator[str]:
    opened: list[str] = []
    for kind, text in found:
        if kind == "sign" and text in CLOSED_BY:
            opened.append(text)
        elif (
            kind == "sign"
            and text in CLOSED_BY.values()
            and (not opened or CLOSED_BY[opened.pop()] != text)
        ):
            yield f"{text} closes nothing"
            return
    if opened:
        yield f"{opened[-1]} is not closed"


def _names(found: list[tuple[str, str]], metrics: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Functions, metrics and labels; `metric` is the one whose matchers are being read."""
    metric = calls = ""
    within = grouping = False
    for place, (kind, text) in enumerate(found):
        following = found[place + 1][1] if place + 1 < len(found) else ""
        if text == "{":
            within = True
        elif text == "}":
            within = False
        elif grouping and text == ")":
            grouping = False
        if kind != "name" or grouping:
            continue
        if within:
            labels = _labels(metric, metrics)
            if labels is not None and text not in labels:
                yield f"{metric} has no label {text}"
        elif text in GROUPING:
            grouping = following == "("
        elif text in WORDS:
            continue
        elif following == "(" or (following in GROUPING and text in FUNCTIONS):
            calls = text
            if text not in FUNCTIONS:
                yield f"there is no function {text}"
        else:
            metric = text
            if _labels(text, metrics) is None:
                yield f"there is no metric {text}"
            if calls in OF_A_RANGE and not _has_range(found[place + 1 :]):
                yield f"{calls} wants a range of {text}, as in [5m]"


def _has_range(rest: list[tuple[str, str]]) -> bool:
    depth = 0
    for _, text in rest:
        depth += (text == "{") - (text == "}")
        if depth == 0 and text != "}":
            return text == "["
    return False


def _labels(metric: str, metrics: Mapping[str, tuple[str, ...]]) -> set[str] | None:
    if metric in metrics:
        return {*metrics[metric], *OF_THE_SCRAPE}
    base = re.sub(r"_(bucket|sum|count)$", "", metric)
    if base != metric and base in metrics and base.endswith("_seconds"):
        return {*metrics[base], *OF_THE_SCRAPE, "le"}
    return None
