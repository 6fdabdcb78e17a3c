"""Before a run writes anything: can every node of the Ray cluster do its part?

A worker without credentials, with other weights or without ffmpeg would turn each of its objects
into a failed one, hours later. Here it is one sentence for each kind of trouble, with the nodes it
is on, in seconds. Nodes that join later are not looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pipeline.embed.engine import Engine
from pipeline.embed.ray_session import ray_session
from pipeline.embed.ray_start import joins_cluster
from pipeline.errors import Permanent, SensedexError, Transient
from pipeline.planning.file import read_plan
from pipeline.planning.plan import RunPlan
from pipeline.progress import ProgressReporter
from pipeline.records import MediaObject
from pipeline.run.node_checks import NodeCheck, NodeFacts, Trouble, check_node, versions_here
from pipeline.settings import Settings
from pipeline.source.source import check_object
from pipeline.state.shared_folder import token_in

if TYPE_CHECKING:
    from pipeline.embed.cluster import Answer

# S3 takes signatures that are a quarter of an hour off; certificates and logs want less.
MAX_CLOCK_SKEW_S = 60.0
SCRATCH_BYTES = 2**30
SAMPLES_TRIED = 5
NODES_NAMED = 8


class NodesUnfit(Permanent):
    """Nodes of the cluster lack what a person has to give them."""

    default_code = "nodes_unfit"


class NodesUnavailable(Transient):
    """Nodes of the cluster cannot work now, and may later."""

    default_code = "nodes_unavailable"


class IndexNotShared(Permanent):
    """The embedded engine's folder, where the run may be on any machine of several."""

    default_code = "index_not_shared"


@contextmanager
def checked_cluster(
    settings: Settings, planned: RunPlan, engine: Engine, reporter: ProgressReporter
) -> Iterator[None]:
    """The session of the cluster that RAY_ADDRESS names, its nodes looked at; nothing where the run
    is to work on this machine alone.

    Raises NodesUnfit, NodesUnavailable, IndexNotShared, RayUnavailable.
    """
    if engine is not Engine.RAY or not planned.to_embed or not joins_cluster():
        yield
        return
    reporter.phase("joining the Ray cluster")
    with ray_session(settings):
        reporter.record_phase("start Ray")
        reporter.phase("checking the nodes of the cluster")
        check_nodes(for_workers(settings), planned)
        reporter.record_phase("check the nodes")
        yield


def for_workers(settings: Settings) -> Settings:
    """The same with absolute paths: a worker of a cluster is in a folder of its own."""
    encode, state, decode = settings.encode, settings.state, settings.decode
    more = [c.model_copy(update={"weights": _absolute(c.weights)}) for c in encode.additional]
    update = {"weights": _absolute(encode.weights), "additional": tuple(more)}
    parts = {
        "encode": encode.model_copy(update=update),
        "state": state.model_copy(update={"location": _absolute(state.location)}),
    }
    if decode.ffmpeg_path is not None:
        path = decode.ffmpeg_path.expanduser().absolute()
        parts["decode"] = decode.model_copy(update={"ffmpeg_path": path})
    return settings.model_copy(update=parts)


def _absolute(place: str | None) -> str | None:
    return str(Path(place).expanduser().absolute()) if place and "://" not in place else place


def check_nodes(settings: Settings, planned: RunPlan) -> None:
    """One short task on each node that will work. Raises as `checked_cluster` does."""
    from pipeline.embed.cluster import call_on_each, nodes_that_work

    nodes = nodes_that_work()
    if not nodes:
        raise NodesUnavailable(
            "The Ray cluster has no node with a CPU or a GPU.",
            remedy="Start workers, then run again.",
        )
    several = len(nodes) > 1
    if several and settings.index.url is None:
        raise IndexNotShared(
            f"The index is a folder, {settings.index.path}, and the Ray cluster has {len(nodes)} "
            "nodes.",
            remedy="Name a Qdrant server with index.url; or unset RAY_ADDRESS to work on this "
            "machine alone.",
        )
    in_folder = several and "://" not in settings.state.location
    with token_in(settings.state.location) if in_folder else nullcontext() as token:
        asked = NodeCheck(
            settings,
            _sample(settings, planned),
            tuple(card.fingerprint() for card in planned.cards),
            versions_here(),
            min(planned.bytes_to_embed, SCRATCH_BYTES),
            token,
        )
        judge(call_on_each(nodes, check_node, asked))


def _sample(settings: Settings, planned: RunPlan) -> MediaObject | None:
    """An object that this machine can read: what a node then cannot, is the node's trouble."""
    rows = (row.object for row in read_plan(planned.path) if row.shard >= 0)
    for obj in itertools.islice((o for o in rows if o.size_bytes), SAMPLES_TRIED):
        try:
            check_object(settings.source, obj)
        except SensedexError:
            continue  # its own trouble; the run makes a row of it
        return obj
    return None


def judge(answers: Iterable[Answer]) -> None:
    """Raises NodesUnfit where a person has to do something, and NodesUnavailable where it is enough
    to wait."""
    found: dict[str, tuple[Trouble, set[str]]] = {}
    for answer in answers:
        for trouble in _troubles(answer):
            found.setdefault(trouble.kind, (trouble, set()))[1].add(answer.node.name)
    if found:
        _refuse(found)


def _troubles(answer: Answer) -> list[Trouble]:
    if answer.error:
        silent = answer.error.startswith("no answer")
        return [
            Trouble(
                f"start:{answer.error}",
                f"The check could not be made: {answer.error}.",
                "Look at the node, then run again."
                if silent
                else "Install the same sensedex there as here, from one image or one lock file.",
                silent,
            )
        ]
    facts: NodeFacts = answer.result
    off_s = max(answer.began_s - facts.clock_s, facts.clock_s - answer.ended_s, 0.0)
    if off_s <= MAX_CLOCK_SKEW_S:
        return list(facts.troubles)
    return [
        *facts.troubles,
        Trouble(
            "clock",
            f"The clock is {off_s:.0f} s and more off the driver's; {MAX_CLOCK_SKEW_S:.0f} s are "
            "put up with.",
            "Have the nodes keep time by NTP.",
            False,
        ),
    ]


def _refuse(found: Mapping[str, tuple[Trouble, Collection[str]]]) -> NoReturn:
    sentences = [f"{_named(nodes)}: {trouble.message}" for trouble, nodes in found.values()]
    troubles = [trouble for trouble, _ in found.values()]
    remedy = " ".join(dict.fromkeys(t.remedy for t in troubles if t.remedy))
    if all(trouble.retryable for trouble in troubles):
        raise NodesUnavailable(" ".join(sentences), remedy=remedy)
    raise NodesUnfit(" ".join(sentences), remedy=remedy)


def _named(nodes: Collection[str]) -> str:
    shown = sorted(nodes)[:NODES_NAMED]
    more = len(nodes) - len(shown)
    return f"On {'; '.join(shown)}{f' and {more} more' if more else ''}"
