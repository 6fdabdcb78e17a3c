"""Makes the plan of a run: the listing beside the state, cut into shards; only reads.

What an earlier run committed before it was stopped is not embedded again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from encoders.card import EncoderCard
from pipeline.errors import PlanRefused, SettingsError
from pipeline.estimate.work import Work, WorkByType, type_by_suffix
from pipeline.ids import Recipe
from pipeline.models.spaces import cards_of
from pipeline.planning.diff import PlanSummary, RetryPolicy, cut_into_shards, plan_rows
from pipeline.planning.file import write_plan
from pipeline.planning.recovery import StoppedRuns, committed_assets, outcomes_in
from pipeline.progress import ProgressReporter
from pipeline.records import Action, MediaType, ObjectOutcome, PlanRow, ShardReceipt
from pipeline.run_options import RunOptions
from pipeline.settings import Settings, SourceSettings
from pipeline.source.select import as_far_as_listed, select
from pipeline.source.source import open_source
from pipeline.state.objects import CurrentState, read_state
from pipeline.state.receipts import ReceiptPlace, receipt_at
from pipeline.state.store import open_store


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What there is to do. `taken` are receipts of runs that were stopped before their state, and
    which of their outcomes are taken over, `recovered_objects` in all: they are not embedded again.
    More denied objects than `most_denied` stop the run; None, none do. `stopped_objects` counts the
    objects of which a stopped run committed something: it may be in the index, hidden or live.
    `unlisted` are the assets of them that neither the bucket nor the state has. `work` is what is
    to be embedded, by the types that the names suggest.
    """

    path: Path
    state: CurrentState
    cards: tuple[EncoderCard, ...]
    recipe: Recipe
    summary: PlanSummary
    objects_by_shard: Mapping[int, int]
    taken: Mapping[ReceiptPlace, bytes]
    recovered_objects: int = 0
    most_denied: int | None = None
    stopped_objects: int = 0
    unlisted: tuple[str, ...] = ()
    bytes_to_embed: int = 0
    work: WorkByType = field(default_factory=dict)
    sidecars_to_read: int = 0

    @property
    def card(self) -> EncoderCard:
        """Of the first encoder, by whose vectors a search goes unless told otherwise."""
        return self.cards[0]

    @property
    def to_embed(self) -> int:
        return sum(self.objects_by_shard.values())

    def recovered(self) -> Iterator[ShardReceipt]:
        """The receipts of which something is taken over, read one by one. Raises StateCorrupt."""
        for place in self.taken:
            yield receipt_at(self.state.store, place.name)

    def taken_over(self, receipt: ShardReceipt) -> tuple[ObjectOutcome, ...]:
        """What is taken over of a stopped run's receipt; an object from one, though several may
        have it."""
        place = ReceiptPlace(receipt.sequence, receipt.run_id, receipt.shard)
        return outcomes_in(receipt, self.taken.get(place))

    def leftovers(self, before_token: int) -> Iterator[str]:
        """The assets that runs before this one, and after the state, have committed; some twice."""
        if not self.stopped_objects:
            return iter(())
        return committed_assets(self.state, before_token)

    @property
    def nothing_to_do(self) -> bool:
        return self.summary.nothing_to_do and not self.stopped_objects


def check_source_and_encoders(settings: Settings) -> tuple[EncoderCard, ...]:
    """A bucket or a folder is named, and the encoders are there; no model is loaded. The encoders'
    cards, the first one's first. Raises SettingsError."""
    if not settings.source.name:
        raise SettingsError(
            "Setting source.bucket: no bucket is named.",
            remedy="Give --bucket NAME or --source FOLDER, or set it in sensedex.toml (`sensedex "
            "init` writes one).",
        )
    return cards_of(settings)


def check_state_is_of(source: SourceSettings, state: CurrentState) -> None:
    """Raises SettingsError where the state has objects, and is of none of the source's buckets:
    all of them would be taken for gone."""
    if source.manifest or state.bucket.startswith("manifest "):
        return  # its objects may be of any bucket
    same = state.bucket == source.title
    same = same or not {*state.bucket.split(", ")}.isdisjoint(source.buckets)
    if state.bucket and not same and state.totals.get("objects"):
        raise SettingsError(
            f"The state in {state.store.location} is that of bucket {state.bucket!r}, "
            f"not of {source.title!r}.",
            remedy="Set source.bucket, or state.location to a place of this bucket's own.",
        )


