"""Canaries: what we use of other packages beside their documented interface is still there.

docs/dependencies.md says of each where it is used, why, and what happens without it. A failure here
names the installed version that broke it. Nothing starts: no Ray session, no Prefect server.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import logging
import re
import sqlite3
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.loaders import JSONFileLoader

# An import of Ray reads its settings: conftest.py has set them before this module is read.
PAGE = "docs/dependencies.md"


def broke(package: str, what: str) -> str:
    return f"{package} {importlib.metadata.version(package)} {what}; {PAGE} says what it is for"


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


def test_ray_knows_its_node_and_the_node_its_processes() -> None:
    from ray._private import ray_constants, worker
    from ray._private.node import Node

    assert hasattr(worker, "_global_node"), broke("ray", "has no ray._private.worker._global_node")
    assert callable(getattr(Node, "dead_processes", None)), broke("ray", "has no dead_processes")
    for kill in (Node.kill_all_processes, Node.kill_log_monitor):
        parameters = inspect.signature(kill).parameters
        assert "check_alive" in parameters, broke("ray", "kills without check_alive")
    names = {ray_constants.PROCESS_TYPE_RAYLET, ray_constants.PROCESS_TYPE_GCS_SERVER}
    assert names == {"raylet", "gcs_server"}, broke("ray", "calls its processes otherwise")


def test_ray_prints_what_nodes_say_by_this_switch() -> None:
    from ray._private import worker

    # Not its value: a session that another test began in this process has turned it off.
    assert isinstance(worker._worker_logs_enabled, bool), broke("ray", "has no such switch")
    assert "_worker_logs_enabled" in inspect.getsource(worker.print_worker_logs), broke(
        "ray", "prints without a look at it"
    )
    assert "print_to_stdstream" in inspect.getsource(worker.listen_error_messages), broke(
        "ray", "prints a lost node's last words in another way"
    )


def test_ray_says_in_words_that_its_processes_did_not_come_up_in_time() -> None:
    from ray._private.node import Node

    code = inspect.getsource(Node.__init__)
    assert "raise Exception(" in code, broke("ray", "raises an error of a class of its own")
    assert "timed out during startup" in code, broke("ray", "says it otherwise")


def test_ray_reads_the_variables_that_keep_it_on_loopback() -> None:
    from ray._private import auto_init_hook, ray_constants, services

    variable = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    assert variable == "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", broke("ray", f"reads {variable}")
    assert "ENABLE_RAY_CLUSTER" in inspect.getsource(services.get_node_ip_address), broke(
        "ray", "resolves a node's address in another way"
    )
    assert "RAY_ENABLE_AUTO_CONNECT" in inspect.getsource(auto_init_hook), broke(
        "ray", "begins a session by itself in another way"
    )


def test_ray_data_reports_by_a_handler_of_its_logger() -> None:
    import ray.data  # noqa: F401  sets them up
    from ray._private.log import PlainRayHandler

    handlers = logging.getLogger("ray.data").handlers
    assert any(isinstance(handler, PlainRayHandler) for handler in handlers), broke(
        "ray", "has another handler on `ray.data` for the screen"
    )


def test_prefect_renews_a_slot_by_the_function_that_is_replaced() -> None:
    from prefect.concurrency import _leases

    from flows.slots import RENEW

    renew = getattr(_leases, RENEW, None)
    assert callable(renew), broke("prefect", f"has no prefect.concurrency._leases.{RENEW}")
    assert len(inspect.signature(renew).parameters) == 4, broke("prefect", f"calls {RENEW} anew")
    # Looked up by name at each turn: only then is another function in its place called.
    assert RENEW in _leases._lease_renewal_loop.__code__.co_names, broke(
        "prefect", f"does not call {RENEW} by its name"
    )


@pytest.mark.slow("imports Prefect's server, 3 s")
def test_prefect_starts_its_temporary_server_by_this_class() -> None:
    from prefect.client import orchestration
    from prefect.server.api.server import SubprocessASGIServer

    assert "server = SubprocessASGIServer()" in inspect.getsource(orchestration.get_client), broke(
        "prefect", "starts its temporary server by another class"
    )
    assert SubprocessASGIServer() is SubprocessASGIServer(), broke("prefect", "has many of them")
    assert callable(SubprocessASGIServer.stop), broke("prefect", "does not stop it by `stop`")


def test_prefect_logs_lost_events_by_these_loggers_in_these_words() -> None:
    from prefect._internal.concurrency import logger as services_logger
    from prefect._internal.concurrency import services
    from prefect.events import clients, worker

    from flows.away import EVENT_LOGGERS

    assert {clients.logger.name, services_logger.name} == set(EVENT_LOGGERS), broke(
        "prefect", "logs lost events elsewhere"
    )
    for module, words in ((clients, "Unable to connect to %r"), (services, "Service %r failed")):
        assert words in inspect.getsource(module), broke("prefect", f"no longer says {words!r}")
    assert hasattr(worker, "EventsWorker"), broke("prefect", "has no EventsWorker")


def test_prefect_logs_what_failed_by_these_loggers_in_these_words() -> None:
    from prefect import flow_engine, task_engine
    from prefect.client import orchestration

    from flows.error_logging import ENGINE_LOGGERS
    from flows.prefect_server import UNREACHABLE

    said = (
        (flow_engine, "Finished in state "),
        (task_engine, "Finished in state "),
        (task_engine, "Task run encountered an exception"),
        (task_engine, " - Retry "),
        (orchestration, UNREACHABLE),
    )
    for module, words in said:
        assert words in inspect.getsource(module), broke(
            "prefect", f"no longer says {words!r} in {module.__name__}"
        )
    loggers = inspect.getsource(sys.modules["prefect.logging.loggers"])
    engines = inspect.getsource(flow_engine) + inspect.getsource(task_engine) + loggers
    for name in ENGINE_LOGGERS:
        word = name.removeprefix("prefect.")
        assert re.search(rf"[\"'](prefect\.)?{word}[\"']", engines), broke(
            "prefect", f"has no logger {name}"
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


def test_ray_knows_handles_that_keep_no_actor_alive() -> None:
    from ray.actor import ActorHandle

    package = "ray"
    known = inspect.signature(ActorHandle.__init__).parameters
    assert "weak_ref" in known, broke(package, "knows no weak handles of actors")
    assert "_ray_weak_ref" in inspect.getsource(ActorHandle), broke(package, "renamed them")
