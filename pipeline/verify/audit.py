"""One audit of the index: the four parties are read, one after the other, and compared. Only reads.

It holds no lease: if a run is at work when it begins or ends, it says so and judges nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pipeline.index.recall import Effort, measure_recall
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.planning.plan import check_source_and_encoders, check_state_is_of, recipe_of
from pipeline.progress import ProgressReporter
from pipeline.settings import Settings
from pipeline.state.lease import EVENTS_LEASE, LEASE, Lease, is_free, read_lease
from pipeline.state.objects import CurrentState, read_state
from pipeline.state.store import open_store
from pipeline.verify.compare import compare, payload_reader
from pipeline.verify.findings import Finding, IndexCounts, VerifyReport
from pipeline.verify.join_db import JoinDatabase, open_join_database
from pipeline.verify.readers import (
    ParquetReader,
    read_bucket_and_state,
    read_points,
    read_unfinished_runs,
)
from pipeline.verify.sample import Sampler

SAMPLE_SEGMENTS = 10_000
RECALL_QUERIES = 100
RECALL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """How much is compared by payload and vector: about `sample` segments, chosen by `seed` (by
    chance where there is none); `examples` are shown of each finding. A server is asked with
    `recall_queries` stored vectors of each name, at most for `RECALL_SECONDS`."""

    sample: int = SAMPLE_SEGMENTS
    seed: int | None = None
    examples: int = 10
    recall_queries: int = RECALL_QUERIES

    def __post_init__(self) -> None:
        if self.sample < 0 or self.examples < 0 or self.recall_queries < 0:
            raise ValueError("a sample, its examples and queries are counted from 0")


def verify(settings: Settings, options: AuditOptions, reporter: ProgressReporter) -> VerifyReport:
    """Audit, and write nothing.

    Raises SettingsError, StoreUnavailable, IndexUnavailable, StateCorrupt, IndexMismatch.
    """
    store = open_store(settings.state.location, settings.source)
    before = [read_lease(store, file) for file in (LEASE, EVENTS_LEASE)]
    for lease in before:
        if lease is not None and not is_free(lease):
            begun = _begin(settings, read_state(store), options, reporter)
            return replace(begun, writer=_named(lease))
    with opened_if_there(settings) as index, open_join_database() as joined:
        report = audit(joined, settings, options, reporter, index)
    for was, file in zip(before, (LEASE, EVENTS_LEASE), strict=True):
        after = read_lease(store, file)
        if after is not None and (was is None or not after.same_as(was)):
            return replace(report, writer=_named(after))
    return with_recall(report, settings, options, reporter)


def with_recall(
    report: VerifyReport, settings: Settings, options: AuditOptions, reporter: ProgressReporter
) -> VerifyReport:
    """The report, with what a server's index finds; a folder is exact, and is not asked."""
    if options.recall_queries == 0:
        return report
    reporter.phase("measuring what searches find")
    effort = Effort(options.recall_queries, RECALL_SECONDS)
    recall = measure_recall(settings.index, effort, report.seed)
    reporter.record_phase("recall")
    return replace(
        report,
        recall=recall,
        wall_seconds=round(reporter.wall_seconds, 3),
        seconds_by_phase={name: round(seconds, 3) for name, seconds in reporter.seconds.items()},
    )


def audit(
    joined: JoinDatabase,
    settings: Settings,
    options: AuditOptions,
    reporter: ProgressReporter,
    index: VectorIndex | None,
) -> VerifyReport:
    """Fill an empty database and report what is in it. `index` is None where there is none yet."""
    recipe = recipe_of(settings, check_source_and_encoders(settings))
    state = read_state(open_store(settings.state.location, settings.source))
    report = _begin(settings, state, options, reporter)
    source = settings.source
    check_state_is_of(source, state)
    reporter.phase("listing the bucket beside the state")
    selected = read_bucket_and_state(joined, source, state, recipe)
    read_unfinished_runs(joined, state)
    reporter.record_phase("bucket and state")
    points = index.points() if index is not None and index.exists() else None
    count = 0
    sampler = None
    if points is None:
        if state.totals.get("segments"):
            detail = f"collection {settings.index.collection}"
            joined.find(Finding.COLLECTION_MISSING, detail=detail)
        joined.index("found")
    else:
        count = read_points(joined, points, reporter)
        share = options.sample / max(1, state.totals.get("segments", 0))
        left_out = frozenset(settings.index.payload_exclude)
        sampler = Sampler(joined, points, share=share, seed=report.seed, left_out=left_out)
    reporter.record_phase("Qdrant")
    reader = ParquetReader(joined, state.store, sampler)
    reader.read(reporter)
    reporter.record_phase("Parquet and sample")
    reporter.phase("comparing")
    others = compare(
        joined,
        (lambda _: {}) if points is None else payload_reader(points),
        source,
    )
    reporter.record_phase("compare")
    counts = IndexCounts(
        listed=selected.listed,
        not_selected=dict(selected.not_selected),
        objects_by_cause=_causes(joined),
        segments=joined.ask_one("select coalesce(sum(segments), 0) from objects"),
        parquet_files=reader.files,
        parquet_bytes=reader.bytes,
        parquet_segments=reader.segments,
        points=count,
        live_segments=joined.ask_one("select count(*) from found where kind = 'segment' and live"),
        anchors=joined.ask_one("select count(*) from found where kind = 'anchor'"),
        points_of_others=others,
        kept_objects=joined.ask_one("select count(*) from kept"),
        sampled_segments=sampler.segments if sampler else 0,
        precisions=points.datatypes() if points else {},
    )
    return replace(
        report,
        counts=counts,
        findings=joined.rows(options.examples),
        wall_seconds=round(reporter.wall_seconds, 3),
        seconds_by_phase={name: round(seconds, 3) for name, seconds in reporter.seconds.items()},
    )


@contextmanager
def opened_if_there(settings: Settings) -> Iterator[VectorIndex | None]:
    """The index; None where its folder is not there, which opening would make."""
    if settings.index.url is None and not settings.index.path.exists():
        yield None
    else:
        with open_index(settings.index) as index:
            yield index


def _named(lease: Lease) -> str:
    return f"run {lease.run_id} on {lease.holder}"


def _begin(
    settings: Settings, state: CurrentState, options: AuditOptions, reporter: ProgressReporter
) -> VerifyReport:
    return VerifyReport(
        bucket=settings.source.title,
        prefix=settings.source.prefix,
        state=state.store.location,
        collection=settings.index.collection,
        sequence=state.sequence,
        run_id=state.run_id,
        started_at=reporter.started_at,
        wall_seconds=0.0,
        seed=secrets.randbits(32) if options.seed is None else options.seed,
        counts=IndexCounts(),
    )


def _causes(joined: JoinDatabase) -> dict[str, int]:
    """Objects by how they ended, with the code of what did not get in."""
    rows = joined.ask(
        "select status, cause, count(*) from objects group by status, cause order by 3 desc"
    )
    return {f"{status}: {cause}" if cause else status: count for status, cause, count in rows}
