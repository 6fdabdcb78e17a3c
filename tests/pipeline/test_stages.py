"""The three stages without Ray: one bad window or object costs itself alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from encoders.catalogue import card_for
from encoders.modality import Modality
from encoders.precision import TowerPrecision
from pipeline import codec
from pipeline.embed.decode import DecodeStage
from pipeline.embed.encode import EncodeStage
from pipeline.embed.fetch import fetched_ahead
from pipeline.embed.job import EmbedJob
from pipeline.embed.local import SMALL_ENCODER_BYTES, run_in_loop, windows_per_batch
from pipeline.embed.rows import (
    DecodedRow,
    Shard,
    decoded_table,
    vector_column,
    vectors_of,
)
from pipeline.embed.write import WriteStage
from pipeline.ids import asset_id
from pipeline.models.spaces import spaces_of
from pipeline.planning.file import read_plan
from pipeline.planning.plan import plan, recipe_of
from pipeline.progress import ProgressReporter, Stage, StageProgress
from pipeline.records import Action, MediaObject, ObjectOutcome, PlanRow, Status
from pipeline.run_options import RunOptions
from pipeline.settings import Settings, load_settings
from pipeline.settings_embedding import DecodeSettings, EncoderChoice, EncodeSettings, TagSettings
from pipeline.state.receipts import RunFolder
from pipeline.state.store import open_store
from tests.support import media_files
from tests.support.s3_server import S3Server

CARD = card_for("imagebind-demo")
SPACES = spaces_of([CARD])


class Picky:
    """An encoder that refuses every batch with a black picture in it, and counts its calls."""

    card = CARD
    precisions: tuple[TowerPrecision, ...] = ()

    def __init__(self) -> None:
        self.batches: list[int] = []

    def encode(self, modality: Modality, batch: Any) -> NDArray[np.float32]:
        self.batches.append(len(batch))
        if (
            modality is Modality.VISION
            and not np.asarray(batch).reshape(len(batch), -1).any(1).all()
        ):
            raise RuntimeError("black picture")
        unit = np.zeros((len(batch), CARD.dimension), np.float32)
        unit[:, 0] = 1
        return unit


def ignore(_stage: Stage, _progress: StageProgress) -> None:
    """Nobody looks."""


def window(key: str, index: int, frames: NDArray[np.uint8]) -> DecodedRow:
    return DecodedRow(
        0, 2, asset_id("media", key), "g", index, index * 2000, index * 2000 + 2000,
        payload=json.dumps({"key": key}), frames=frames.tobytes(),
    )  # fmt: skip


def end(key: str, segments: int) -> DecodedRow:
    asset = asset_id("media", key)
    outcome = ObjectOutcome(key, asset, "g", "e", None, 1, Status.INDEXED, None, segments)
    return DecodedRow(0, 2, asset, "g", outcome=codec.to_bytes(outcome).decode())


def test_a_window_that_cannot_be_encoded_costs_its_object_alone(tmp_path: Path) -> None:
    good = np.full((2, 224, 224, 3), 9, np.uint8)
    rows = [window("good", n, good) for n in range(6)]
    rows += [window("bad", 0, good), window("bad", 1, np.zeros_like(good))]
    encoder = Picky()
    encode = EncodeStage(lambda: [encoder], SPACES, ignore)
    table = encode.table(decoded_table([*rows, end("good", 6), end("bad", 2)]))
    failed = [row for row in table.column("failure").to_pylist() if row]
    assert len(failed) == 1
    assert "black picture" in failed[0]
    assert encoder.batches[0] == 8, "windows of all objects share a batch"

    store = open_store(str(tmp_path), Settings().source)
    write = WriteStage(lambda: store, RunFolder(1, "run"), SPACES, ignore)
    [receipt] = write.receipts(table)
    statuses = {o.key: (o.status, o.segments) for o in receipt.outcomes}
    assert statuses == {"good": (Status.INDEXED, 6), "bad": (Status.FAILED, 0)}
    assert receipt.segments == 6


def test_a_shard_waits_for_windows_that_were_overtaken(tmp_path: Path) -> None:
    good = np.full((1, 224, 224, 3), 9, np.uint8)
    encode = EncodeStage(lambda: [Picky()], SPACES, ignore)
    store = open_store(str(tmp_path), Settings().source)
    write = WriteStage(lambda: store, RunFolder(1, "run"), SPACES, ignore)
    parts: Sequence[list[DecodedRow]] = (
        [end("b", 2), end("a", 1)],
        [window("b", 1, good), window("a", 0, good)],
        [window("b", 0, good)],
    )
    given = [list(write.receipts(encode.table(decoded_table(part)))) for part in parts]
    assert [len(receipts) for receipts in given] == [0, 0, 1]
    assert given[2][0].segments == 3


def test_a_window_gets_the_tags_that_fit() -> None:
    """An encoder whose second word points where every picture does not."""

    class Pointing(Picky):
        def encode(self, modality: Modality, batch: Any) -> NDArray[np.float32]:
            unit = super().encode(modality, batch)
            if modality is Modality.TEXT:
                for row, word in zip(unit, batch, strict=True):
                    row[:2] = (1, 0) if word == "bright" else (0, 1)
            return unit

    tags = TagSettings(labels=("bright", "dark"), templates=("{}",), min_score=0.5)
    encode = EncodeStage(lambda: [Pointing()], SPACES, ignore, tags)
    frames = np.full((1, 224, 224, 3), 9, np.uint8)
    table = encode.table(decoded_table([window("a", 0, frames), end("a", 1)]))
    payload, nothing = table.column("payload").to_pylist()
    assert json.loads(payload)["tags"] == ["bright"]
    [score] = json.loads(payload)["tag_scores"]
    assert (score["sense"], score["label"]) == ("vision", "bright")
    assert score["score"] > 0.99
    assert json.loads(payload)["key"] == "a"
    assert nothing is None
    untagged = EncodeStage(lambda: [Pointing()], SPACES, ignore, TagSettings())
    table = untagged.table(decoded_table([window("a", 0, frames)]))
    assert "tags" not in json.loads(table["payload"][0].as_py())


def test_other_labels_are_another_recipe() -> None:
    def digest(**fields: Any) -> str:
        return recipe_of(load_settings(None, fields), [CARD]).digest()

    assert digest() == digest(**{"tags.max_tags": 3})
    tagged = digest(**{"tags.labels": ["dog"]})
    assert len({digest(), tagged, digest(**{"tags.labels": ["cat"]})}) == 3


def test_other_sampling_is_another_recipe_and_exact_is_that_of_before() -> None:
    recipes = [
        recipe_of(load_settings(None, {"decode.sampling": sampling}), [CARD])
        for sampling in ("exact", "keyframes", "keyframes_only")
    ]
    assert recipes[0].sampling == "midpoints/2"
    assert len({recipe.digest() for recipe in recipes}) == 3


def test_vectors_cross_the_tables_unchanged() -> None:
    encode = EncodeStage(lambda: [Picky()], SPACES, ignore)
    frames = np.full((1, 224, 224, 3), 9, np.uint8)
    table = encode.table(decoded_table([window("a", 0, frames), end("a", 1)]))
    names = [space.vector_name for space in SPACES]
    of_window, of_end = vectors_of(table, names)
    assert set(of_window) == {"vision"}
    assert of_window["vision"][:2].tolist() == [1.0, 0.0]
    assert of_end == {}


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (lambda o: o | {"etag": "another"}, Status.FAILED, "object_changed"),
        (lambda o: o | {"key": "gone.jpg"}, Status.FAILED, "object_gone"),
        (lambda o: o | {"storage_class": "GLACIER"}, Status.ARCHIVED, "archived"),
        (lambda o: o | {"size_bytes": 0}, Status.REJECTED, "empty_object"),
    ],
)
def test_an_object_that_cannot_be_had_is_a_row(
    s3_server: S3Server,
    make: Any,
    status: Status,
    code: str,
) -> None:
    client = s3_server.client()
    client.put_object(Bucket="media", Key="a.jpg", Body=media_files.jpeg(1))
    head = client.head_object(Bucket="media", Key="a.jpg")
    facts = {
        "bucket": "media",
        "key": "a.jpg",
        "etag": head["ETag"].strip('"'),
        "size_bytes": head["ContentLength"],
        "last_modified": "2026-01-01T00:00:00Z",
    }
    obj = MediaObject(**make(facts))
    row = PlanRow(Action.NEW, obj, "asset", "g", "new", shard=0)
    source = s3_server.settings()
    stage = DecodeStage(Settings().decode, "imagebind-demo", ("f",), ignore)
    with fetched_ahead(source, DecodeSettings(), iter([row])) as fetched:
        [only] = [found for each in fetched for found in stage.rows(each, Shard(0, 1))]
    assert only.outcome is not None
    outcome = codec.from_bytes(ObjectOutcome, only.outcome)
    assert outcome.status is status
    assert outcome.failure is not None
    assert outcome.failure.code == code


def test_the_loop_without_ray(s3_server: S3Server, tmp_path: Path) -> None:
    client = s3_server.client()
    for number in range(3):
        client.put_object(Bucket="media", Key=f"{number}.jpg", Body=media_files.jpeg(number))
    client.put_object(Bucket="media", Key="1.txt", Body=b"\xff\xfe broken words")
    settings = load_settings(
        None,
        {
            "source.bucket": "media",
            "source.endpoint_url": s3_server.url,
            "encode.encoder": "imagebind-demo",
            "state.location": str(tmp_path / "state"),
            "state.shard_objects": 2,
        },
    )
    planned = plan(settings, RunOptions(), tmp_path / "plan.parquet", ProgressReporter())
    graph = EmbedJob(settings, RunFolder(1, "r"), SPACES, dict(planned.objects_by_shard))
    rows = (row for row in read_plan(planned.path) if row.shard >= 0)
    receipts = list(run_in_loop(graph, rows, ignore))
    assert {r.shard: len(r.outcomes) for r in receipts} == {0: 2, 1: 1}
    outcomes = {o.key: o for receipt in receipts for o in receipt.outcomes}
    assert {o.status for o in outcomes.values()} == {Status.INDEXED}
    # A sidecar that is not text is said, and costs the picture nothing.
    failure = outcomes["1.jpg"].failure
    assert failure is not None
    assert failure.code == "bad_sidecar"


def test_a_small_encoder_s_batch_has_a_part_for_each_core(tmp_path: Path) -> None:
    small, made_of_a_seed = EncodeSettings(), EncodeSettings(encoder="imagebind-demo")
    assert [windows_per_batch(small, cores) for cores in (0, 1, 2, 4, 64)] == [32, 32, 64, 128, 128]
    assert windows_per_batch(made_of_a_seed, 4) == 32
    large = tmp_path / "large.safetensors"
    with large.open("wb") as file:
        file.truncate(SMALL_ENCODER_BYTES + 1)
    assert windows_per_batch(EncodeSettings(weights=str(large), batch_size=8), 4) == 8
    two = EncodeSettings(additional=(EncoderChoice(encoder="frozen-in-time", weights=str(large)),))
    assert windows_per_batch(two, 4) == 32


def test_the_vectors_of_a_table_that_was_cut_and_joined() -> None:
    """As Ray Data hands tables on."""
    given = [np.full(4, n, np.float32) if n % 3 else None for n in range(10)]
    whole = pa.table({"vision": vector_column(given)})
    joined = pa.concat_tables([whole.slice(1, 3), whole.slice(5, 4)])
    for table, rows in ((whole, given), (joined, given[1:4] + given[5:9])):
        found = [one.get("vision") for one in vectors_of(table, ["vision"])]
        wanted = [None if one is None else one.tolist() for one in rows]
        assert [None if one is None else one.tolist() for one in found] == wanted
