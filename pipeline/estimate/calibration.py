"""Calibrations: made of what a run's objects took, and kept in the state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from pipeline import codec
from pipeline.errors import StateCorrupt
from pipeline.estimate.records import Calibration, TypeCost
from pipeline.estimate.work import CostSample, by_type
from pipeline.state.store import AlreadyThere, Store, VersionConflict

CALIBRATION = "calibration.json"


def type_cost(samples: Iterable[CostSample], encode_s: float, wall_s: float) -> TypeCost:
    """Of objects that were all embedded within `wall_s`, their encoder busy for `encode_s`.

    Raises ValueError where nothing was embedded.
    """
    some = tuple(samples)
    windows = sum(sample.windows for sample in some)
    work_s = sum(sample.decode_s for sample in some) + encode_s
    if not windows or wall_s <= 0 or work_s <= 0:
        raise ValueError("nothing was embedded")
    return TypeCost(some, encode_s / windows, work_s / wall_s)


def calibration_of_run(
    source: str,
    recipe: str,
    samples: Iterable[CostSample],
    *,
    decode_s: float,
    encode_s: float,
    windows: int,
    wall_s: float,
    start_s: float,
    cores: int,
    gpus: int,
) -> Calibration | None:
    """Of a whole run, in which types came mixed: the encoder's time is not known of each, so that
    all have the same. `samples` are of some objects, the sums of all. None where nothing was
    embedded."""
    if not windows or wall_s <= 0 or decode_s + encode_s <= 0:
        return None
    of_all = encode_s / windows, (decode_s + encode_s) / wall_s
    types = {str(kind): TypeCost(some, *of_all) for kind, some in by_type(samples).items()}
    return Calibration(source, recipe, cores, gpus, max(0.0, start_s), types)


def keep_calibration(store: Store, calibration: Calibration) -> None:
    """Put it in the place of the one before. Where another process is first, that one stays."""
    data = codec.to_bytes(calibration)
    found = store.read(CALIBRATION)
    with suppress(AlreadyThere, VersionConflict):
        if found is None:
            store.create(CALIBRATION, data)
        else:
            store.replace(CALIBRATION, data, found.version)


def read_calibration(store: Store, recipe: str) -> Calibration | None:
    """The one that is kept, if it holds for the recipe. Raises StateCorrupt."""
    found = store.read(CALIBRATION)
    if found is None:
        return None
    try:
        kept = codec.from_bytes(Calibration, found.data)
    except ValueError as error:
        raise StateCorrupt(
            f"{CALIBRATION} in {store.location} is not a calibration: {error}.",
            remedy=f"Remove {CALIBRATION}: `sensedex plan --probe` measures anew.",
        ) from error
    return kept if kept.recipe == recipe else None


def merged(calibration: Calibration, before: Calibration | None) -> Calibration:
    """With the types that only the calibration before has: a run of ten new pictures has nothing to
    say of films."""
    if before is None or before.recipe != calibration.recipe:
        return calibration
    types: Mapping[str, TypeCost] = {**before.types, **calibration.types}
    return Calibration(
        calibration.source,
        calibration.recipe,
        calibration.cores,
        calibration.gpus,
        calibration.start_s,
        types,
    )
