"""What disturbed runs came to, as the table of docs/reliability.md: a row for each kind of thing.

python -m tests.chaos.table [build/chaos/chaos.json ...]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from tests.chaos.kills import Attempt

HEAD = (
    "| what | runs | ended as a clean run | shards again | reads | lost | doubled | half |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


ON_SERVER = re.compile(r"^(one node|\d+ nodes), (gRPC|REST): ")
SCREEN_HEAD = (
    f"{'what':<44}{'passing':>9}{'seed':>6}{'ended':>11}{'again':>7}{'reads':>8}{'lost':>6}"
    f"{'doubled':>9}{'half':>6}"
)


def screen_line(done: Attempt) -> str:
    """One attempt, under `SCREEN_HEAD`."""
    ended = "as clean" if done.converged else "OTHERWISE"
    told = (
        "" if done.clean else f"  NOT CLEAN {'' if done.happened else 'did not happen'} {done.note}"
    )
    return (
        f"{done.what:<44}{f'{done.hit}/{done.of_hits}':>9}{done.seed:>6}{ended:>11}{done.again:>7}"
        f"{done.reads:>8}{done.lost:>6}{done.doubled:>9}{done.half:>6}{told}"
    )


def kind_of(what: str) -> str:
    """Double kills are drawn by the seed: one row for all of them; on a server, for all ways."""
    return "double kills" if ", then " in what else ON_SERVER.sub("", what)


def table(attempts: Sequence[Attempt]) -> list[str]:
    """Markdown, in the order in which they were made first."""
    order = {kind: n for n, kind in enumerate(dict.fromkeys(kind_of(a.what) for a in attempts))}
    ordered = sorted(attempts, key=lambda attempt: order[kind_of(attempt.what)])
    rows = [
        _row(kind, list(found)) for kind, found in groupby(ordered, key=lambda a: kind_of(a.what))
    ]
    return [*HEAD, *rows, _row("all", attempts)]


def _row(name: str, found: Sequence[Attempt]) -> str:
    def total(values: Iterable[int]) -> str:
        return f"{sum(values):,}"

    cells = (
        name,
        str(len(found)),
        str(sum(a.happened and a.converged for a in found)),
        str(max(a.again for a in found)),
        total(a.reads for a in found),
        total(a.lost for a in found),
        total(a.doubled for a in found),
        total(a.half for a in found),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    attempts = []
    for name in sys.argv[1:] or ["build/chaos/chaos.json"]:
        attempts += [Attempt(**one) for one in json.loads(Path(name).read_text())]
    print("\n".join(table(attempts)))


if __name__ == "__main__":
    main()
