"""What can happen to a run besides a kill: another run beside it, a long sleep, objects that change
while it goes. Each ends in an `Attempt`, as a kill does."""

from __future__ import annotations

import os
import signal
import time

from tests.chaos.kills import Attempt, hits_of
from tests.chaos.points import Kind, point_named
from tests.chaos.reading import Live, same
from tests.chaos.scene import Place, Scene, Way
from tests.support.real_qdrant import QdrantNode

AWAY_S = 2.0
# Where a run falls asleep that wakes up when another has done its work.
SLEEPS = (
    ("after plan", 1),
    ("during encode", 2),
    ("after receipt", 2),
    ("between upsert batches", 3),
    # Past the last look at the lease: the one request that a late writer still has.
    ("upsert on its way", 3),
    ("after count", 2),
    ("flip on its way", 2),
    ("after flip", 1),
    ("after load receipt", 2),
    ("before removal", 1),
    ("state rows half written", 1),
    ("before the state write", 1),
)


def two_at_once(scene: Scene, seed: int, way: Way) -> Attempt:
    """One run wins; the other says who holds the lease, and by then has changed nothing."""
    place = scene.begin(way)
    with place.watched():
        first, second = (place.start(name) for name in ("first", "second"))
        ended = [place.wait(first), place.wait(second)]
    winners = [run for run in ended if run.status == 0]
    losers = [run for run in ended if run.status != 0]
    told = all("LeaseHeld" in run.said and "writes this collection" in run.said for run in losers)
    note = "" if told else losers[0].said[-300:]
    fine = len(winners) == 1 and told
    return judged(scene, place, "two at once", seed, fine, [place.live()], note)


def late_riser(scene: Scene, point: str, hit: int, seed: int, state: Kind) -> Attempt:
    """A run sleeps past the end of its lease, another does its work, and then it wakes up: it must
    fail, and no point may differ for it."""
    place = scene.begin(Way(state, on_server=True))
    with place.watched():
        late = place.start("late", point, hit, "stop")
        fine = place.wait(late).stopped
        time.sleep(place.settings().state.lease_ttl_s + 0.5)
        other = place.run()
        before = place.everything(of_the_run=True)
        os.kill(late, signal.SIGCONT)
        woken = place.wait(late)
        unchanged = same(place.everything(of_the_run=True), before)
    fine = fine and other.status == 0 and woken.status == 1 and unchanged
    named = "LeaseLost" in woken.said or "LeaseHeld" in woken.said
    note = (
        ""
        if fine and named
        else f"changed: {not unchanged} {other.said[-200:]} {woken.said[-200:]}"
    )
    return judged(scene, place, f"asleep {point}", seed, fine and named, [], note, hit)


def server_away(
    scene: Scene, node: QdrantNode, point: str, hit: int, seed: int, strike: str = "kill"
) -> Attempt:
    """The server, or a node of it, is killed under a run that is at the point, or holds still
    (`hold`), and comes back: the run goes on and ends as a clean one, or the next does."""
    place = scene.begin()
    with place.watched(may_be_away=True):
        pid = place.start("run", point, hit, "stop")
        fine = place.wait(pid).stopped
        node.kill() if strike == "kill" else node.hold()
        os.kill(pid, signal.SIGCONT)
        time.sleep(AWAY_S)
        node.start() if strike == "kill" else node.go_on()
        struck = place.wait(pid)
        last = struck if struck.status == 0 else place.run()
    fine = fine and last.status == 0
    note = f"{struck.said[-300:]} {last.said[-200:]}"
    verb = "killed" if strike == "kill" else "holds still"
    return judged(scene, place, f"server {verb}: {point}", seed, fine, [place.live()], note, hit)


def changed_on_the_way(scene: Scene, seed: int, *, gone: bool) -> Attempt:
    """Objects change, or go, between the plan and their GET: what was live stays, and the next run
    makes it right."""
    place = scene.begin()
    keys = scene.bucket.changed[-2:]
    kept = {key: scene.bucket.read(key) for key in keys}
    with place.watched():
        pid = place.start("run", "during fetch", 1, "stop")
        fine = place.wait(pid).stopped
        for key in keys:
            if gone:
                scene.bucket.delete(key)
            else:
                scene.bucket.put(key, b"otherwise " + kept[key])
        os.kill(pid, signal.SIGCONT)
        first = place.wait(pid)
        live = place.live()
        told = place.failures().count("object_gone" if gone else "object_changed")
        for key, body in kept.items():
            scene.bucket.put(key, body)
        fine = fine and first.status == 0 and told == len(keys)
        last = place.run()
    what = "objects go on the way" if gone else "objects change on the way"
    return judged(scene, place, what, seed, fine and last.status == 0, [live], first.said[-200:])


def gone_after_a_kill(scene: Scene, seed: int, killed: str) -> Attempt:
    """What a killed run had just brought in (hidden after a count, live after a load's receipt)
    leaves the bucket before the next one: nothing of it stays."""
    point = point_named(killed)
    last = hits_of(scene, point, Way())
    place = scene.begin()
    keys = scene.bucket.new[-3:]  # the last by name, and so in the last shard
    kept = {key: scene.bucket.read(key) for key in keys}
    with place.watched():
        fine = place.run(point.name, last).killed
        for key in keys:
            scene.bucket.delete(key)
        fine = place.run().status == 0 and fine
        left = [
            payload["key"] for payload, _ in place.everything().values() if payload["key"] in keys
        ]
        for key, body in kept.items():
            scene.bucket.put(key, body)
        fine = place.run().status == 0 and fine and not left
    note = f"left: {left}"
    return judged(
        scene, place, f"objects go after a kill {killed}", seed, fine, [place.live()], note
    )


def judged(
    scene: Scene,
    place: Place,
    what: str,
    seed: int,
    fine: bool,
    seen: list[Live],
    note: str = "",
    hit: int = 1,
) -> Attempt:
    """`fine`: the accident happened, and was answered as it should be."""
    reads, later = place.reads()
    verdict = scene.judged([*seen, *later, place.live()])
    return Attempt(
        what,
        hit,
        hit,
        seed,
        fine,
        place.converged(scene.wanted),
        0,
        reads + len(seen) + 1,
        len(verdict.lost),
        len(verdict.doubled),
        len(verdict.half),
        "" if fine else note,
    )
