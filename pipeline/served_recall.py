"""Recall of the index as it is served: counted, judged, and put in words.

Pure: records, the settings that are tried where too little is found, and what is proposed of them.
`pipeline.index.recall` asks a server; reports hold what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

NEIGHBOURS = 10
GOOD_RECALL = 0.98
SAME_SCORE = 1e-5
# Of what is configured, or of the server's own; each with each where there is a quantization.
EF_TIMES = (1, 2, 4, 8)
OVERSAMPLING_TIMES = (1, 2, 4, 8)
MOST_OVERSAMPLING = 100.0

IN_A_FOLDER = "a folder is searched exactly, its recall is 1 and nothing is asked."


@dataclass(frozen=True, slots=True)
class Looking:
    """How far a search looks: `index.hnsw_ef` (None is the server's own) and
    `index.oversampling`, which is 1 where nothing is quantized."""

    hnsw_ef: int | None
    oversampling: float

    def __str__(self) -> str:
        """As it is set; an oversampling of 1 is none."""
        told = [] if self.hnsw_ef is None else [f"index.hnsw_ef = {self.hnsw_ef}"]
        if self.oversampling > 1 or not told:
            told.append(f"index.oversampling = {self.oversampling:g}")
        return " and ".join(told)


@dataclass(frozen=True, slots=True)
class VectorRecall:
    """Of the nearest by exact search, the share that was found as configured; over queries."""

    vector_name: str
    queries: int
    share: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """Settings that were tried for the vectors that fell short, and their shares with them: those
    that reach `GOOD_RECALL`, or the largest where none does. `smallest`: all smaller ones were
    tried, and do not."""

    looking: Looking
    shares: Mapping[str, float]
    reaches: bool
    smallest: bool


@dataclass(frozen=True, slots=True)
class ServedRecall:
    """What was measured; `unmeasured` says why there is no figure. `server_ef` is what the server
    takes where `index.hnsw_ef` is empty; `building`: its graph was not finished."""

    neighbours: int = NEIGHBOURS
    looking: Looking = field(default_factory=lambda: Looking(None, 1.0))
    server_ef: int = 0
    quantization: str = "none"
    vectors: tuple[VectorRecall, ...] = ()
    proposal: Proposal | None = None
    building: bool = False
    seed: int = 0
    seconds: float = 0.0
    unmeasured: str = ""

    @property
    def short(self) -> tuple[VectorRecall, ...]:
        """Those of which too little is found."""
        return tuple(vector for vector in self.vectors if vector.share < GOOD_RECALL)


def share_found(nearest: Sequence[float], found: Sequence[float]) -> float:
    """By exact scores, the best first: what is as near as the last of the nearest is one of them,
    since which ten of a thousand silent windows come is all one."""
    if not nearest:
        return 1.0
    floor = nearest[-1] - SAME_SCORE
    return min(1.0, sum(score >= floor for score in found) / len(nearest))


def can_reach(shares: Sequence[float], queries: int) -> bool:
    """Whether the mean over all queries may still be good, if all that are left find everything."""
    return sum(shares) + queries - len(shares) >= GOOD_RECALL * queries


def ladder(configured: Looking, server_ef: int, *, quantized: bool) -> tuple[Looking, ...]:
    """The settings to try beyond those configured, those that cost least first: counted are the
    candidates in the graph and those that are scored in full. Without a quantization oversampling
    changes nothing."""
    ef = configured.hnsw_ef or server_ef
    rungs = {}
    for ef_times in EF_TIMES:
        for times in OVERSAMPLING_TIMES if quantized else (1,):
            wider = min(MOST_OVERSAMPLING, configured.oversampling * times)
            larger = configured.hnsw_ef if ef_times == 1 else ef * ef_times
            rungs[Looking(larger, wider)] = ef * ef_times + NEIGHBOURS * wider
    rungs.pop(configured, None)
    return tuple(sorted(rungs, key=lambda rung: rungs[rung]))


def propose(
    rungs: Sequence[Looking], ask: Callable[[Looking], Mapping[str, float] | None]
) -> Proposal | None:
    """The first of the rungs that finds enough of every vector that `ask` gives the share of. The
    last is asked first: where it does not, none does. `ask` gives None when the time is up; None
    where nothing was learnt by then."""
    if not rungs or (shares := ask(rungs[-1])) is None:
        return None
    largest = Proposal(rungs[-1], shares, _reaches(shares), smallest=False)
    if not largest.reaches:
        return largest
    for rung in rungs[:-1]:
        if (found := ask(rung)) is None:
            return largest
        if _reaches(found):
            return Proposal(rung, found, reaches=True, smallest=True)
    return replace(largest, smallest=True)


def _reaches(shares: Mapping[str, float]) -> bool:
    return all(share >= GOOD_RECALL for share in shares.values())


def recall_sentences(recall: ServedRecall) -> tuple[str, ...]:
    """What a person reads of it in a terminal, on the page and in Prefect."""
    if recall.unmeasured:
        return (f"Recall of the index against exact search: {recall.unmeasured}",)
    ef = recall.looking.hnsw_ef or f"the server's own, {recall.server_ef}"
    figures = ", ".join(f"{v.vector_name} {v.share:.3f} ({v.queries})" for v in recall.vectors)
    told = [
        f"recall@{recall.neighbours} of the index against exact search, over stored vectors: "
        f"{figures}; hnsw_ef {ef}, oversampling {recall.looking.oversampling:g}, quantization "
        f"{recall.quantization}."
    ]
    if recall.building:
        told.append("The server's graph was still being built: what is not in it is searched in "
                    "full, and the figure may fall when it is.")  # fmt: skip
    if recall.short:
        told.append(_proposed(recall.proposal))
    return tuple(told)


def _proposed(proposal: Proposal | None) -> str:
    if proposal is None:
        return (
            f"That is below {GOOD_RECALL}, and there was no time to try other settings: "
            "`sensedex verify` takes longer."
        )
    shares = ", ".join(f"{name} {share:.3f}" for name, share in proposal.shares.items())
    if not proposal.reaches:
        return (
            f"That is below {GOOD_RECALL}, and nothing that was tried reaches it: "
            f"{proposal.looking} gives {shares}. Take another quantization or a larger "
            "index.hnsw_m (docs/rebuild.md)."
        )
    which = "the least that does of those tried" if proposal.smallest else "less was not tried"
    return (
        f"That is below {GOOD_RECALL}; {proposal.looking} reaches it, {which}: {shares}. A search "
        "takes longer with it, and nothing is loaded again."
    )
