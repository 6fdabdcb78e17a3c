"""Estimates media-hours, windows, hours and money of a plan from samples: ranges, not numbers.

Pure. Of each media type the total is a ratio (per object for pictures, per byte for what has a
duration) times what the plan has of it. How far it may be off comes from drawing the samples anew
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 6), from how much single
objects differ, and from a share by which the same work on the same machine differs from hour to
hour (`MACHINE_SPREAD`). A type of which there is no sample is taken as `UNSAMPLED` says, within a
wide range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.estimate.records import Calibration, Estimate, Range, TypeCost
from pipeline.estimate.work import CostSample, Work, WorkByType
from pipeline.records import MediaType
from pipeline.settings_prices import PriceSettings

DRAWS = 2000
LOW, HIGH = 5.0, 95.0  # percent: nine of ten lie between
MACHINE_SPREAD = 0.2  # of the logarithm: a fifth more or less
GUESS_SPREAD = 0.8
FEW_SPREAD = 0.5  # of one sample; of n it is this by the root of n
HOUR_S = 3600.0
FLOAT_BYTES = 4
WINDOWS = 1  # the place of the windows among a sample's figures

UNSAMPLED: Mapping[MediaType, CostSample] = {
    # docs/scale.md has what was measured; bit rates are common ones: 128 kbit/s, 4 Mbit/s.
    MediaType.IMAGE: CostSample(MediaType.IMAGE, 200_000, 0, 1, 0.008),
    MediaType.AUDIO: CostSample(MediaType.AUDIO, 960_000, 60_000, 30, 0.2),
    MediaType.VIDEO: CostSample(MediaType.VIDEO, 30_000_000, 60_000, 30, 5.3),
}


@dataclass(frozen=True, slots=True)
class Machines:
    """Those that the run will have: None, those of the calibration."""

    cores: int | None = None
    gpus: int | None = None


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Draws of a type's totals, (DRAWS,) each."""

    media_ms: NDArray[np.float64]
    windows: NDArray[np.float64]
    decode_s: NDArray[np.float64]


def estimate(
    work: WorkByType,
    calibration: Calibration,
    prices: PriceSettings,
    *,
    sidecars: int = 0,
    values_per_window: int,
    machines: Machines | None = None,
) -> Estimate:
    """What embedding `work` takes. `values_per_window` is the sum of the dimensions of a window's
    vectors; `sidecars` are objects that are fetched beside."""
    random = np.random.default_rng(0)
    wanted = machines or Machines()
    cores = calibration.cores if wanted.cores is None else wanted.cores
    gpus = calibration.gpus if wanted.gpus is None else wanted.gpus
    media_ms, windows, wall_s = (np.zeros(DRAWS) for _ in range(3))
    for kind in sorted(work):
        if not work[kind].objects:
            continue
        cost = calibration.types.get(str(kind))
        drawn = _drawn(kind, work[kind], () if cost is None else cost.samples, random)
        cost = cost or _mean(calibration)
        encode_s = drawn.windows * cost.encode_s_per_window
        media_ms += drawn.media_ms
        windows += drawn.windows
        wall_s += _wall_s(drawn.decode_s, encode_s, cost, calibration, cores, gpus)
    wall_s = wall_s * random.lognormal(0.0, MACHINE_SPREAD, DRAWS) + calibration.start_s
    hours = _range(wall_s / HOUR_S)
    objects = sum(one.objects for one in work.values())
    stored = _range(windows).times(values_per_window * FLOAT_BYTES)
    requests = objects + sidecars
    return Estimate(
        calibrated_by=calibration.source,
        objects=objects,
        size_bytes=sum(one.size_bytes for one in work.values()),
        requests=requests,
        media_hours=_range(media_ms / 1000 / HOUR_S),
        windows=_range(windows),
        hours=hours,
        cpu_hours=hours.times(cores),
        gpu_hours=hours.times(gpus),
        stored_bytes=stored,
        money=money(hours, cores, gpus, requests, stored, prices),
        currency=prices.currency,
    )


