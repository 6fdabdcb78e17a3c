"""Findings of verify: all that can be wrong between bucket, state, Parquet and Qdrant, by name.

A *fault* means that the index is not what its last run says it is. *Stale* means that the index is
right, and the bucket or the settings have moved on since. docs/verify.md explains each name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pipeline import codec
from pipeline.served_recall import ServedRecall


class Kind(StrEnum):
    """Whether a finding is the index's fault, or only says that a run has something to do."""

    STALE = "stale"
    FAULT = "fault"


class Repair(StrEnum):
    """What makes it right."""

    RUN = "run"  # an ordinary run, with the encoder
    RELOAD = "reload"  # the asset's Parquet is loaded again, without one
    DELETE = "delete"  # the points go


class Finding(StrEnum):
    """The names of all that can be wrong."""

    OBJECT_NEW = "object_new"
    OBJECT_CHANGED = "object_changed"
    OBJECT_GONE = "object_gone"
    RECIPE_CHANGED = "recipe_changed"
    RUN_UNFINISHED = "run_unfinished"

    CAUSE_MISSING = "cause_missing"
    PARQUET_MISSING = "parquet_missing"
    PARQUET_UNREADABLE = "parquet_unreadable"
    PARQUET_ALTERED = "parquet_altered"
    PARQUET_ROWS = "parquet_rows"
    RECEIPT_UNUSABLE = "receipt_unusable"
    COLLECTION_MISSING = "collection_missing"
    POINTS_MISSING = "points_missing"
    POINTS_HIDDEN = "points_hidden"
    ANCHOR_MISSING = "anchor_missing"
    ANCHOR_DIFFERS = "anchor_differs"
    KEPT_INCOMPLETE = "kept_incomplete"
    PAYLOAD_DIFFERS = "payload_differs"
    VECTOR_DIFFERS = "vector_differs"
    POINTS_SUPERSEDED = "points_superseded"
    POINTS_UNACCOUNTED = "points_unaccounted"
    POINTS_OF_NO_OBJECT = "points_of_no_object"
    POINTS_UNIDENTIFIED = "points_unidentified"


@dataclass(frozen=True, slots=True)
class Meaning:
    """The kind of a finding, what repairs it, and a sentence for a person."""

    kind: Kind
    repair: Repair
    says: str


_S, _F = Kind.STALE, Kind.FAULT
MEANINGS: Mapping[Finding, Meaning] = {
    Finding.OBJECT_NEW: Meaning(_S, Repair.RUN, "in the bucket, and never indexed"),
    Finding.OBJECT_CHANGED: Meaning(_S, Repair.RUN, "changed in the bucket since it was indexed"),
    Finding.OBJECT_GONE: Meaning(_S, Repair.RUN, "indexed, and no longer listed in the bucket"),
    Finding.RECIPE_CHANGED: Meaning(_S, Repair.RUN, "indexed by other settings than these"),
    Finding.RUN_UNFINISHED: Meaning(
        _S, Repair.RUN, "a run stopped before its end; what it touched is not judged"
    ),
    Finding.CAUSE_MISSING: Meaning(_F, Repair.RUN, "not indexed, and the state does not say why"),
    Finding.PARQUET_MISSING: Meaning(_F, Repair.RUN, "the file of its embeddings is gone"),
    Finding.PARQUET_UNREADABLE: Meaning(_F, Repair.RUN, "the file of its embeddings is broken"),
    Finding.PARQUET_ALTERED: Meaning(
        _F, Repair.RUN, "the file of its embeddings is not the one that was committed"
    ),
    Finding.PARQUET_ROWS: Meaning(_F, Repair.RUN, "Parquet has other segments than the state says"),
    Finding.RECEIPT_UNUSABLE: Meaning(
        _F, Repair.RUN, "no receipt proves the file of its embeddings"
    ),
    Finding.COLLECTION_MISSING: Meaning(_F, Repair.RELOAD, "there is no such collection"),
    Finding.POINTS_MISSING: Meaning(_F, Repair.RELOAD, "segments in Parquet, not in Qdrant"),
    Finding.POINTS_HIDDEN: Meaning(_F, Repair.RELOAD, "segments in Qdrant that are not live"),
    Finding.ANCHOR_MISSING: Meaning(_F, Repair.RELOAD, "the asset has no anchor point"),
    Finding.ANCHOR_DIFFERS: Meaning(
        _F, Repair.RELOAD, "the anchor names another generation or another number of segments"
    ),
    Finding.KEPT_INCOMPLETE: Meaning(
        _F, Repair.RELOAD, "the older content of an object that failed is not whole"
    ),
    Finding.PAYLOAD_DIFFERS: Meaning(_F, Repair.RELOAD, "the payload is not that of Parquet"),
    Finding.VECTOR_DIFFERS: Meaning(_F, Repair.RELOAD, "a vector is not that of Parquet"),
    Finding.POINTS_SUPERSEDED: Meaning(
        _F, Repair.DELETE, "points of a generation that is not live"
    ),
    Finding.POINTS_UNACCOUNTED: Meaning(
        _F, Repair.DELETE, "points of the live generation that Parquet does not have"
    ),
    Finding.POINTS_OF_NO_OBJECT: Meaning(
        _F, Repair.DELETE, "points of an object that the state does not know"
    ),
    Finding.POINTS_UNIDENTIFIED: Meaning(
        _F, Repair.DELETE, "points that do not say which asset they belong to"
    ),
}


