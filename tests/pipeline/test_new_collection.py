"""What a collection is made with is what the settings say, by REST and by gRPC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import SettingsError
from pipeline.ids import asset_id
from pipeline.index.collections import open_collections
from pipeline.index.difference import differences, summary
from pipeline.index.errors import IndexRefused
from pipeline.index.new_collection import payload_indexes
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.payload_schema import FIELDS
from pipeline.settings import load_settings
from pipeline.settings_index import IndexSettings
from tests.support import qdrant_grpc, qdrant_server
from tests.support.fixtures_qdrant import Served, only_stand_ins
from tests.support.invented_assets import SPACES, live, load, unit, whole

UNLIKE_THE_DEFAULT: dict[str, Any] = {
    "distance": "dot",
    "datatype": "float16",
    "hnsw_m": 24,
    "hnsw_ef_construct": 64,
    "on_disk": True,
    "on_disk_payload": False,
    "on_disk_payload_indexes": True,
    "shards": 2,
    "replicas": 1,
    "write_consistency": 1,
}
WITHOUT_LINKS = {
    "asset_id", "generation", "sequence", "start_ms", "size_bytes", "last_modified",
    "asset_duration_ms", "words",
}  # fmt: skip


def made_as(served: Served, **fields: Any) -> IndexSettings:
    """The settings of a collection that is there, and has been found to be as they say."""
    settings = served.settings.model_copy(update=fields)
    with open_collections(settings) as collections:
        collections.create("media-1", SPACES)
        collections.show("media", "media-1")
        found = collections.information("media")
    assert differences(found, settings, SPACES) == [], summary(found)
    return settings


@pytest.mark.parametrize("quantization", ["none", "int8", "binary", "product", "turbo"])
def test_each_quantization_is_made(served: Served, quantization: str, tmp_path: Path) -> None:
    settings = made_as(served, quantization=quantization)
    with open_index(settings) as index:
        load(index, tmp_path, [("a.mp4", "g1", 3)], 1)
        assert live(index) == {"a.mp4": whole("g1", 3)}


def test_everything_else_is_made_as_it_is_set(served: Served, tmp_path: Path) -> None:
    settings = made_as(served, **UNLIKE_THE_DEFAULT)
    with open_index(settings) as index:
        load(index, tmp_path, [("a.mp4", "g1", 3)], 1)
        assert live(index) == {"a.mp4": whole("g1", 3)}
        assert set(index.points().datatypes().values()) == {"float16"}
    with open_collections(settings) as collections:
        found = collections.information("media")
    told = {each.what for each in differences(found, IndexSettings(), SPACES)}
    assert told == {
        "distance of vector vision", "datatype of vector vision",
        "distance of vector audio", "datatype of vector audio", "hnsw_m", "hnsw_ef_construct",
    }, "what is left to the server is no difference"  # fmt: skip


def test_indexes_that_no_search_of_ours_is_narrowed_by_have_no_links(served: Served) -> None:
    """The graph gets links of its own for the others."""
    with open_collections(made_as(served)) as collections:
        schema = collections.information("media").payload_schema
    told = {name: getattr(index.params, "enable_hnsw", None) for name, index in schema.items()}
    assert {name for name, links in told.items() if links is False} == WITHOUT_LINKS
    assert told.keys() == {field.name for field in FIELDS if field.index}


def test_an_older_server_is_not_told_what_it_does_not_know() -> None:
    for version in ((1, 16), None):
        assert {str(schema) for _, schema in payload_indexes(version)} == {
            "keyword", "bool", "integer", "datetime"
        }  # fmt: skip
    assert [name for name, _ in payload_indexes((1, 16))] == [
        name for name, _ in payload_indexes((1, 17))
    ]


@only_stand_ins
def test_a_server_without_turboquant_is_named(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (qdrant_server, qdrant_grpc):
        monkeypatch.setattr(module, "VERSION", "1.17.1")
    settings = served.settings.model_copy(update={"quantization": "turbo"})
    with open_collections(settings) as collections:
        with pytest.raises(IndexRefused, match=r"is 1\.17, which does not know TurboQuant") as old:
            collections.create("media-1", SPACES)
        assert collections.names() == set()
    assert old.value.code == "index_too_old"
    assert "1.18" in old.value.remedy


@only_stand_ins
def test_order_and_consistency_go_with_what_they_are_for(served: Served, tmp_path: Path) -> None:
    settings = served.settings.model_copy(
        update={"write_ordering": "strong", "read_consistency": "quorum"}
    )
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load(index, tmp_path, [("a.mp4", "g1", 3)], 1)
        load(index, tmp_path, [("a.mp4", "g2", 3)], 2)
        index.points().delete(["5c4a8a4e-0000-0000-0000-000000000000"])
        index.query("vision", unit("any"), 1)
    told = asked_with(served)
    for path in ("points", "points/batch"):
        assert told[path] == {("ordering", "strong")}, path
    assert told["points/query/batch"] == {("consistency", "quorum")}
    in_number = settings.model_copy(update={"read_consistency": 2, "write_ordering": None})
    served.server.parameters.clear()
    with open_index(in_number) as index:
        index.query("vision", unit("any"), 1)
        index.remove([asset_id("media", "gone.mp4")], 3)
    told = asked_with(served)
    assert told["points/query/batch"] == {("consistency", "2")}
    assert told["points/batch"] == set()


def asked_with(served: Served) -> dict[str, set[tuple[str, str]]]:
    """Of each kind of request to the collection, what its address asked for beside."""
    told: dict[str, set[tuple[str, str]]] = {}
    for path, parameters in served.server.parameters:
        for what in ("points", "points/batch", "points/delete", "points/query/batch"):
            if path == f"/collections/media/{what}":
                pairs = {p for p in parameters.items() if p[0] in ("ordering", "consistency")}
                told.setdefault(what, set()).update(pairs)
    return told


def test_local_mode_ignores_what_it_does_not_know(tmp_path: Path) -> None:
    settings = IndexSettings(
        path=tmp_path / "qdrant",
        quantization="turbo",
        write_ordering="strong",
        read_consistency="all",
        **UNLIKE_THE_DEFAULT,
    )
    with open_index(settings) as index:
        index.ensure_collection(SPACES)
        load(index, tmp_path, [("a.mp4", "g1", 3)], 1)
        assert live(index) == {"a.mp4": whole("g1", 3)}
        index.points().delete(["5c4a8a4e-0000-0000-0000-000000000000"])
        assert set(index.points().datatypes().values()) == {"float32"}, "as it keeps them"


def test_uint8_is_refused_with_the_reason() -> None:
    with pytest.raises(SettingsError, match=r"index\.datatype: uint8 is of no use for unit"):
        load_settings(overrides={"index.datatype": "uint8"})
    with pytest.raises(SettingsError, match=r"index\.datatype: .*'float32' or 'float16'"):
        load_settings(overrides={"index.datatype": "float64"})


def test_a_consistency_may_be_a_number_or_a_word() -> None:
    for text, wanted in (("2", 2), ("majority", "majority")):
        assert load_settings(overrides={"index.read_consistency": text}).index == IndexSettings(
            read_consistency=wanted  # type: ignore[arg-type]
        )
    with pytest.raises(SettingsError, match=r"index\.read_consistency"):
        load_settings(overrides={"index.read_consistency": "0"})


def test_a_figure_is_not_counted_one_by_one(on_server: VectorIndex, tmp_path: Path) -> None:
    load(on_server, tmp_path, [("a.mp4", "g1", 5), ("b.mp4", "g1", 2)], 1)
    assert on_server.count(exact=False) == on_server.count() == 7
    assert on_server.count(live_only=False, exact=False) == 7
    assert on_server.count_assets(exact=False) == on_server.count_assets() == 2
