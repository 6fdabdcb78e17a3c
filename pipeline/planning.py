"""What a run sets out to do: the listing beside the state, cut into shards; only reads.

What an earlier run committed before it was stopped is found here, and not embedded again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from encoders.card import EncoderCard
from pipeline import s3
from pipeline.errors import PlanRefused, SettingsError
from pipeline.ids import Recipe
from pipeline.listing import as_far_as_listed, select
from pipeline.plan import (
    Ending,
    PlanSummary,
    RetryPolicy,
    cut_into_shards,
    plan_rows,
    write_plan,
)
from pipeline.progress import Watch
from pipeline.receipts import open_receipts
from pipeline.records import Action, ObjectOutcome, PlanRow, ShardReceipt, Status
from pipeline.s3_answers import first_contact
from pipeline.settings import Settings
from pipeline.spaces import cards_of
from pipeline.state import CurrentState, read_state
from pipeline.store import open_store


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a person may ask of one run, beside the settings."""

    retry_failed: bool = False
    retry_keys: tuple[str, ...] = ()
    allow_removals: bool = False
    allow_denied: bool = False
    allow_short_listing: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """What there is to do. `recovered` are receipts of runs that were stopped before their state:
    what is `taken_over` (by asset: the receipt's sequence and shard) is not embedded again.
    More denied objects than `most_denied` stop the run; None, none do. `leftovers` are the assets
    of which a stopped run committed something: it may be in the index, hidden or live. `unlisted`
    are those of them that neither the bucket nor the state has.
    """

    path: Path
    state: CurrentState
    cards: tuple[EncoderCard, ...]
    recipe: Recipe
    summary: PlanSummary
    objects_by_shard: Mapping[int, int]
    recovered: tuple[ShardReceipt, ...]
    taken_over: Mapping[str, tuple[int, int]]
    most_denied: int | None = None
    leftovers: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    bytes_to_embed: int = 0

    @property
    def card(self) -> EncoderCard:
        """Of the first encoder, by whose vectors a search goes unless told otherwise."""
        return self.cards[0]

    @property
    def to_embed(self) -> int:
        return sum(self.objects_by_shard.values())

    def takes_over(self, receipt: ShardReceipt, outcome: ObjectOutcome) -> bool:
        """Whether this is the receipt from which the object is taken over: several may have it."""
        return self.taken_over.get(outcome.asset_id) == (receipt.sequence, receipt.shard)

    @property
    def nothing_to_do(self) -> bool:
        return self.summary.nothing_to_do and not self.leftovers


def check_source_and_encoders(settings: Settings) -> tuple[EncoderCard, ...]:
    """A bucket is named, and the encoders are there; no model is loaded. The encoders' cards, the
    first one's first. Raises SettingsError."""
    if not settings.source.bucket:
        raise SettingsError(
            "Setting source.bucket: no bucket is named.",
            remedy="Give --bucket NAME, or set it in sensedex.toml (`sensedex init` writes one).",
        )
    return cards_of(settings)


def recipe_of(settings: Settings, cards: Sequence[EncoderCard]) -> Recipe:
    """Everything that, when it changes, means that every object has to be embedded again."""
    decode = settings.decode
    return Recipe(
        tuple(card.fingerprint() for card in cards),
        f"window/{decode.window_ms}",
        f"midpoints/{decode.frames_per_window}",
        settings.tags.model_dump_json() if settings.tags.labels else "",
    )