class Verdict(StrEnum):
    """The outcome of verify, which decides the exit status."""

    AGREE = "agree"
    STALE = "stale"
    DISAGREE = "disagree"
    BUSY = "busy"


VERDICTS: Mapping[Verdict, str] = {
    Verdict.AGREE: "Bucket, state, Parquet and Qdrant agree.",
    Verdict.STALE: "The index is right, and stale: the next run has something to do.",
    Verdict.DISAGREE: "The index is not what its last run says it is.",
    Verdict.BUSY: "A run is at work: nothing can be judged now.",
}


@dataclass(frozen=True, slots=True)
class Example:
    """One object, or one point, of a finding. `key` is empty where none is known."""

    key: str
    points: int
    detail: str


@dataclass(frozen=True, slots=True)
class FindingRow:
    """All that one name was found of. `points` is 0 where points are not what it counts."""

    name: Finding
    objects: int
    points: int
    examples: tuple[Example, ...] = ()

    @property
    def meaning(self) -> Meaning:
        return MEANINGS[self.name]

    def to_json(self) -> dict[str, Any]:
        kind, repair, says = self.meaning.kind, self.meaning.repair, self.meaning.says
        return {**codec.to_json(self), "kind": kind, "repair": repair, "says": says}


@dataclass(frozen=True, slots=True)
class IndexCounts:
    """What was read of each party; `points_of_others` belong to another bucket or prefix."""

    listed: int = 0
    not_selected: Mapping[str, int] = field(default_factory=dict)
    objects_by_cause: Mapping[str, int] = field(default_factory=dict)
    segments: int = 0
    parquet_files: int = 0
    parquet_bytes: int = 0
    parquet_segments: int = 0
    points: int = 0
    live_segments: int = 0
    anchors: int = 0
    points_of_others: int = 0
    kept_objects: int = 0
    sampled_segments: int = 0
    precisions: Mapping[str, str] = field(default_factory=dict)

    @property
    def undetected_share(self) -> float:
        """With 95 % confidence no larger share of the segments differs, where none of the sample
        does (the rule of three); 0 where all were compared."""
        if self.sampled_segments >= self.parquet_segments:
            return 0.0
        return min(1.0, 3 / self.sampled_segments) if self.sampled_segments else 1.0


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What one audit of the four parties found. `writer` names the run that was at work; `recall`
    is what searches find of the index as it is served, which the verdict does not depend on."""

    bucket: str
    prefix: str
    state: str
    collection: str
    sequence: int
    run_id: str
    started_at: str
    wall_seconds: float
    seed: int
    counts: IndexCounts
    findings: tuple[FindingRow, ...] = ()
    writer: str | None = None
    seconds_by_phase: Mapping[str, float] = field(default_factory=dict)
    recall: ServedRecall | None = None

    @property
    def verdict(self) -> Verdict:
        if self.writer is not None:
            return Verdict.BUSY
        kinds = {row.meaning.kind for row in self.findings}
        if Kind.FAULT in kinds:
            return Verdict.DISAGREE
        return Verdict.STALE if kinds else Verdict.AGREE

    def to_json(self) -> dict[str, Any]:
        row = {"verdict": self.verdict} | codec.to_json(self)
        row["counts"]["undetected_share"] = self.counts.undetected_share
        row["findings"] = [finding.to_json() for finding in self.findings]
        return row
