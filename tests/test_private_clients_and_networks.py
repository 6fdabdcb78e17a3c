"""Canaries: what we use of qdrant-client, botocore, torch and transformers beside their documented
interface is still there.

docs/dependencies.md says of each where it is used, why, and what happens without it. A failure here
names the installed version that broke it. Nothing starts.
"""

from __future__ import annotations

import inspect
import sqlite3
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.loaders import JSONFileLoader

from tests.support.private_parts import broke


def test_qdrant_keeps_each_collection_in_a_connection_of_sqlite(tmp_path: Path) -> None:
    from qdrant_client import QdrantClient
    from qdrant_client import models as q

    from pipeline.index.embedded import COLLECTION_FILES

    package = "qdrant-client"
    client = QdrantClient(path=str(tmp_path))
    client.create_collection("c", q.VectorParams(size=2, distance=q.Distance.DOT))
    client.upsert("c", [q.PointStruct(id=1, vector=[0.0, 1.0])])
    collections = getattr(getattr(client, "_client", None), "collections", None)
    assert collections, broke(package, "has no client._client.collections")
    database = getattr(getattr(collections["c"], "storage", None), "storage", None)
    assert isinstance(database, sqlite3.Connection), broke(
        package, "has no collection.storage.storage of sqlite3"
    )
    assert database.execute("select count(*) from points").fetchone() == (1,), broke(
        package, "has no table `points`"
    )
    written: list[q.PointStruct] = []
    collections["c"].storage.persist = written.append
    client.upsert("c", [q.PointStruct(id=2, vector=[1.0, 0.0])])
    client.set_payload("c", {"a": 1}, [1])
    assert [one.id for one in written] == [2, 1], broke(
        package, "writes points by another than collection.storage.persist"
    )
    client.close()
    assert len(list(tmp_path.glob(COLLECTION_FILES))) == 1, broke(
        package, f"has no {COLLECTION_FILES}"
    )


def test_qdrant_keeps_points_in_arrays() -> None:
    from qdrant_client import QdrantClient
    from qdrant_client import models as q

    from pipeline.index.local_rows import arrays_of

    package = "qdrant-client"
    client = QdrantClient(":memory:")
    client.create_collection("c", {"v": q.VectorParams(size=2, distance=q.Distance.COSINE)})
    client.upsert("c", [q.PointStruct(id=7, vector={"v": [3.0, 4.0]}, payload={"live": False})])
    arrays = arrays_of(client, "c")
    assert arrays is not None, broke(package, "keeps its collections elsewhere")
    before = arrays.payload[0]
    client.set_payload("c", {"live": True}, [7])
    assert arrays.payload[0] is not before, broke(package, "changes a payload in its place")
    assert (arrays.ids, arrays.ids_inv) == ({7: 0}, [7]), broke(package, "numbers points otherwise")
    assert arrays.vectors["v"][0] == pytest.approx([0.6, 0.8]), broke(package, "keeps lengths")
    client.delete_vectors("c", ["v"], [7])
    assert arrays.deleted_per_vector["v"][0], broke(package, "deletes vectors otherwise")
    client.delete("c", [7])
    assert arrays.deleted[0], broke(package, "deletes points otherwise")
    client.close()


def test_qdrant_says_in_words_that_a_folder_is_in_use(tmp_path: Path) -> None:
    from qdrant_client import QdrantClient
    from qdrant_client.local import qdrant_local

    client = QdrantClient(path=str(tmp_path))
    with pytest.raises(RuntimeError) as refused:
        QdrantClient(path=str(tmp_path))
    client.close()
    assert "already accessed" in str(refused.value), broke("qdrant-client", "says it otherwise")
    assert "Local mode is not recommended" in inspect.getsource(qdrant_local), broke(
        "qdrant-client", "warns of large collections in other words"
    )