def money(
    hours: Range, cores: int, gpus: int, requests: int, stored_bytes: Range, prices: PriceSettings
) -> Range | None:
    """What machines, requests and a month's storage of the vectors cost; None where no price is
    set. Machines are paid for while they are there."""
    if not prices.known:
        return None
    per_hour = cores * prices.cpu_hour + gpus * prices.gpu_hour
    stored = stored_bytes.times(prices.stored_gb_month / 1e9)
    machines = hours.times(per_hour)
    gets = requests / 1000 * prices.get_per_1000
    return Range(
        machines.low + stored.low + gets,
        machines.likely + stored.likely + gets,
        machines.high + stored.high + gets,
    )


def _wall_s(
    decode_s: NDArray[np.float64],
    encode_s: NDArray[np.float64],
    cost: TypeCost,
    calibration: Calibration,
    cores: int,
    gpus: int,
) -> NDArray[np.float64]:
    """On the machines of the calibration, work goes on at once as it did there. On others the
    slower of decoding, on all cores, and encoding counts."""
    if (cores, gpus) == (calibration.cores, calibration.gpus):
        return (decode_s + encode_s) / cost.work_per_second
    encoders = gpus or max(1, cores // max(1, calibration.cores))
    if not gpus:  # both on the same cores: as there, times how many more there are
        return (decode_s + encode_s) / (cost.work_per_second * cores / calibration.cores)
    return np.maximum(decode_s / max(1, cores), encode_s / encoders)


def _drawn(
    kind: MediaType, work: Work, samples: Sequence[CostSample], random: np.random.Generator
) -> _Drawn:
    if not samples:
        guess = UNSAMPLED[kind]
        size = work.objects if kind is MediaType.IMAGE else work.size_bytes
        unit = 1 if kind is MediaType.IMAGE else guess.size_bytes
        totals = [
            size / unit * figure * random.lognormal(0.0, GUESS_SPREAD, DRAWS)
            for figure in (guess.media_ms, guess.windows, guess.decode_s)
        ]
        if kind is MediaType.IMAGE:
            totals[1] = np.full(DRAWS, float(work.objects))
        return _Drawn(*totals)
    of = np.array([(s.size_bytes, s.media_ms, s.windows, s.decode_s) for s in samples], np.float64)
    sizes = np.ones(len(of)) if kind is MediaType.IMAGE else np.maximum(of[:, 0], 1.0)
    total = work.objects if kind is MediaType.IMAGE else work.size_bytes
    places = random.integers(0, len(of), (DRAWS, len(of)))
    drawn_sizes = sizes[places].sum(axis=1)
    # One factor for all three: a film that is longer than its bytes say has more windows, too.
    few = random.lognormal(0.0, FEW_SPREAD / np.sqrt(len(of)), DRAWS)
    totals = []
    for number, column in enumerate(of[:, 1:].T):
        ratio = column.sum() / sizes.sum()
        apart = np.sqrt(np.mean((column - ratio * sizes) ** 2) * work.objects)
        drawn = column[places].sum(axis=1) / drawn_sizes * total
        drawn = np.maximum(0.0, drawn + random.normal(0.0, 1.0, DRAWS) * apart)
        one_each = kind is MediaType.IMAGE and number == WINDOWS
        totals.append(drawn if one_each else drawn * few)
    return _Drawn(*totals)


def _mean(calibration: Calibration) -> TypeCost:
    """For a type that was not met: as the others, on the average."""
    costs = list(calibration.types.values())
    if not costs:
        return TypeCost((), 0.0, 1.0)
    return TypeCost(
        (),
        sum(cost.encode_s_per_window for cost in costs) / len(costs),
        sum(cost.work_per_second for cost in costs) / len(costs),
    )


def _range(draws: NDArray[np.float64]) -> Range:
    low, likely, high = np.percentile(draws, [LOW, 50.0, HIGH])
    return Range(float(low), float(likely), float(high))
