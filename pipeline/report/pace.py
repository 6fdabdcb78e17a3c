"""Which stage sets a run's pace, and what to add for a faster one."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.progress import Stage
from pipeline.report.record import RunReport

EMBEDDING_PHASE = "embed and load"
BUSY_SHARE = 0.6
"""A stage whose workers are busy for less of the time waits for another one, or for the machine."""

SHORTEST_S = 20.0
"""A run that embeds for less says nothing of its pace: decoders begin before encoders are there."""

_REMEDIES = {
    Stage.FETCH: "the bucket or the way to it is the limit; run nearer to it, or on more nodes",
    Stage.DECODE: "add CPU cores, or decode less of a video (decode.sampling)",
    Stage.ENCODE: "add a GPU, or more of them; without one, more CPU cores",
    Stage.WRITE: "the state's location takes the time; put it on a faster disk, or nearer",
    Stage.LOAD: "use a Qdrant server instead of the embedded index, or one with more CPU cores",
}


@dataclass(frozen=True, slots=True)
class Pace:
    """`busy_share` is of the time in which the run embedded, of 1; None, without a stage, where
    none is busy."""

    stage: Stage | None
    busy_share: float
    sentence: str


def decode_share_of(report: RunReport) -> float | None:
    """Of the work of decoding and encoding, decoding's part of 1; None of a run that says nothing
    of it."""
    busy = {Stage(stage.name): stage.busy_seconds for stage in report.stages}
    decode_s, encode_s = busy.get(Stage.DECODE, 0.0), busy.get(Stage.ENCODE, 0.0)
    if decode_s + encode_s < SHORTEST_S:
        return None
    return decode_s / (decode_s + encode_s)


def pace_of(report: RunReport) -> Pace | None:
    """None for a run that embedded little, and for reports without the figures."""
    seconds = report.seconds_by_phase.get(EMBEDDING_PHASE, 0.0)
    workers = report.workers_by_stage
    shares = {
        Stage(stage.name): stage.busy_seconds / workers.get(stage.name, 1) / seconds
        for stage in report.stages
        if workers and seconds
    }
    if seconds < SHORTEST_S or not shares:
        return None
    busiest = max(shares, key=lambda stage: shares[stage])
    share = min(1.0, shares[busiest])
    if share < BUSY_SHARE:
        return Pace(
            None,
            share,
            f"No stage was busy for more than {share:.0%} of the time ({busiest}): the machine has "
            "other work, or too few cores for all of them.",
        )
    many = workers.get(busiest, 1)
    who = "one worker was" if many == 1 else f"{many} workers were"
    return Pace(
        busiest,
        share,
        f"{busiest} sets the pace: its {who} busy {share:.0%} of the time; {_REMEDIES[busiest]}.",
    )
