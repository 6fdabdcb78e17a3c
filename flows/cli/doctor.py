"""`sensedex doctor`: looks at what a run needs, and says what to do where it is missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from encoders.card import EncoderCard
from encoders.catalogue import CARDS
from encoders.errors import EncoderError
from encoders.loading import expected_precisions
from encoders.precision import TowerPrecision, fall_back_lines, precision_summary
from flows import prefect_server
from flows.cli.doctor_qdrant import collection_finding, qdrant_finding
from flows.cli.finding import Finding, Verdict
from pipeline.embed import ray_start
from pipeline.embed.nvdec_proof import kept_proof
from pipeline.errors import SensedexError
from pipeline.media import nvdec
from pipeline.media.ffmpeg import find_ffmpeg
from pipeline.media.sandbox.protocol import BrokenWireError
from pipeline.media.sandbox.self_test import confinement
from pipeline.models.spaces import DECODED, cards_of
from pipeline.report.read import read_status
from pipeline.settings import Settings
from pipeline.settings_embedding import DecodeSettings
from pipeline.source.source import open_source

PACKAGES = ("torch", "torchaudio", "ray", "prefect", "qdrant-client", "pyarrow", "boto3", "av")
GB = 2**30
ANSWER_WITHIN_S = 8.0


def examine(settings: Settings) -> Iterator[Finding]:
    """Every finding in turn; nothing is written, no model is loaded. Others' answers are waited for
    beside what takes its time here, and no longer than ANSWER_WITHIN_S."""
    what = "bucket" if settings.source.folder is None else "folder"
    source = _asked(what, lambda: _source(what, settings))
    qdrant = _asked("qdrant", lambda: qdrant_finding(settings))
    # Local mode has no graph, no quantization and no limits, and one may open it at a time.
    collection = (
        _asked("collection", lambda: collection_finding(settings)) if settings.index.url else None
    )
    state = _asked("state", lambda: _state(settings))
    yield _python()
    yield _machine()
    yield _disk()
    yield _gpu()
    yield _packages()
    yield _ffmpeg(settings)
    if settings.decode.decoder == "nvdec" or nvdec.is_there():
        yield nvdec_finding(settings.decode)
    yield encoder_finding(settings)
    yield source()
    yield qdrant()
    if collection is not None:
        yield collection()
    yield state()
    yield _guarded("prefect", _prefect)
    yield _guarded("ray", _ray)
    decode = settings.decode
    yield Finding(
        "limits",
        Verdict.OK,
        f"a decoder's child: {decode.max_memory_mb} MB, {decode.max_cpu_s} s CPU, "
        f"{decode.max_wall_s} s, {decode.max_pixels / 1e6:.0f} megapixels, "
        f"{decode.max_streams} streams, {decode.max_segments:,} windows",
    )
    yield child_finding(decode)


def _python() -> Finding:
    version = platform.python_version()
    good = (3, 11) <= sys.version_info < (3, 14)
    detail = f"{version} on {platform.system()} {platform.machine()}"
    return Finding(
        "python", Verdict.OK if good else Verdict.WARN, detail, "Use Python 3.11 to 3.13."
    )


def _machine() -> Finding:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    enough = memory >= 4 * GB
    return Finding(
        "machine",
        Verdict.OK if enough else Verdict.WARN,
        f"{os.cpu_count()} cores, {memory / GB:.0f} GB of memory",
        "4 GB of memory are little for Ray and an encoder.",
    )


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    enough = free > 5 * GB
    detail = f"{free / GB:.0f} GB free here"
    return Finding("disk", Verdict.OK if enough else Verdict.WARN, detail, "Make some room.")


def _gpu() -> Finding:
    import torch

    if not torch.cuda.is_available():
        from encoders.processor import has_fast_bf16, has_vnni

        bf16, vnni = ("yes" if has else "no" for has in (has_fast_bf16(), has_vnni()))
        cpu = f"none; the encoder runs on the CPU (bf16 of its own: {bf16}, VNNI for int8: {vnni})"
        return Finding("gpu", Verdict.OK, cpu)
    names = {torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    return Finding("gpu", Verdict.OK, f"{torch.cuda.device_count()} x {', '.join(names)}")


def _packages() -> Finding:
    detail = ", ".join(f"{package} {_version(package)}" for package in PACKAGES)
    try:  # pip puts any torchaudio beside any torch
        importlib.import_module("encoders.preprocess.audio")
    except EncoderError as error:
        return Finding("packages", Verdict.FAIL, error.message, error.remedy)
    return Finding("packages", Verdict.OK, detail)


def _ffmpeg(settings: Settings) -> Finding:
    try:
        found = find_ffmpeg(settings.decode)
    except SensedexError as error:
        return Finding("ffmpeg", Verdict.FAIL, error.message, error.remedy)
    origin = {"system": "from the system", "wheel": "from a wheel", "setting": "as set"}
    detail = f"{found.version}, {origin.get(found.origin, found.origin)}: {found.path}"
    return Finding("ffmpeg", Verdict.OK, detail)


def nvdec_finding(decode: DecodeSettings) -> Finding:
    """Whether the GPU may decode, and how far its frames were from the CPU's."""
    try:
        nvdec.check_nvdec(decode)
    except SensedexError as error:
        return Finding("nvdec", Verdict.FAIL, error.message, error.remedy)
    words = []
    for codec in nvdec.CODECS:
        proof = kept_proof(codec)
        if proof is None:
            words.append(f"{codec} (proved by the first run)")
        elif proof.difference is None:
            words.append(f"{codec} on the CPU ({proof.why})")
        else:
            where = "" if proof.holds else " on the CPU"
            words.append(f"{codec}{where} ({proof.difference:.2f} levels from the CPU's frames)")
    return Finding("nvdec", Verdict.OK, ", ".join(words))


