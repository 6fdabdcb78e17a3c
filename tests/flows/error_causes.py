"""How each error of tests/flows/error_table.py is made: a scene is arranged for a command."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import numpy as np

from tests.flows.error_scene import (
    BUCKET,
    Answer,
    Arrange,
    Scene,
    certificate_for,
    mounted,
    silent_port,
)
from tests.support import media_files
from tests.support.iam_guard import Guard, Policy


def run_with(
    settings: Mapping[str, str] | None = None, command: str = "run", *more: str
) -> Arrange:
    def arrange(scene: Scene) -> list[str]:
        scene.settings.update(settings or {})
        return scene.words(command, *more)

    return arrange


def plain(*words: str) -> Arrange:
    return lambda _: list(words)


def s3_says(answer: Answer) -> Arrange:
    def arrange(scene: Scene) -> list[str]:
        scene.settings["source.endpoint_url"] = scene.answering(answer)
        return scene.words()

    return arrange


def queue_says(answer: Answer) -> Arrange:
    def arrange(scene: Scene) -> list[str]:
        scene.settings["events.queue_url"] = f"{scene.answering(answer)}/1/media"
        return scene.words("events", "--once")

    return arrange


def without_credentials(scene: Scene) -> list[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del scene.env[name]
    return scene.words()


def unknown_profile(scene: Scene) -> list[str]:
    scene.env["AWS_PROFILE"] = "nobody"
    return scene.words()


def silent_endpoint(scene: Scene) -> list[str]:
    port = scene.until_the_end.enter_context(silent_port())
    scene.settings["source.endpoint_url"] = f"http://127.0.0.1:{port}"
    return scene.words()


def another_name(scene: Scene) -> list[str]:
    certificate = certificate_for("other.example", scene.folder.parent)
    scene.env["AWS_CA_BUNDLE"] = str(certificate)
    scene.settings["source.endpoint_url"] = scene.answering(Answer(200), certificate)
    return scene.words()


def unknown_authority(scene: Scene) -> list[str]:
    certificate = certificate_for("127.0.0.1", scene.folder.parent)
    scene.settings["source.endpoint_url"] = scene.answering(Answer(200), certificate)
    return scene.words()


def tls_asked_of_none(scene: Scene) -> list[str]:
    scene.settings["source.endpoint_url"] = scene.s3.url.replace("http://", "https://")
    return scene.words()


def allowed(*actions: str, state: str = "state") -> Arrange:
    """Only these, of the bucket and of what is in it."""
    statement = {
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
    }

    def arrange(scene: Scene) -> list[str]:
        Guard(scene.s3, Policy({"Statement": [statement]}))
        scene.settings["state.location"] = state
        return scene.words()

    return arrange


def wrote(name: str, content: bytes | str, *words: str) -> Arrange:
    """A file of the scene's, and the command; by default a run."""

    def arrange(scene: Scene) -> list[str]:
        path = scene.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(words) or scene.words()

    return arrange


def lease_of_another(scene: Scene) -> list[str]:
    lease = {
        "sequence": 1, "run_id": "20260101T000000-abc123", "holder": "elsewhere:1",
        "process": "another", "expires_at": time.time() + 3600,
    }  # fmt: skip
    return wrote("state/lease.json", json.dumps(lease))(scene)


def read_only(scene: Scene) -> list[str]:
    scene.until_the_end.enter_context(mounted(scene.folder / "state", "-o", "ro"))
    return scene.words()


def full_state(scene: Scene) -> list[str]:
    scene.until_the_end.enter_context(mounted(scene.folder / "state", "-o", "size=4k"))
    return scene.words()


def full_scratch(scene: Scene) -> list[str]:
    scene.until_the_end.enter_context(mounted(scene.folder / "tmp", "-o", "size=4k,nr_inodes=3"))
    scene.env["TMPDIR"] = str(scene.folder / "tmp")
    return scene.words("plan")


def qdrant_at(url: str, *, grpc: bool = False) -> Arrange:
    return run_with({"index.url": url, "index.prefer_grpc": str(grpc).lower()})


def qdrant_says(answer: Answer) -> Arrange:
    return lambda scene: qdrant_at(scene.answering(answer))(scene)


def silent_qdrant(scene: Scene) -> list[str]:
    port = scene.until_the_end.enter_context(silent_port())
    return qdrant_at(f"http://127.0.0.1:{port}")(scene)


def untrusted_qdrant(scene: Scene) -> list[str]:
    certificate = certificate_for("127.0.0.1", scene.folder.parent)
    return qdrant_at(scene.answering(Answer(200), certificate))(scene)


def another_dimension(scene: Scene) -> list[str]:
    from qdrant_client import QdrantClient
    from qdrant_client import models as q

    vectors = {
        name: q.VectorParams(size=8, distance=q.Distance.COSINE)
        for name in ("vision", "audio", "text")
    }
    client = QdrantClient(path=str(scene.folder / "index"))
    client.create_collection("media", vectors_config=vectors)
    client.close()
    return scene.words()


def opened_elsewhere(scene: Scene) -> list[str]:
    from qdrant_client import QdrantClient

    (scene.folder / "index").mkdir()
    client = QdrantClient(path=str(scene.folder / "index"))
    scene.until_the_end.callback(client.close)
    return scene.words()


def weights_of_another_network(scene: Scene) -> list[str]:
    from safetensors.numpy import save_file

    path = scene.folder / "other.safetensors"
    save_file({"a": np.zeros(3, np.float32)}, path)
    scene.settings.update({"encode.encoder": "imagebind-huge", "encode.weights": str(path)})
    return scene.words()


def weights_with(more: Mapping[str, str], content: bytes = b"no weights") -> Arrange:
    def arrange(scene: Scene) -> list[str]:
        (scene.folder / "w.safetensors").write_bytes(content)
        scene.settings.update({"encode.weights": "w.safetensors", **more})
        return scene.words()

    return arrange


def nobody_in(variable: str, value: str, *more: str, **settings: str) -> Arrange:
    def arrange(scene: Scene) -> list[str]:
        scene.env[variable] = value
        scene.settings.update({name.replace("__", "."): text for name, text in settings.items()})
        return scene.words("run", *more)

    return arrange


def everything_gone(scene: Scene) -> list[str]:
    scene.settings["source.prefix"] = "elsewhere/"
    return scene.words()


def index_gone(scene: Scene) -> list[str]:
    scene.settings["index.path"] = "another-index"
    scene.s3.client().put_object(Bucket=BUCKET, Key="new.jpg", Body=media_files.jpeg(9))
    return scene.words()


def state_moved_under(scene: Scene) -> list[str]:
    """The state names a file that is not there."""
    state = scene.folder / "state"
    next((state / "objects").glob("*.parquet")).unlink()
    return scene.words()


def toml_with(text: str) -> Arrange:
    return wrote("sensedex.toml", text, "plan")


def env_with(name: str, value: str) -> Arrange:
    def arrange(scene: Scene) -> list[str]:
        scene.env[name] = value
        return scene.words("plan")

    return arrange


def not_media(scene: Scene) -> list[str]:
    (scene.folder / "q.jpg").write_bytes(b"no picture")
    return scene.words("search", "--image", "q.jpg")
