"""A run is killed at a point, and event runs go before or after it: of whole runs and event runs
either may die, and the next whole run makes of it what a clean one makes."""

from __future__ import annotations

from enum import StrEnum

from tests.chaos.kills import Attempt
from tests.chaos.points import OF_EVENTS, Point
from tests.chaos.scene import Scene, Way

# What a whole run passes and an event run does not, nor a run after which nothing is left to do.
_WHOLE_RUNS = (
    "start",
    "before receipt is kept",
    "after the last sweep",
    "state rows half written",
)


class Order(StrEnum):
    """Which run is killed, and what comes between it and the last one, which is a whole run."""

    EVENTS_THEN_WHOLE = "an event run"
    EVENTS_TWICE = "an event run, then another"
    WHOLE_THEN_EVENTS = "a whole run, then an event run"

    def passes(self, point: Point) -> bool:
        """Whether the run that is to be killed passes the point."""
        if self is Order.WHOLE_THEN_EVENTS:
            return point not in OF_EVENTS and point.name != "after the last sweep"
        return point.name not in _WHOLE_RUNS


ORDERS = tuple(Order)


def killed_with_events(
    scene: Scene,
    point: Point,
    hit: int,
    order: Order,
    *,
    seed: int = 0,
    way: Way = Way(),  # noqa: B008  frozen
) -> Attempt:
    """Kill the first at the `hit`-th passing of the point. Events tell of every object."""
    place = scene.begin(way)
    with place.watched():
        first = place.run(point.name, hit, events=order is not Order.WHOLE_THEN_EVENTS)
        reads, seen = place.reads()
        seen.append(place.live())
        done = first.killed
        said = "" if done else first.said
        if order is not Order.EVENTS_THEN_WHOLE:
            between = place.run(events=True)
            done = between.status == 0 and done
            said = said or ("" if between.status == 0 else between.said)
            seen += place.reads()[1]
            seen.append(place.live())
            # Nothing is left for the whole run: events have told of all.
            done = done and place.converged(scene.wanted)
        last = place.run()
    reads, later = place.reads()
    seen += later
    seen.append(place.live())
    verdict = scene.judged(seen)
    return Attempt(
        f"{point.name}, {order}",
        hit,
        hit,
        seed,
        done,
        last.status == 0 and place.converged(scene.wanted),
        0,
        reads + 2,
        len(verdict.lost),
        len(verdict.doubled),
        len(verdict.half),
        (said or ("" if last.status == 0 else last.said))[-300:],
    )