def child_finding(decode: DecodeSettings) -> Finding:
    """What a decoding child reaches, by one that tries."""
    try:
        found = confinement(decode)
    except (BrokenWireError, OSError) as error:
        return Finding("child", Verdict.FAIL, f"no decoder's child can be started: {error}", "")
    network = "reaches the network" if found.connects else "no network"
    files = "can open other files" if found.opens else "no file but its object"
    by = ", ".join(found.means) or "nothing of the kernel's"
    return Finding(
        "child",
        Verdict.WARN if found.connects or found.opens else Verdict.OK,
        f"a decoder's child: {network}, {files} (tried; by {by})",
        "The lists of formats and protocols hold all the same. For more: a kernel with Landlock "
        "(5.13), and a container that allows seccomp or namespaces (docs/security.md).",
    )


def encoder_finding(settings: Settings) -> Finding:
    """The encoders of these settings, and what each of their towers runs in on this machine."""
    try:
        cards = cards_of(settings)
        precisions = [_precisions(settings, card) for card in cards]
    except (EncoderError, SensedexError) as error:
        return Finding("encoder", Verdict.FAIL, error.message, error.remedy)
    detail = "; ".join(
        f"{card.name}: {', '.join(card.modalities)}; {card.dimension} dimensions; "
        f"{card.weights_digest[:23]}; precision: {precision_summary(used)}"
        for card, used in zip(cards, precisions, strict=True)
    )
    if fallen := fall_back_lines([one for used in precisions for one in used]):
        return Finding("encoder", Verdict.WARN, detail, " ".join(fallen))
    if cards[0].meaningful:
        return Finding("encoder", Verdict.OK, detail)
    return Finding(
        "encoder",
        Verdict.WARN,
        f"{detail}; untrained, its vectors carry no meaning",
        "--weights imagebind_huge.pth --encoder imagebind-huge",
    )


def _precisions(settings: Settings, card: EncoderCard) -> list[TowerPrecision]:
    """What each tower computes in on this machine, as far as it has been proved."""
    encode = settings.encode
    found = expected_precisions(card, device=encode.device, precision=encode.precision)
    return [one for one in found if one.modality in DECODED]


def _source(what: str, settings: Settings) -> Finding:
    source = settings.source
    if not source.name:
        return Finding(
            what, Verdict.WARN, "none named", "--bucket NAME or --source FOLDER, or `sensedex init`"
        )
    place = open_source(source)
    place.check()
    if source.inventory is not None or source.manifest is not None:  # to list is to sort all of it
        return Finding(what, Verdict.OK, " ".join((f"{source.title} is named", *place.notes())))
    first = next(place.listed(), None)
    detail = f"{source.title} can be listed" + ("" if first else ", and is empty")
    return Finding(what, Verdict.OK if first else Verdict.WARN, detail, "Check source.prefix.")


def _state(settings: Settings) -> Finding:
    status = read_status(settings)
    busy = f"; {status.lease_holder} is writing" if status.lease_holder else ""
    last = f"last run {status.run_id}" if status.run_id else "no run yet"
    return Finding("state", Verdict.OK, f"{status.location}: {last}{busy}")


def _prefect() -> Finding:
    api = os.environ.get("PREFECT_API_URL")
    prefect_server.first_contact(api)
    return Finding("prefect", Verdict.OK, api or "no PREFECT_API_URL: no server is needed")


def _ray() -> Finding:
    ray_start.first_contact()
    address = os.environ.get("RAY_ADDRESS")
    return Finding("ray", Verdict.OK, address or "no RAY_ADDRESS: a session of the run's own")


def _asked(what: str, look: Callable[[], Finding]) -> Callable[[], Finding]:
    """Begin to look, in a thread that dies with the process; the answer is for who calls."""
    found: Future[Finding] = Future()
    began = time.monotonic()

    def ask() -> None:
        try:
            found.set_result(_guarded(what, look))
        except BaseException as error:  # noqa: BLE001  a defect, for who waits for the answer
            found.set_exception(error)

    def answer() -> Finding:
        try:
            return found.result(max(0.0, began + ANSWER_WITHIN_S - time.monotonic()))
        except TimeoutError:
            said = f"no answer yet after {ANSWER_WITHIN_S:g} s"
            return Finding(what, Verdict.FAIL, said, "It is slow, or hangs: look at its server.")

    threading.Thread(target=ask, daemon=True, name=f"doctor-{what}").start()
    return answer


def _guarded(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except SensedexError as error:
        return Finding(what, Verdict.FAIL, error.message, error.remedy)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def render_findings(findings: list[Finding]) -> RenderableType:
    """The findings as a table, and the encoders with their licences."""
    styles = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}
    table = Table(show_header=False, box=None, pad_edge=False)
    for finding in findings:
        remedy = "" if finding.verdict is Verdict.OK else finding.remedy
        detail = Text(finding.detail + (f"\n{remedy}" if remedy else ""))
        table.add_row(Text(finding.verdict, style=styles[finding.verdict]), finding.what, detail)
    cards = Table("encoder", "modalities", "dimensions", "licence", box=None, pad_edge=False)
    for card in CARDS.values():
        cards.add_row(card.name, ", ".join(card.modalities), str(card.dimension), card.licence)
    return Group(table, "", cards)
