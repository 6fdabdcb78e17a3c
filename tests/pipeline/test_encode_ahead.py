"""The encode stage before a device that works by itself: submitted ahead, row for row the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch

from encoders.device_feed import DeviceFeed
from encoders.imagebind.encode import ImageBindEncoder
from encoders.loading import load_encoder
from pipeline.embed.encode import EncodeStage
from pipeline.embed.rows import DecodedRow, decoded_table
from pipeline.models.spaces import spaces_of
from pipeline.progress import Stage, StageProgress
from tests.support import media_files
from tests.support.recorded_streams import RecordedStreams


def window(index: int) -> DecodedRow:
    """A window of video with sound and words."""
    frames = np.stack([media_files.picture_array(2 * index + n, (224, 224)) for n in range(2)])
    return DecodedRow(
        0, 1, "asset", "g", index, index * 2000, index * 2000 + 2000,
        payload=json.dumps({"key": "a"}), frames=frames.tobytes(),
        sound=media_files.sound_array(index, 2.0).tobytes(), text=f"words of window {index}",
    )  # fmt: skip


def test_a_table_is_submitted_before_the_one_before_it_is_collected() -> None:
    encoder = load_encoder("sensedex-mini", device="cpu", precision="fp32")
    assert isinstance(encoder, ImageBindEncoder)
    spaces = spaces_of([encoder.card])
    given = [decoded_table([window(2 * n), window(2 * n + 1)]) for n in range(3)]
    # All cores at once, as with streams: an item a core has other last bits on some processors.
    encoder.feed = DeviceFeed(encoder.card, torch.device("cpu"), encoder.feed.towers, 64)
    plain = EncodeStage(lambda: [encoder], spaces, lambda _stage, _progress: None)
    wanted = [plain.table(table) for table in given]

    told: list[StageProgress] = []

    def add(stage: Stage, progress: StageProgress) -> None:
        assert stage is Stage.ENCODE
        told.append(progress)

    streams = RecordedStreams(in_flight=8)
    encoder.feed = DeviceFeed(
        encoder.card, torch.device("cpu"), encoder.feed.towers, 64, streams=streams
    )
    ahead = EncodeStage(lambda: [encoder], spaces, add)

    def decoded() -> Iterator[pa.Table]:
        for number, table in enumerate(given):
            streams.events.append(f"given {number}")
            yield table

    got = list(ahead.tables(decoded()))
    assert all(one.equals(other) for one, other in zip(got, wanted, strict=True))
    # Three modalities a table, each of which went up before any was waited for.
    places = {event: place for place, event in enumerate(streams.events)}
    assert places["up 2"] < places["wait 0"]
    assert places["given 1"] < places["up 5"] < places["wait 0"]
    assert places["wait 2"] < places["given 2"] < places["wait 3"]
    assert sum(progress.segments for progress in told) == 6
    assert all(progress.busy_seconds > 0 for progress in told[1:])
