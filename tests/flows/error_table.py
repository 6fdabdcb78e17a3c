"""Every error that a person can cause: how it is made, and what the command is to say of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flows.cli.exit_codes import Exit
from tests.flows.error_scene import (
    BUCKET,
    NEVER,
    Answer,
    Arrange,
    Scene,
    certificate_for,
    mounted,
    silent_port,
)
from tests.support import media_files
from tests.support.iam_guard import Guard, Policy


@dataclass(frozen=True)
class Case:
    """`says`: the thing and the remedy, in words that must be there. `writes`: what may be written
    before the error is met, as the beginnings of names; else nothing is. `mounts`: needs a disk of
    its own. `error` is the class's name, empty for what the command line's parser refuses."""

    name: str
    error: str
    code: str
    status: Exit
    says: tuple[str, ...]
    arrange: Arrange
    writes: tuple[str, ...] = ()
    mounts: bool = False
    indexed: bool = False


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


U, P, T = Exit.USAGE, Exit.PERMANENT, Exit.TRANSIENT
STORE, CREDENTIALS, SETTINGS = "StoreUnavailable", "CredentialsMissing", "SettingsError"
LEASE = ("state", "state/lease.json", "state/.writing")
HTTP401 = Answer(401, '{"status": {"error": "Invalid API key"}}')
DIGEST: Any = {"encode.weights_sha256": "0" * 64}

CASES = [
    # The bucket
    Case("no credentials", CREDENTIALS, "credentials", P,
         ("s3://media", "AWS_ACCESS_KEY_ID"), without_credentials),
    Case("unknown profile", CREDENTIALS, "credentials", P, ("source.profile",), unknown_profile),
    Case("expired token", CREDENTIALS, "credentials", P,
         ("ExpiredToken", "session token"), s3_says(Answer.s3_error(400, "ExpiredToken"))),
    Case("refused key", CREDENTIALS, "credentials", P, ("InvalidAccessKeyId", "access key"),
         s3_says(Answer.s3_error(403, "InvalidAccessKeyId"))),
    Case("nobody behind the endpoint", STORE, "store_unavailable", T,
         ("127.0.0.1:9", "connection refused", "source.endpoint_url"),
         run_with({"source.endpoint_url": NEVER})),
    Case("unknown host", STORE, "store_unavailable", T,
         ("nobody.invalid", "not known", "source.endpoint_url"),
         run_with({"source.endpoint_url": "http://nobody.invalid"})),
    Case("silent endpoint", STORE, "store_unavailable", T,
         ("no answer within", "source.endpoint_url"), silent_endpoint),
    Case("certificate of another name", SETTINGS, "tls", U,
         ("127.0.0.1", "other.example", "source.endpoint_url"), another_name),
    Case("certificate of nobody", SETTINGS, "tls", U,
         ("self-signed", "AWS_CA_BUNDLE"), unknown_authority),
    Case("TLS where there is none", SETTINGS, "tls", U, ("http:// or https://",),
         tls_asked_of_none),
    Case("no bucket", "BucketNotFound", "bucket_not_found", P,
         ("'no-such'", "source.bucket"), run_with({"source.bucket": "no-such"})),
    Case("another region", SETTINGS, "settings", U, ("'media'", "source.region"),
         s3_says(Answer.s3_error(301, "PermanentRedirect"))),
    Case("another address", SETTINGS, "settings", U,
         ("https://elsewhere", "source.endpoint_url"),
         s3_says(Answer(301, headers=(("Location", "https://elsewhere/media"),)))),
    Case("denied listing", CREDENTIALS, "credentials", P, ("s3://media", "s3:ListBucket"),
         allowed("s3:GetObject")),
    Case("server's own error", STORE, "store_unavailable", T, ("s3://media", "Run again"),
         s3_says(Answer.s3_error(500, "InternalError"))),
    Case("listing without its end", "ListingEndedEarly", "listing_ended_early", T,
         ("'media'", "--allow-short-listing"), s3_says(Answer.listing("a.jpg", truncated=True))),
    Case("listing in no order", "ListingUnsorted", "listing_unsorted", P, ("b.jpg",),
         s3_says(Answer.listing("b.jpg", "a.jpg"))),
    Case("no name of a bucket", SETTINGS, "settings", U, ("a b!", "source.bucket"),
         run_with({"source.bucket": "a b!"})),
    Case("no endpoint", SETTINGS, "settings", U, ("source.endpoint_url", "http://host"),
         run_with({"source.endpoint_url": "nonsense"})),
    Case("secret in the endpoint", SETTINGS, "settings", U, ("source.endpoint_url", "AWS"),
         run_with({"source.endpoint_url": "http://user:hush-hush@host"})),
    # The queue
    Case("no queue", SETTINGS, "settings", U, ("events.queue_url", "docs/events.md"),
         run_with({}, "events", "--once")),
    Case("no address of a queue", SETTINGS, "settings", U, ("events.queue_url", "ACCOUNT"),
         run_with({"events.queue_url": "media"}, "events", "--once")),
    Case("nobody at the queue", "QueueUnavailable", "queue_unavailable", T,
         ("127.0.0.1:9", "connection refused", "events.queue_url"),
         run_with({"events.queue_url": f"{NEVER}/1/media"}, "events", "--once")),
    Case("no such queue", "QueueRefused", "queue_refused", P, ("'/1/media'", "events.queue_url"),
         queue_says(Answer(400, '{"__type": "com.amazonaws.sqs#QueueDoesNotExist"}'))),
    Case("denied queue", "QueueRefused", "queue_refused", P, ("sqs:ReceiveMessage", "infra/iam"),
         queue_says(Answer(403, '{"__type": "AccessDenied"}'))),
    # The state
    Case("no state", SETTINGS, "settings", U, ("ftp://x", "state.location"),
         run_with({"state.location": "ftp://x"})),
    Case("state is a file", SETTINGS, "settings", U, ("state", "folder that can be written"),
         wrote("state", "a file")),
    Case("read-only state", SETTINGS, "settings", U,
         ("Read-only", "state.location"), read_only, mounts=True),
    Case("no room for the state", STORE, "store_unavailable", T,
         ("No space left", "disk"), full_state, ("state", "index"), mounts=True),
    Case("no room for scratch files", "ScratchFull", "no_room", T, ("tmp", "TMPDIR"),
         full_scratch, mounts=True),
    Case("denied state", CREDENTIALS, "credentials", P,
         ("s3://media/state/lease.json", "s3:PutObject"),
         allowed("s3:ListBucket", "s3:GetObject", state="s3://media/state")),
    Case("broken state", "StateCorrupt", "state_corrupt", P, ("current.json",),
         wrote("state/current.json", "{")),
    Case("broken lease", "StateCorrupt", "state_corrupt", P, ("lease.json", "remove"),
         wrote("state/lease.json", "{"), LEASE),
    Case("state without its file", "StateCorrupt", "state_corrupt", P, ("objects/",),
         state_moved_under, indexed=True),
    Case("another run at work", "LeaseHeld", "lease_held", T,
         ("20260101T000000-abc123", "Wait"), lease_of_another),
    # The index
    Case("Qdrant away", "IndexUnavailable", "index_unavailable", T,
         ("127.0.0.1:9", "connection refused", "index.url"), qdrant_at(NEVER)),
    Case("Qdrant without gRPC", "IndexUnavailable", "index_unavailable", T,
         ("6334", "index.prefer_grpc"), qdrant_at("http://nobody.invalid", grpc=True)),
    Case("Qdrant silent", "IndexUnavailable", "index_unavailable", T,
         ("no answer within", "index.url"), silent_qdrant),
    Case("Qdrant's key", "IndexRefused", "index_refused", P,
         ("refused the key", "SENSEDEX_INDEX__API_KEY"), qdrant_says(HTTP401)),
    Case("Qdrant at its limit", "IndexUnavailable", "rate_limited", T,
         ("too many requests", "rate limit"), qdrant_says(Answer(429, "{}"))),
    Case("Qdrant's certificate", SETTINGS, "tls", U, ("self-signed", "index.url"),
         untrusted_qdrant),
    Case("another dimension", "IndexMismatch", "index_mismatch", P,
         ("'media'", "8 dimensions", "--collection"), another_dimension),
    Case("folder held by another process", "IndexUnavailable", "index_unavailable", T,
         ("index", "another process", "index.url"), opened_elsewhere, LEASE),
    Case("broken folder", "IndexUnreadable", "index_unreadable", P, ("meta.json", "index.path"),
         wrote("index/meta.json", "{")),
    Case("index gone", "IndexLost", "index_lost", P, ("another-index", "verify --repair"),
         index_gone, indexed=True),
    # The run
    Case("too many removals", "PlanRefused", "plan_refused", P,
         ("would remove", "--allow-removals"), everything_gone, indexed=True),
    Case("too many denied", "TooManyDenied", "too_many_denied", P,
         ("may not be read", "--allow-denied"), allowed("s3:ListBucket"),
         ("state", "index", ".sensedex")),
    Case("no manifest", "ManifestInvalid", "manifest_invalid", P,
         ("nowhere.csv", "source.manifest"),
         run_with({"source.manifest": "nowhere.csv"})),
    Case("no bucket named", SETTINGS, "settings", U, ("source.bucket", "--bucket"), plain("run")),
    Case("no ffmpeg", SETTINGS, "settings", U, ("no-ffmpeg",),
         run_with({"decode.ffmpeg_path": "no-ffmpeg"})),
    Case("no Ray", "RayUnavailable", "ray_unavailable", T,
         ("127.0.0.1:9", "RAY_ADDRESS"),
         nobody_in("RAY_ADDRESS", "127.0.0.1:9", embed__engine="ray")),
    Case("no Prefect", "PrefectUnavailable", "prefect_unavailable", T,
         ("127.0.0.1:9", "PREFECT_API_URL"),
         nobody_in("PREFECT_API_URL", f"{NEVER}/api", "--flow")),
    # The encoder
    Case("unknown encoder", "UnknownEncoder", "unknown_encoder", U, ("nope", "imagebind-huge"),
         run_with({"encode.encoder": "nope"})),
    Case("no weights", "WeightsError", "weights", U, ("imagebind-huge", "--weights"),
         run_with({"encode.encoder": "imagebind-huge"})),
    Case("weights that are not there", "WeightsError", "weights", U, ("no.pth", "encode.weights"),
         run_with({"encode.weights": "no.pth"})),
    Case("bad weights", "WeightsError", "weights", U, ("w.safetensors",), weights_with({})),
    Case("weights of another network", "WeightsError", "weights", U,
         ("other.safetensors",), weights_of_another_network),
    Case("wrong digest", "WeightsError", "weights", U, ("w.safetensors", "digest"),
         weights_with(DIGEST)),
    Case("weights without a digest", "WeightsError", "weights", U,
         ("s3://media/w.pth", "weights_sha256"), run_with({"encode.weights": "s3://media/w.pth"})),
    Case("weights not in the bucket", "WeightsError", "weights", U,
         ("s3://media/w.pth", "encode.weights"),
         run_with({"encode.weights": "s3://media/w.pth", **DIGEST})),
    Case("weights of a URL", "WeightsError", "weights", U, ("sensedex weights get",),
         run_with({"encode.weights": "https://host/w.pth"})),
    # Settings and words
    Case("unknown setting", SETTINGS, "settings", U, ("source.buckets", "sensedex init"),
         run_with({"source.buckets": "x"})),
    Case("wrong value", SETTINGS, "settings", U, ("decode.window_ms", "sensedex.toml"),
         run_with({"decode.window_ms": "5"})),
    Case("wrong value in the environment", SETTINGS, "settings", U,
         ("decode.window_ms", "SENSEDEX_DECODE__WINDOW_MS"),
         env_with("SENSEDEX_DECODE__WINDOW_MS", "5")),
    Case("no TOML", SETTINGS, "settings", U, ("sensedex.toml", "TOML"), toml_with("bucket = ")),
    Case("no text", SETTINGS, "settings", U, ("sensedex.toml",),
         wrote("sensedex.toml", b"\xff\xfe\x00", "plan")),
    Case("no settings file", SETTINGS, "settings", U, ("nowhere.toml", "sensedex init"),
         plain("plan", "--settings", "nowhere.toml")),
    Case("no assignment", SETTINGS, "settings", U, ("nonsense", "part.field=value"),
         plain("plan", "--set", "nonsense")),
    Case("key that steers", SETTINGS, "settings", U, ("\\x1b[31m",),
         plain("plan", "--settings", "\x1b[31m[red]\n.toml")),
    Case("no queries", SETTINGS, "settings", U, ("no.jsonl",),
         run_with({"search.queries": "no.jsonl"})),
    Case("unknown command", "", "usage", U, ("serch", "search"), plain("serch")),
    Case("unknown flag", "", "usage", U, ("--nope",), plain("run", "--nope")),
    Case("nothing to retry", "", "usage", U, ("--all",), plain("retry")),
    # The other commands
    Case("no collection to search", SETTINGS, "settings", U, ("'media'", "sensedex run"),
         run_with({}, "search", "words")),
    Case("no file to search by", SETTINGS, "settings", U, ("no.jpg",),
         run_with({}, "search", "--image", "no.jpg"), indexed=True),
    Case("no media to search by", SETTINGS, "not_media", U, ("q.jpg", "Give a picture"), not_media,
         indexed=True),
    Case("empty search", SETTINGS, "settings", U, ("--image",), run_with({}, "search"),
         indexed=True),
    Case("no such vector", SETTINGS, "settings", U, ("'smell'", "vision"),
         run_with({}, "search", "words", "--using", "smell"), indexed=True),
    Case("no report", SETTINGS, "settings", U, ("no report",), plain("report")),
    Case("report nowhere", SETTINGS, "settings", U, ("no/folder/r.html",),
         run_with({}, "report", "--out", "no/folder/r.html"), indexed=True),
    Case("nothing to rebuild", SETTINGS, "settings", U, ("sensedex run",),
         run_with({}, "rebuild")),
    Case("nothing to roll back", SETTINGS, "settings", U, ("'media'", "sensedex rebuild"),
         run_with({}, "rebuild", "--rollback"), LEASE, indexed=True),
    Case("settings file is there", SETTINGS, "settings", U, ("--force",),
         wrote("sensedex.toml", "", "init")),
    Case("settings file nowhere", SETTINGS, "settings", U, ("no/folder/s.toml",),
         plain("init", "no/folder/s.toml")),
    Case("no list to evaluate", SETTINGS, "settings", U, ("no.jsonl",),
         run_with({}, "evaluate", "no.jsonl"), indexed=True),
    Case("no pairs to bind", "InputError", "encoder_input", U, ("no.csv",),
         plain("bind", "--pairs", "no.csv", "--out", "b.safetensors")),
    Case("not a folder of ours", SETTINGS, "settings", U, ("/tmp", ".sensedex"),
         plain("clean", "--folder", "/tmp")),
]  # fmt: skip

# Errors of the tree that no case above makes, and why.
ELSEWHERE = {
    "Transient": "the branch of the tree, raised by nobody",
    "Permanent": "the branch of the tree, raised by nobody",
    "SensedexError": "the tree, raised by nobody",
    "EncoderError": "the tree, raised by nobody",
    "ObjectChanged": "of one object: `sensedex failures` has it",
    "ObjectDenied": "of one object: `sensedex failures` has it",
    "MediaRejected": "of one object: `sensedex failures` has it",
    "GateRefused": "a rebuild that would lose something, tests/pipeline/rebuild",
    "ObjectArchived": "of one object: `sensedex failures` has it",
    "PreconditionFailed": "caught by the store",
    "AlreadyThere": "caught by who writes",
    "VersionConflict": "caught by who writes",
    "NotAnEvent": "of one message: it is left, tests/pipeline/test_events.py",
    "LeaseLost": "another run's doing, tests/pipeline/test_lease.py",
    "StateMoved": "another run's doing, tests/flows/test_index.py",
    "ShardsMissing": "a cluster that loses all, tests/pipeline/test_attempts.py",
    "GraphBroken": "a cluster that loses all, tests/pipeline/test_attempts.py",
    "DeviceUnavailable": "an object's outcome, tests/pipeline/media/test_nvdec.py",
    "NodesUnfit": "of a cluster of Ray's, tests/integration/test_cluster.py",
    "NodesUnavailable": "of a cluster of Ray's, tests/pipeline/test_cluster_checks.py",
    "IndexNotShared": "of a cluster of Ray's, tests/pipeline/test_cluster_checks.py",
    "FolderNotShared": "part of NodesUnfit, tests/pipeline/test_cluster_checks.py",
    "OtherVersion": "part of NodesUnfit, tests/pipeline/test_cluster_checks.py",
    "OtherWeights": "part of NodesUnfit, tests/pipeline/test_cluster_checks.py",
    "CallLost": "of a cluster of Ray's, tests/pipeline/test_cluster_calls.py",
    "CallsEnded": "of a cluster of Ray's, tests/pipeline/test_cluster_calls.py",
    "RayDied": "a process that was killed, tests/chaos",
    "ReceiptGone": "a receipt that was removed by hand, tests/pipeline/test_receipts.py",
    "CopyIncomplete": "another run's doing, tests/pipeline/rebuild/test_meanwhile.py",
    "RebuildOvertaken": "another run's doing, tests/pipeline/rebuild/test_meanwhile.py",
    "PrefectRefused": "of `sensedex deploy`, whose tests have a Prefect server",
    "IndexWrong": "of the flow `reconcile`, tests/flows/test_reconcile.py",
    "RequestRefused": "of a request by HTTP, tests/serve",
    "ServerBusy": "of a request by HTTP, tests/serve",
    "BrokenWeights": "a network whose answer is not finite, tests/encoders",
}
