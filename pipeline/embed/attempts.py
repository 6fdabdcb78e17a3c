"""A book of what has killed the worker that had it, and of what is done about it then.

Ray starts a dead actor again and hands it what it had, without end. So whoever works says what it
begins and what it ends; what was begun and never ended, on a node that is still alive, has killed
its worker once. The first time the whole batch is suspected, from then on it is done one by one,
and what has been in the way of three deaths is left out, as failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

MOST_KILLS = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kills` are of this piece; `halvings` says how often a batch has killed an encoder, whichever
    it was: later ones are to be smaller by so much, since what kills is mostly want of memory."""

    kills: int
    halvings: int

    @property
    def one_by_one(self) -> bool:
        return self.kills > 0


class Attempts:
    """The book of it; one for a run, over all of its graphs."""

    def __init__(self, living_nodes: Callable[[], Collection[str]]) -> None:
        self._living_nodes = living_nodes
        self._open: dict[str, str] = {}
        self._kills: Counter[str] = Counter()
        self._halvings = 0

    def begin(self, piece: str, node: str, *, batch: bool = False) -> Verdict:
        """Somebody on that node begins it. `batch`: of an encoder, which could be smaller."""
        before = self._open.get(piece)
        # A node that is lost takes its workers with it, whatever they had.
        if before is not None and before in self._living_nodes():
            self._kills[piece] += 1
            if batch and self._kills[piece] == 1:
                self._halvings += 1
        self._open[piece] = node
        return Verdict(self._kills[piece], self._halvings)

    def end(self, piece: str) -> None:
        self._open.pop(piece, None)

    def begin_graph(self) -> None:
        """What the graph before had under way was ended with it."""
        self._open.clear()