_SAMPLING_OF_RECIPES = {
    "exact": "midpoints/",
    "keyframes": "keyframes, midpoints/",
    "keyframes_only": "keyframes alone/",
}


def recipe_of(settings: Settings, cards: Sequence[EncoderCard]) -> Recipe:
    """Everything that, when it changes, means that every object has to be embedded again."""
    decode = settings.decode
    return Recipe(
        tuple(card.fingerprint() for card in cards),
        f"window/{decode.window_ms}",
        _SAMPLING_OF_RECIPES[decode.sampling] + str(decode.frames_per_window),
        settings.tags.model_dump_json(by_alias=True) if settings.tags.labels else "",
    )


def plan(
    settings: Settings, options: RunOptions, path: Path, reporter: ProgressReporter
) -> RunPlan:
    """List, compare with the state, and write the plan to a local file. Only reads elsewhere.

    Raises SettingsError, BucketNotFound, CredentialsMissing, PlanRefused, ListingEndedEarly and
    StoreUnavailable.
    """
    reporter.phase("listing and planning")
    cards = check_source_and_encoders(settings)
    recipe = recipe_of(settings, cards)
    state = read_state(open_store(settings.state.location, settings.source))
    source = settings.source
    check_state_is_of(source, state)
    summary = PlanSummary()
    place = open_source(source)
    place.check()
    stopped = StoppedRuns(state, state.bucket or source.name, place.is_gone)
    listed = place.listed()
    if options.allow_short_listing:
        listed = as_far_as_listed(listed, summary.selection)
    rows = plan_rows(
        select(listed, source, summary.selection),
        state.rows(),
        recipe,
        RetryPolicy(
            options.retry_failed,
            frozenset(options.retry_keys),
            frozenset(source.storage_classes),
            stopped.endings,
        ),
        summary,
        bucket=state.bucket or source.name,
        is_gone=place.is_gone,
    )
    objects_by_shard: Counter[int] = Counter()
    bytes_to_embed = sidecars = 0
    waiting_since = ""
    work: dict[MediaType, Work] = {}

    def counted() -> Iterator[PlanRow]:
        nonlocal bytes_to_embed, sidecars, waiting_since
        cut = cut_into_shards(
            (row for row in rows if not stopped.taken_over(row)),
            settings.state.shard_objects,
            settings.state.shard_mb * 2**20,
        )
        for row in cut:
            if row.shard >= 0:
                objects_by_shard[row.shard] += 1
                bytes_to_embed += row.object.size_bytes
                sidecars += len(row.sidecars)
                kind = type_by_suffix(row.object.key)
                work[kind] = work.get(kind, Work()).plus(row.object.size_bytes)
                if row.action is not Action.RETRY:
                    put_at = row.object.last_modified
                    waiting_since = min(waiting_since or put_at, put_at)
            yield row

    write_plan(path, counted(), summary)
    summary.notes = place.notes()
    stopped.finish(summary)
    check_removals(
        summary,
        settings.state.max_removed_share,
        stopped.unlisted,
        stopped.unknown,
        allowed=options.allow_removals,
    )
    reporter.set_totals(sum(objects_by_shard.values()), len(objects_by_shard), waiting_since)
    reporter.record_phase("list and plan")
    most_denied = None
    if not options.allow_denied:
        listed_media = sum(summary.objects.values()) - summary.objects[Action.GONE]
        most_denied = int(settings.state.max_denied_share * listed_media)
    return RunPlan(
        path,
        state,
        cards,
        recipe,
        summary,
        objects_by_shard,
        stopped.taken(),
        stopped.taken_objects,
        most_denied,
        stopped.objects,
        tuple(stopped.unlisted),
        bytes_to_embed,
        work,
        sidecars,
    )


def check_removals(
    summary: PlanSummary,
    max_share: float,
    unlisted: Collection[str] = (),
    unknown: int = 0,
    *,
    allowed: bool = False,
) -> None:
    """Raises PlanRefused where a larger share than `max_share` of what is in the index would go: of
    what the state knows, and of the `unknown` objects that a stopped run brought in beside, of
    which those `unlisted` are no longer there."""
    gone = summary.objects[Action.GONE] + len(unlisted)
    known = sum(summary.objects.values()) - summary.objects[Action.NEW] + unknown
    if not allowed and gone > max_share * known:
        raise PlanRefused(
            f"The plan would remove {gone} of {known} known objects ({gone / known:.0%}); "
            f"state.max_removed_share allows {max_share:.0%}.",
            remedy="Check what source names and its filters; if it is meant so, run "
            "with --allow-removals.",
        )