def test_torch_says_what_a_cpu_can_do() -> None:
    import torch

    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_vnni_supported"):
        asked = getattr(torch.cpu, name, None)
        assert callable(asked), broke("torch", f"has no torch.cpu.{name}")
        assert isinstance(asked(), bool), broke("torch", f"answers torch.cpu.{name} otherwise")


def test_torch_multiplies_in_int8() -> None:
    import torch

    weight = torch.eye(8)
    rounded = torch.quantize_per_channel(
        weight, torch.full((8,), 1 / 127), torch.zeros(8, dtype=torch.long), 0, torch.qint8
    )
    packed = torch.ops.quantized.linear_prepack(rounded, None)
    given = torch.linspace(-1, 1, 8)[None]
    found = torch.ops.quantized.linear_dynamic(given, packed, reduce_range=True)
    torch.testing.assert_close(found, given, atol=0.02, rtol=0, msg=broke("torch", "rounds anew"))


class Answered:
    """What botocore reads an answer's bytes from."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


def test_botocore_reads_times_by_our_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.s3 import client as module

    asked: list[str] = []
    read = module.timestamp
    monkeypatch.setattr(module, "timestamp", lambda text: asked.append(text) or read(text))
    body = b"<ListBucketResult><Contents><Key>k</Key><LastModified>2026-01-02T00:00:00.000Z"
    body += b"</LastModified></Contents></ListBucketResult>"
    client = answering(200, body)
    listed = client.list_objects_v2(Bucket="b")["Contents"][0]["LastModified"]
    assert listed == datetime(2026, 1, 2, tzinfo=UTC)
    assert asked == ["2026-01-02T00:00:00.000Z"], broke("botocore", "reads times by its own parser")
    in_words = module.timestamp("Fri, 02 Jan 2026 00:00:00 GMT")
    assert in_words == listed, broke("botocore", "parses no time of a header")


def test_botocore_reads_its_files_once_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(200, b"")
    read: list[str] = []
    load = JSONFileLoader.load_file
    monkeypatch.setattr(
        JSONFileLoader, "load_file", lambda self, path: read.append(path) or load(self, path)
    )
    answering(200, b"")
    assert read == [], broke("botocore", "takes no `data_loader` from its session")


def test_botocore_shows_an_answer_before_it_asks_again() -> None:
    client = answering(301, b"<Error><Code>PermanentRedirect</Code></Error>")
    with pytest.raises(ClientError) as refused:
        client.get_object(Bucket="b", Key="k")
    raised_by = [frame.name for frame in traceback.extract_tb(refused.value.__traceback__)]
    assert "refuse_redirect" in raised_by, broke("botocore", "ends a redirect by itself")


def answering(status: int, body: bytes) -> Any:
    """Our client of S3, whose every request gets this answer and leaves no machine."""
    from pipeline.s3.client import make_client
    from pipeline.settings import SourceSettings

    source = SourceSettings(bucket="b", region="us-east-1", endpoint_url="http://127.0.0.1:9")
    client: Any = make_client(source)
    requests = iter(range(3))

    def answer(request: Any, **_: Any) -> AWSResponse:
        assert next(requests, None) is not None, broke("botocore", "has no event `needs-retry.s3`")
        return AWSResponse(request.url, status, {}, Answered(body))

    client.meta.events.register("before-send.s3", answer)
    return client


@pytest.mark.slow("transformers' PE-AV, with all that it imports: 9 s")
def test_transformers_has_the_parts_of_pe_av(tmp_path: Path) -> None:
    from transformers import PeAudioVideoModel

    from tests.encoders.small_models import pe_av_folder

    network = PeAudioVideoModel.from_pretrained(pe_av_folder(tmp_path))
    for part in (
        "text_model",
        "video_model.video_encoder",
        "video_model.video_head",
        "video_model.text_video_head",
        "audio_model.audio_encoder.embedder.dac_encoder",
        "audio_model.audio_head",
        "audio_model.text_audio_head",
    ):
        found = network
        for name in part.split("."):
            found = getattr(found, name, None)
        assert found is not None, broke("transformers", f"has no {part} in PeAudioVideoModel")
