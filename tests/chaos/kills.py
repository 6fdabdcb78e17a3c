"""A run is killed at a point, and the next one goes undisturbed."""

from __future__ import annotations

from dataclasses import dataclass

from tests.chaos.points import Point
from tests.chaos.scene import Scene, Way


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of it. `of_hits`: how often a run passes the point; `happened`: it was killed
    there; `again`: shards that it had embedded, at least in part, and not committed."""

    what: str
    hit: int
    of_hits: int
    seed: int
    happened: bool
    converged: bool
    again: int
    reads: int
    lost: int
    doubled: int
    half: int
    note: str = ""

    @property
    def clean(self) -> bool:
        return self.happened and self.converged and not (self.lost or self.doubled or self.half)


def hits_of(scene: Scene, point: Point, way: Way) -> int:
    """How often a run of this scene passes the point."""
    place = scene.begin(way)
    ended = place.run(point.name)
    assert ended.status == 0, ended.said
    return place.passed()


def attempt(
    scene: Scene,
    point: Point,
    hit: int,
    *,
    of_hits: int = 0,
    seed: int = 0,
    way: Way = Way(),  # noqa: B008  frozen
    then: tuple[Point, int] | None = None,
) -> Attempt:
    """Kill a run at the `hit`-th passing of the point; `then` kills the next run, too."""
    place = scene.begin(way)
    with place.watched():
        first = place.run(point.name, hit)
        again = place.embedded_in_vain()
        reads, seen = place.reads()
        seen.append(place.live())
        killed = first.killed
        if then is not None:
            killed = place.run(then[0].name, then[1]).killed and killed
            seen += place.reads()[1]
            seen.append(place.live())
        last = place.run()
    reads, later = place.reads()
    seen += later
    seen.append(place.live())
    verdict = scene.judged(seen)
    what = point.name if then is None else f"{point.name}, then {then[0].name}"
    return Attempt(
        what,
        hit,
        of_hits or hit,
        seed,
        killed,
        last.status == 0 and place.converged(scene.wanted),
        again,
        reads + 2,
        len(verdict.lost),
        len(verdict.doubled),
        len(verdict.half),
        "" if last.status == 0 else last.said[-300:],
    )
