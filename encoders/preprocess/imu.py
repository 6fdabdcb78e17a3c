"""Motion: readings of an accelerometer and a gyroscope to windows of 5 s, 6 x 2000.

Source: ImageBind's appendix B (Ego4D): 5-second clips of 6 channels, 2000 readings. Channels here:
accelerometer x, y, z in m/s^2 (gravity left in), then gyroscope x, y, z in rad/s, axes as the
device has them. The reference publishes no normalisation; none is done.

Files: `.csv` or `.parquet` with columns `time_s` (or `timestamp_ms`), `accel_x` ... `gyro_z`
(Ego4D's `accl_x` too); `.npy` of (T, 7): time in seconds, then the six.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.errors import InputError
from encoders.preprocess.arrays import read_array

WINDOW_S = 5.0
STEPS = 2000
CHANNELS = ("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z")
SHORTEST_S = 1.0
SUFFIXES = (".csv", ".parquet", ".npy")
TIMES = {"time_s": 1.0, "timestamp_ms": 1e-3, "canonical_timestamp_ms": 1e-3, "timestamp_ns": 1e-9}


@dataclass(frozen=True, slots=True)
class Motion:
    """Readings in order: `time_s` (T,), rising; `values` (6,T) float64."""

    time_s: NDArray[np.float64]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.shape != (6, len(self.time_s)) or len(self.time_s) < 2:
            raise InputError(
                f"Motion has {len(self.time_s)} times and {self.values.shape} values.",
                remedy="Give T times, two or more, and (6,T) values.",
            )
        if not (np.isfinite(self.values).all() and np.isfinite(self.time_s).all()):
            raise InputError("Motion has NaN or infinity.", remedy="Drop those readings.")
        if not (np.diff(self.time_s) > 0).all():
            raise InputError("Motion's times do not rise.", remedy="Sort and drop repeated ones.")


def read_imu(path: Path) -> Motion:
    """Raises InputError that names the file and the column."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        table = read_array(path, "motion").astype(np.float64)
        if table.shape[1] != 7:
            raise InputError(f"{path} is {table.shape}.", remedy="Give (T,7): time, then six.")
        return Motion(table[:, 0], table[:, 1:].T)
    columns = _csv(path) if suffix == ".csv" else _parquet(path)
    columns = {name.replace("accl_", "accel_"): values for name, values in columns.items()}
    clock = next((name for name in TIMES if name in columns), None)
    missing = [name for name in CHANNELS if name not in columns]
    if clock is None or missing:
        raise InputError(
            f"{path} lacks {', '.join(missing) or 'a time'}; it has {', '.join(columns)}.",
            remedy=f"Name the columns {', '.join(CHANNELS)} and one of {', '.join(TIMES)}.",
        )
    return Motion(columns[clock] * TIMES[clock], np.stack([columns[name] for name in CHANNELS]))


def imu_windows(motion: Motion) -> tuple[Tensor, list[tuple[int, int]]]:
    """(N,6,2000) float32 and each window's start and end in ms from the first reading.

    A step is the mean of its 2.5 ms where readings are closer than that, else lies on the line
    between its neighbours. The last window needs a second of readings and holds its last value.
    Raises InputError for less than a second in all.
    """
    times = motion.time_s - motion.time_s[0]
    total = float(times[-1])
    if total < SHORTEST_S:
        raise InputError(f"Motion lasts {total:.3f} s.", remedy=f"{SHORTEST_S} s is the least.")
    whole = int(total // WINDOW_S)
    count = whole + (total - whole * WINDOW_S >= SHORTEST_S)
    edges = np.linspace(0, count * WINDOW_S, count * STEPS + 1)
    if len(times) / total > STEPS / WINDOW_S:
        steps = np.stack([_means(times, row, edges) for row in motion.values])
    else:
        middles = (edges[1:] + edges[:-1]) / 2
        steps = np.stack([np.interp(middles, times, row) for row in motion.values])
    windows = steps.reshape(6, count, STEPS).transpose(1, 0, 2).astype(np.float32)
    ends = [min((i + 1) * WINDOW_S, total) for i in range(count)]
    spans = [(round(i * WINDOW_S * 1000), round(end * 1000)) for i, end in enumerate(ends)]
    return torch.from_numpy(windows), spans


def _means(
    times: NDArray[np.float64], row: NDArray[np.float64], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The mean over each step, by the integral of the line through the readings."""
    if edges[-1] > times[-1]:
        times, row = np.append(times, edges[-1]), np.append(row, row[-1])
    integral = np.concatenate([[0.0], np.cumsum((row[1:] + row[:-1]) / 2 * np.diff(times))])
    means: NDArray[np.float64] = np.diff(np.interp(edges, times, integral)) / np.diff(edges)
    return means


def _csv(path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
        header = [name.strip() for name in rows[0]]
        table = np.array([[float(cell) for cell in row] for row in rows[1:] if row])
        return dict(zip(header, table.T, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, IndexError) as error:
        raise InputError(
            f"{path} cannot be read as motion: {error}", remedy="Give a header, then numbers."
        ) from error


def _parquet(path: Path) -> dict[str, NDArray[np.float64]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        return {n: table.column(n).to_numpy().astype(np.float64) for n in table.column_names}
    except (OSError, pa.ArrowInvalid, ValueError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read as motion: {error}", remedy="Give columns of numbers."
        ) from error
