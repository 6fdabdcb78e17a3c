"""Checks of a machine, made on it: has it all that decoding and encoding for a run takes?

`check_node` is called once on every node of a Ray cluster before a run writes anything
(`pipeline.run.cluster_checks` asks and judges). It leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import encoders
import pipeline
from encoders.catalogue import card_for
from encoders.errors import EncoderError
from pipeline.errors import Permanent, ScratchFull, SensedexError
from pipeline.local_files import scratch_folder
from pipeline.media.ffmpeg import find_ffmpeg
from pipeline.media.nvdec import check_nvdec
from pipeline.models.weights import local_weights
from pipeline.records import MediaObject
from pipeline.settings import Settings
from pipeline.source.source import check_object
from pipeline.state.objects import CURRENT
from pipeline.state.shared_folder import Token, see_token
from pipeline.state.store import VersionConflict, open_store

SCRATCH_TRIED_BYTES = 2**20
MIB = 2**20


@dataclass(frozen=True, slots=True)
class NodeCheck:
    """What is asked of a node. `sample` is an object that the driver can read; None where it found
    none. `fingerprints` are the driver's encoders', in their order; `token` is for a state that is
    a folder."""

    settings: Settings
    sample: MediaObject | None
    fingerprints: tuple[str, ...]
    versions: Mapping[str, str]
    scratch_bytes: int
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong, in words that fit every node that has it. `kind` is what such nodes
    are gathered by."""

    kind: str
    message: str
    remedy: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """`clock_s` is the node's clock as it answered, in seconds since 1970."""

    clock_s: float
    troubles: tuple[Trouble, ...]


class OtherVersion(Permanent):
    """A node has another version of what makes vectors, or of us."""

    default_code = "other_version"


class OtherWeights(Permanent):
    """A node's weights are not the driver's."""

    default_code = "other_weights"


def check_node(asked: NodeCheck) -> NodeFacts:
    """Everything that can be known in seconds. No model is loaded and no object fetched."""
    settings = asked.settings
    checks: list[tuple[str, Callable[[], None]]] = [
        ("versions", lambda: _check_versions(asked.versions)),
        ("weights", lambda: _check_weights(settings, asked.fingerprints)),
        ("ffmpeg", lambda: _check_ffmpeg(settings)),
        ("nvdec", lambda: check_nvdec(settings.decode)),
        ("scratch", lambda: _check_scratch(asked.scratch_bytes)),
        ("state", lambda: _check_state(settings, asked.token)),
        ("index", lambda: _check_index(settings)),
    ]
    if (sample := asked.sample) is not None:
        checks.append(("source", lambda: check_object(settings.source, sample)))
    troubles = tuple(trouble for name, check in checks for trouble in _tried(name, check))
    return NodeFacts(time.time(), troubles)


def versions_here() -> dict[str, str]:
    """Of what has to be the same everywhere. Of Python the first two numbers, since the third
    changes no result; of torch without the build's name, since a node with a GPU has another."""
    torch = importlib.metadata.version("torch").partition("+")[0]
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": torch,
        "ray": importlib.metadata.version("ray"),
        "sensedex": source_digest(),
    }


def source_digest() -> str:
    """Of the installed modules themselves: a version's name says little of a checkout."""
    digest = hashlib.sha256()
    for package in (encoders, pipeline):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _tried(name: str, check: Callable[[], None]) -> Iterator[Trouble]:
    try:
        check()
    except SensedexError as error:
        # The same credentials read the source and the state: one sentence says it.
        kind = error.code if error.code == "credentials" else f"{name}:{error.code}"
        yield Trouble(kind, error.message, error.remedy, error.retryable)
    except EncoderError as error:
        yield Trouble(f"{name}:{error.code}", error.message, error.remedy, False)
    except OSError as error:
        yield Trouble(
            f"{name}:{error.errno}",
            f"The check of the {name} failed: {error.strerror or error}.",
            "Look at the node's disks and permissions.",
            True,
        )


def _check_versions(wanted: Mapping[str, str]) -> None:
    here = versions_here()
    other = [f"{name} {here[name]} (driver: {wanted[name]})" for name in wanted
             if here[name] != wanted[name]]  # fmt: skip
    if other:
        raise OtherVersion(
            f"Other versions than the driver's: {', '.join(other)}.",
            remedy="Start every node, and the driver, from the same image or requirements.lock.",
        )


def _check_weights(settings: Settings, wanted: tuple[str, ...]) -> None:
    for choice, fingerprint in zip(settings.encode.chosen(), wanted, strict=True):
        if choice.weights is not None and choice.weights.startswith("s3://"):
            # Some gigabytes: the encoder fetches them, and checks them by their digest.
            bucket, _, key = choice.weights.removeprefix("s3://").partition("/")
            check_object(settings.source.model_copy(update={"folder": None}),
                         MediaObject(bucket, key, "", 0, ""))  # fmt: skip
            continue
        weights = local_weights(choice, settings.source)
        card = card_for(choice.encoder, weights, seed=settings.encode.seed)
        if card.fingerprint() != fingerprint:
            raise OtherWeights(
                f"The weights of {choice.encoder} are not those that the driver has.",
                remedy="Copy the driver's file there, or name the weights as s3://bucket/key with "
                "their digest.",
            )


def _check_ffmpeg(settings: Settings) -> None:
    try:
        find_ffmpeg(settings.decode)
    except RuntimeError as error:  # imageio-ffmpeg's, where its wheel has none for the platform
        raise Permanent(
            f"There is no ffmpeg ({error}).", code="no_ffmpeg", remedy="Install ffmpeg there."
        ) from error


def _check_scratch(wanted_bytes: int) -> None:
    with scratch_folder() as folder:
        (folder / "tried").write_bytes(bytes(SCRATCH_TRIED_BYTES))
        free = shutil.disk_usage(folder).free
    if free < wanted_bytes:
        raise ScratchFull(
            f"{tempfile.gettempdir()} has {free // MIB} MiB free, and {wanted_bytes // MIB} MiB "
            "are wanted.",
            remedy="Make room there, or set TMPDIR to a disk that has some.",
        )


def _check_state(settings: Settings, token: Token | None) -> None:
    if token is not None:
        see_token(token)
        return
    store = open_store(settings.state.location, settings.source)
    store.read(CURRENT)
    # Of a name that nothing has: refused for want of a right, or because nothing is there.
    with suppress(VersionConflict):
        store.replace(f"preflight/{uuid.uuid4().hex}", b"", uuid.uuid4().hex)


def _check_index(settings: Settings) -> None:
    if settings.index.url is None:
        return
    from pipeline.index.vector_index import open_index  # Qdrant's client takes a second to import

    with open_index(settings.index) as index:
        index.exists()
