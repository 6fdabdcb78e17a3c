"""The records that are in the small files of tests/stored_formats.py, as each version has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from qdrant_client import models as q

from encoders.modality import Modality
from encoders.precision import TowerPrecision
from pipeline.estimate.records import Estimate, Range
from pipeline.index.load import LoadReceipt
from pipeline.rebuild.live_set import LiveFile
from pipeline.rebuild.record import Phase, RebuildRecord
from pipeline.records import (
    Action,
    Failure,
    MediaObject,
    MediaType,
    ObjectOutcome,
    PlanRow,
    Segment,
    SegmentRow,
    ShardReceipt,
    Status,
    VectorSpace,
)
from pipeline.report.record import FailureRow, RunReport, StageTime
from pipeline.search.recall import SearchRecall
from pipeline.served_recall import Looking, Proposal, ServedRecall, VectorRecall
from pipeline.state.lease import Lease
from pipeline.state.objects import Increment, StateRow
from pipeline.state.receipts import RunFolder

RUN = RunFolder(7, "20260102T030405-abcdef")
_FAILURE = Failure(
    "decode", "undecodable", False, 'A "list"\nof\tMünzen 🪙, no film.', "Replace it."
)
STATE_FILE = f"objects/000007-{RUN.run_id}-0123abcd.parquet"
SHARD_FILE = f"{RUN.root}/shards/000000-0123456789ab.parquet"

OUTCOMES = (
    ObjectOutcome(
        "films/Münzen 🪙.mp4", "a1", "g1", "e1", None, 12_345_678_901, Status.PARTIAL,
        MediaType.VIDEO, 3, {"vision": 3, "audio": 2}, 6_500, 6_000,
        Failure("decode", "partial", False, "It breaks off.", "See docs/media.md."),
        ("films/Münzen 🪙.srt", "films/Münzen 🪙.txt"), {"decode": 0.0479, "encode": 1e-05},
    ),
    ObjectOutcome(
        "list\n.mp4", "a2", "g2", "e2", "v7", 0, Status.REJECTED, failure=_FAILURE
    ),
    ObjectOutcome(
        "owl.ogg", "a3", "g3", "e3", "null", 5, Status.INDEXED, MediaType.AUDIO, 1, {"audio": 1},
        1_226, 1_227,
    ),
    ObjectOutcome("photo.jpg", "a4", "g4", "e4", None, 7, Status.ARCHIVED),
)  # fmt: skip
# Since receipts and states know several buckets; before, none was named.
OUTCOMES_2 = tuple(replace(outcome, bucket="media") for outcome in OUTCOMES)
RECEIPT = ShardReceipt(RUN.run_id, 7, 0, SHARD_FILE, "ab" * 32, 4, OUTCOMES_2)
EMPTY_RECEIPT = ShardReceipt(RUN.run_id, 7, 1, None, None, 0, OUTCOMES_2[1:2])
STATE_ROWS = [
    StateRow.of(outcome, sequence=7, data_file=SHARD_FILE, recipe="r" * 8) for outcome in OUTCOMES_2
]
STATE_ROWS_1 = [replace(row, bucket="") for row in STATE_ROWS]
CURRENT_FACTS: dict[str, Any] = {
    "sequence": 7,
    "run_id": RUN.run_id,
    "bucket": "Münzen",
    "prefix": "films/",
    "recipe": "r" * 8,
    "encoder": "sensedex-mini",
    "state_file": STATE_FILE,
    "totals": {
        "objects": 4,
        "segments": 4,
        "decoded_ms": 7_227,
        "status.partial": 1,
        "status.rejected": 1,
        "status.indexed": 1,
        "status.archived": 1,
    },
}
INCREMENT = Increment(
    9, "20260102T030406-fedcba", "increments/000009-20260102T030406-fedcba-0123abcd.parquet", (9,)
)
INCREMENT_ROWS = [replace(STATE_ROWS[2], status=Status.REMOVED, segments=0, sequence=9)]
LEASE = Lease(7, RUN.run_id, "maker:42", "boot/pid:[1]/99", 1_767_323_045.25)
FILM = MediaObject(
    "media", "films/Münzen 🪙.mp4", "e1", 12_345_678_901, "2026-01-02T03:04:05+00:00", "GLACIER_IR"
)
_CAPTION = MediaObject("media", "films/Münzen 🪙.txt", "e5", 3, "2026-01-02T03:04:06+00:00")
_SUBTITLES = MediaObject(
    "media", "films/Münzen 🪙.srt", "e6", 0, "2026-01-02T03:04:07+00:00", version_id="v9"
)
PLAN_ROWS_1 = [
    PlanRow(Action.CHANGED, FILM, "a1", "g1", "etag", (_SUBTITLES, _CAPTION), "g0", 0),
    PlanRow(
        Action.GONE, MediaObject("media", "gone\n.jpg", "", 0, ""), "a2", "", "not listed",
        previous_generation="g9",
    ),
    PlanRow(Action.NEW, MediaObject("/a folder", "x.jpg", "e", 1, "", version_id="v"), "a3", "g3",
            "new", shard=12),
]  # fmt: skip
# Since objects may have what a manifest says of them.
PLAN_ROWS = [
    replace(PLAN_ROWS_1[0], object=replace(FILM, metadata='{"jahr": 2026, "Ort": "Zürich"}')),
    *PLAN_ROWS_1[1:],
]
SPACES = (
    VectorSpace("vision", Modality.VISION, 4, "sensedex-mini", "f1"),
    VectorSpace("sound of it", Modality.AUDIO, 2, "Münzen", "f2"),
)
SEGMENT_ROWS = [
    SegmentRow(
        f"p{n}", f"a{n // 2}", "g1", Segment(n, 2_000 * n, 2_000 * n + 2_000),
        {"vision": np.array([0.5, -0.5, 0.5, n], np.float32)}
        | ({"sound of it": np.array([0.6, 0.8], np.float32)} if n != 1 else {}),
        {"key": "films/Münzen 🪙\n.mp4", "text": None, "tags": ["a", "b"], "fps": 29.97, "n": n},
    )
    for n in range(3)
]  # fmt: skip
LOAD = LoadReceipt(4, 2, 1, {"upsert": 0.0123, "count": 0.0, "flip": 0.004, "retire": 1.5})
REPORT = RunReport(
    run_id=RUN.run_id,
    sequence=7,
    bucket="Münzen",
    prefix="films/",
    collection="media",
    encoder="sensedex-mini",
    meaningful=True,
    started_at="2026-01-02T03:04:05+00:00",
    wall_seconds=1.216,
    objects_by_status={"partial": 1, "rejected": 1, "indexed": 1, "archived": 1},
    objects_by_action={"changed": 1, "gone": 1, "new": 1},
    segments_by_modality={"vision": 3, "audio": 3},
    segments=4,
    media_seconds=7.227,
    bytes_fetched=12_345_678_901,
    points_in_index=11,
    failures=(
        FailureRow("list\n.mp4", "rejected", "decode", "undecodable", False, "No film.", "Look."),
    ),
    stages=(StageTime("decode", 0.1074, 2, "windows", 1.227), StageTime("load", 0.0, 0, "windows")),
    seconds_by_phase={"list and plan": 0.099, "sweep": 0.0},
    recovered_objects=1,
    search=(SearchRecall("asset", 10, 3, 4, 0.3006, 0.9544),),
    segments_known=12,
    engine="loop",
    precisions=(
        TowerPrecision("sensedex-mini", Modality.VISION, "fp32", "fp32"),
        TowerPrecision("sensedex-mini", Modality.AUDIO, "int8", "fp32", 0.6012, "cpu"),
    ),
    recall=ServedRecall(
        looking=Looking(None, 2.0),
        server_ef=100,
        quantization="binary",
        vectors=(VectorRecall("vision", 50, 0.953), VectorRecall("sound of it", 12, 1.0)),
        proposal=Proposal(Looking(200, 4.0), {"vision": 0.9875}, reaches=True, smallest=True),
        building=True,
        seed=7,
        seconds=1.25,
    ),
    workers_by_stage={"fetch": 4, "decode": 2, "encode": 1},
    estimate=Estimate(
        "run r0", 3, 12_345, 4, Range(0.1, 0.2, 0.5), Range(3.0, 4.0, 9.5), Range(0.25, 0.5, 1.0),
        Range(0.5, 1.0, 2.0), Range(0.0, 0.0, 0.0), Range(1, 2, 3), Range(0.1, 0.2, 0.4), "EUR",
    ),
    money=0.25,
)  # fmt: skip
# What reports have had only since their fourth version, their third, their second and their first.
SINCE_4: dict[str, Any] = {"estimate": None, "money": None}
SINCE_3: dict[str, Any] = {"workers_by_stage": {}, **SINCE_4}
SINCE_2: dict[str, Any] = {"recall": None, **SINCE_3}
SINCE_1: dict[str, Any] = {
    "search": (),
    "segments_known": 0,
    "engine": "",
    "precisions": (),
    **SINCE_2,
}
REBUILD = RebuildRecord(
    1, "media", "http://127.0.0.1:6333", "media-2",
    {"quantization": "none", "on_disk": False, "m": 16, "leave_out": ["text"],
     "vectors": {"vision": [4, "f1"]}, "shards": None},
    "2026-01-02T03:04:05+00:00", Phase.SHOWN, "media-1", 7, False, 0.9875,
)  # fmt: skip
NEW_REBUILD = RebuildRecord(1, "media", "Münzen", "media-3", {}, "2026-01-02T03:04:05+00:00")
LIVE_FILE = LiveFile(SHARD_FILE, {"a1": "g1", "a3": "g3"})
STEPS: list[q.UpdateOperation] = [
    q.UpsertOperation(
        upsert=q.PointsList(
            points=[
                q.PointStruct(
                    id="00000000-0000-0000-0000-000000000001",
                    vector={"vision": [0.5, -0.25]},
                    payload={"key": "Münzen 🪙", "text": None, "live": False},
                )
            ]
        )
    ),
    q.SetPayloadOperation(
        set_payload=q.SetPayload(
            payload={"live": True},
            filter=q.Filter(
                must=[q.FieldCondition(key="asset_id", match=q.MatchValue(value="a1"))]
            ),
        )
    ),
    q.DeleteOperation(
        delete=q.PointIdsList(points=["00000000-0000-0000-0000-000000000002"]),
    ),
]
