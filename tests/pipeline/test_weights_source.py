"""Weights by path, from S3 and by address: fetched once, known by their digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from encoders.errors import WeightsError
from pipeline.models.weights import fetch_weights, local_weights, weights_bytes
from pipeline.settings import Settings, load_settings
from pipeline.settings_embedding import EncodeSettings
from tests.support.s3_server import S3Server


@pytest.fixture
def kept(
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Path, str]:
    """A checkpoint in a bucket, with its vocabulary beside it; the local copy and its digest."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.arange(6.0)}, path)
    client = s3_server.client()
    client.create_bucket(Bucket="weights")
    client.put_object(Bucket="weights", Key="models/w.safetensors", Body=path.read_bytes())
    client.put_object(Bucket="weights", Key="models/vocab.txt", Body=b"a\n")
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def with_weights(server: S3Server, weights: str, sha256: str = "") -> Settings:
    return load_settings(
        None,
        {
            "source.bucket": "media",
            "source.endpoint_url": server.url,
            "source.region": "us-east-1",
            "encode.weights": weights,
            "encode.weights_sha256": sha256,
        },
    )


def found(settings: Settings) -> Path | None:
    return local_weights(settings.encode.chosen()[0], settings.source)


def test_from_s3_once(
    s3_server: S3Server,
    kept: tuple[Path, str],
) -> None:
    path, digest = kept
    settings = with_weights(s3_server, "s3://weights/models/w.safetensors", digest)
    first = found(settings)
    assert first is not None
    assert first.read_bytes() == path.read_bytes()
    assert (first.parent / "vocab.txt").read_bytes() == b"a\n"
    s3_server.requests.clear()
    assert found(settings) == first
    assert s3_server.requests == []


def test_another_file_is_refused(
    s3_server: S3Server,
    kept: tuple[Path, str],
) -> None:
    path, digest = kept
    wrong = "0" * 64
    uri = "s3://weights/models/w.safetensors"
    with pytest.raises(WeightsError, match=digest):
        found(with_weights(s3_server, uri, wrong))
    with pytest.raises(WeightsError, match=digest):
        found(with_weights(s3_server, str(path), wrong))
    assert found(with_weights(s3_server, str(path), f"sha256:{digest}")) == path
    with pytest.raises(WeightsError, match="weights_sha256"):
        found(with_weights(s3_server, uri))
    with pytest.raises(WeightsError, match=r"no s3://weights/nothing\.pth"):
        found(with_weights(s3_server, "s3://weights/nothing.pth", digest))


def test_a_run_does_not_reach_out(
    s3_server: S3Server,
    kept: tuple[Path, str],
) -> None:
    _, digest = kept
    with pytest.raises(WeightsError, match="weights get"):
        found(with_weights(s3_server, "https://models.example/w.pth", digest))
    source = with_weights(s3_server, "x").source
    with pytest.raises(WeightsError, match="no address"):
        fetch_weights("http://models.example/w.pth", digest, source)
    with pytest.raises(WeightsError, match="cannot be fetched"):
        fetch_weights("https://127.0.0.1:9/w.pth", digest, source)


def test_the_bytes_of_weights_that_lie_here(tmp_path: Path) -> None:
    file, folder = tmp_path / "w.pt", tmp_path / "folder"
    file.write_bytes(bytes(100))
    (folder / "part").mkdir(parents=True)
    (folder / "a").write_bytes(bytes(10))
    (folder / "part" / "b").write_bytes(bytes(5))
    assert weights_bytes(EncodeSettings(weights=str(file))) == 100
    assert weights_bytes(EncodeSettings(weights=str(folder))) == 15
    assert 10**6 < (weights_bytes(EncodeSettings()) or 0) < 20 * 10**6  # those in the package
    not_here = ("s3://bucket/w.pt", str(tmp_path / "nothing"))
    assert [weights_bytes(EncodeSettings(weights=w)) for w in not_here] == [None, None]
    assert weights_bytes(EncodeSettings(encoder="imagebind-demo")) is None