def plan(settings: Settings, options: RunOptions, path: Path, watch: Watch) -> Planned:
    """List, compare with the state, and write the plan to a local file. Only reads elsewhere.

    Raises SettingsError, BucketNotFound, CredentialsMissing, PlanRefused, ListingEndedEarly and
    StoreUnavailable.
    """
    watch.phase("listing and planning")
    cards = check_source_and_encoders(settings)
    recipe = recipe_of(settings, cards)
    state = read_state(open_store(settings.state.location, settings.source))
    recovered: dict[str, ShardReceipt] = {}
    candidates, committed = _recoverable(state)
    summary = PlanSummary()
    source = settings.source
    client = s3.make_client(source)
    first_contact(client, source.bucket)
    listed = s3.list_pages(client, source.bucket, source.prefix)
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
            committed,
        ),
        summary,
        bucket=source.bucket,
    )
    objects_by_shard: Counter[int] = Counter()
    bytes_to_embed = 0
    left = _Left(set(committed))

    def counted() -> Iterator[PlanRow]:
        nonlocal bytes_to_embed
        cut = cut_into_shards(
            (row for row in left.seen(rows) if not _is_recovered(row, candidates, recovered)),
            settings.state.shard_objects,
            settings.state.shard_mb * 2**20,
        )
        for row in cut:
            if row.shard >= 0:
                objects_by_shard[row.shard] += 1
                bytes_to_embed += row.object.size_bytes
            yield row

    write_plan(path, counted(), summary)
    left.check(summary)
    check_removals(
        summary,
        settings.state.max_removed_share,
        left.unlisted,
        left.unknown,
        allowed=options.allow_removals,
    )
    taken_over = {asset: (found.sequence, found.shard) for asset, found in recovered.items()}
    receipts = {place: recovered[asset] for asset, place in taken_over.items()}
    watch.expect(sum(objects_by_shard.values()), len(objects_by_shard))
    watch.lap("list and plan")
    most_denied = None
    if not options.allow_denied:
        listed_media = sum(summary.objects.values()) - summary.objects[Action.GONE]
        most_denied = int(settings.state.max_denied_share * listed_media)
    return Planned(
        path,
        state,
        cards,
        recipe,
        summary,
        objects_by_shard,
        tuple(receipts[place] for place in sorted(receipts)),
        taken_over,
        most_denied,
        tuple(committed),
        tuple(left.unlisted),
        bytes_to_embed,
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
            remedy="Check source.bucket, source.prefix and the filters; if it is meant so, run "
            "with --allow-removals.",
        )


class _Left:
    """What stopped runs have committed, as the plan passes by: what is `unlisted` so far, and how
    much of it all the state does not know."""

    def __init__(self, committed: set[str]) -> None:
        self.unlisted = committed
        self._new = 0

    @property
    def unknown(self) -> int:
        return self._new + len(self.unlisted)

    def seen(self, rows: Iterator[PlanRow]) -> Iterator[PlanRow]:
        for row in rows:
            if row.asset_id in self.unlisted:
                self.unlisted.remove(row.asset_id)
                self._new += row.action is Action.NEW
            yield row

    def check(self, summary: PlanSummary) -> None:
        """Raises PlanRefused: when this run has written its state, nobody looks after what stopped
        runs have left, and of what lies behind a listing's end it is not known what to do."""
        if summary.selection.ended_early and self.unlisted:
            raise PlanRefused(
                f"The listing ended early, and {len(self.unlisted)} of the objects that a stopped "
                "run has brought in are not in it.",
                remedy="Run once with a whole listing, without --allow-short-listing.",
            )


def _recoverable(
    state: CurrentState,
) -> tuple[dict[str, tuple[str, ShardReceipt]], dict[str, set[Ending]]]:
    """By asset, the generation that an unfinished run committed last, and the receipt it is in; and
    all that became of it in such runs."""
    found = {}
    committed: dict[str, set[Ending]] = {}
    for receipt in open_receipts(state.store, state.sequence):
        for outcome in receipt.outcomes:
            ending = (outcome.generation, outcome.status, outcome.segments)
            committed.setdefault(outcome.asset_id, set()).add(ending)
            # What may pass another time is tried again, not taken over; what was denied, too: the
            # run may have been stopped for it.
            passes = outcome.failure is not None and outcome.failure.retryable
            if not passes and outcome.status is not Status.DENIED:
                found[outcome.asset_id] = (outcome.generation, receipt)
    return found, committed


def _is_recovered(
    row: PlanRow,
    candidates: Mapping[str, tuple[str, ShardReceipt]],
    recovered: dict[str, ShardReceipt],
) -> bool:
    if row.action not in (Action.NEW, Action.CHANGED):
        return False
    candidate = candidates.get(row.asset_id)
    if candidate is None or candidate[0] != row.generation:
        return False
    recovered[row.asset_id] = candidate[1]
    return True
