"""Asks a server what its index finds of what is nearest, as configured and exactly.

It asks with a sample of the vectors that are stored there, on a connection of its own, so that a
server that does not answer costs no more than the time that it was given.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import SensedexError
from pipeline.index.connection import Connection, open_connection
from pipeline.index.oversampling import FITTING, quantization_of
from pipeline.index.types import Hit
from pipeline.index.vector_index import VectorIndex
from pipeline.served_recall import (
    IN_A_FOLDER,
    NEIGHBOURS,
    Looking,
    ServedRecall,
    VectorRecall,
    can_reach,
    ladder,
    propose,
    share_found,
)
from pipeline.settings_index import IndexSettings

# Fewer are no figure, unless there are no more; the last third of the time is for other settings.
FEWEST_QUERIES = 10
TIME_AS_CONFIGURED = 2 / 3


@dataclass(frozen=True, slots=True)
class Effort:
    """At most so many stored vectors of each name are asked with, and for so long."""

    queries: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Question:
    """A stored vector, and what is nearest to it by exact search, without itself."""

    vector_name: str
    point_id: str
    vector: NDArray[np.float32]
    nearest: Sequence[Hit] = ()


def measure_recall(
    settings: IndexSettings,
    effort: Effort,
    seed: int,
    on_search: Callable[[float], None] = lambda _: None,
) -> ServedRecall:
    """Only reads. What goes wrong is the reason why there is no figure, and no error. `on_search`
    is told the seconds of each search as the index is configured."""
    if settings.url is None:
        return ServedRecall(unmeasured=IN_A_FOLDER)
    until = time.monotonic() + effort.seconds
    at_most = min(settings.timeout_s, max(1, math.ceil(effort.seconds)))
    bounded = settings.model_copy(update={"timeout_s": at_most})
    try:
        with open_connection(bounded) as connection:
            found = _Measurement(connection, bounded, effort, seed, until, on_search).measured()
    except SensedexError as error:
        found = ServedRecall(unmeasured=error.message)
    return replace(found, seconds=round(effort.seconds - (until - time.monotonic()), 3))


def nearest_to(
    index: VectorIndex, question: Question, *, exact: bool, among: Sequence[str] = ()
) -> list[Hit]:
    """The ten nearest live segments, without the one whose vector it is, where it is one."""
    hits = index.query(
        question.vector_name,
        question.vector,
        NEIGHBOURS + bool(question.point_id),
        among=among,
        exact=exact,
        with_payload=False,
    )
    return [hit for hit in hits if hit.point_id != question.point_id][:NEIGHBOURS]


def share_of(
    index: VectorIndex, question: Question, on_search: Callable[[float], None] = lambda _: None
) -> float:
    """What a search as `index` is set finds of the question's nearest, by exact scores."""
    began = time.monotonic()
    ids = [hit.point_id for hit in nearest_to(index, question, exact=False)]
    on_search(time.monotonic() - began)
    known = {hit.point_id: hit.score for hit in question.nearest}
    scores = [known[point] for point in ids if point in known]
    if others := [point for point in ids if point not in known]:
        scores += [hit.score for hit in nearest_to(index, question, exact=True, among=others)]
    return share_found([hit.score for hit in question.nearest], scores)


class _Measurement:
    def __init__(
        self,
        connection: Connection,
        settings: IndexSettings,
        effort: Effort,
        seed: int,
        until: float,
        on_search: Callable[[float], None],
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._effort = effort
        self._seed = seed
        self._until = until
        self._on_search = on_search
        self._index = VectorIndex(connection, settings)

    def measured(self) -> ServedRecall:
        if not self._index.exists():
            return ServedRecall(unmeasured="there is no such collection yet.")
        with self._connection.call("reading the collection") as client:
            found = client.get_collection(self._settings.collection)
        named = found.config.params.vectors
        names = sorted(named) if isinstance(named, dict) else []
        sample = {name: questions for name in names if (questions := self._sampled(name))}
        if not sample:
            return ServedRecall(unmeasured="there is no live segment to ask with.")
        asked, shares = self._as_configured(sample)
        for name, questions in sample.items():
            if len(asked[name]) < min(FEWEST_QUERIES, len(questions)):
                return ServedRecall(
                    unmeasured=f"in {self._effort.seconds:g} s the server answered only "
                    f"{len(asked[name])} exact searches of {name!r}."
                )
        quantization = quantization_of(found)
        oversampling = self._settings.oversampling or FITTING.get(quantization, FITTING["int8"])
        looking = Looking(self._settings.hnsw_ef, oversampling)
        recall = ServedRecall(
            looking=looking,
            server_ef=found.config.hnsw_config.ef_construct,
            quantization=quantization,
            vectors=tuple(
                VectorRecall(name, len(some), round(float(np.mean(some)), 4))
                for name, some in shares.items()
            ),
            building=found.status.value != "green",
            seed=self._seed,
        )
        if not recall.short:
            return recall
        rungs = ladder(looking, recall.server_ef, quantized=quantization != "none")
        short = {vector.vector_name: asked[vector.vector_name] for vector in recall.short}

        def shares_at(rung: Looking) -> dict[str, float] | None:
            return self._shares_at(rung, short, whole=rung == rungs[-1])

        return replace(recall, proposal=propose(rungs, shares_at))

    def _sampled(self, name: str) -> list[Question]:
        """By an id that the seed gives, the same each time: ids are digests, so that those which
        follow any one of them are a sample of all."""
        drawn = np.random.default_rng([self._seed & 0xFFFFFFFF, *name.encode()]).bytes(16)
        points = self._index.points().live_vectors(
            name, self._effort.queries, str(uuid.UUID(bytes=drawn))
        )
        return [Question(name, str(p.point_id), p.vectors[name]) for p in points]

    def _as_configured(
        self, sample: dict[str, list[Question]]
    ) -> tuple[dict[str, list[Question]], dict[str, list[float]]]:
        """In turns, a question of each name at a time: what was asked when the time for it is
        over."""
        asked: dict[str, list[Question]] = {name: [] for name in sample}
        shares: dict[str, list[float]] = {name: [] for name in sample}
        enough = self._until - self._effort.seconds * (1 - TIME_AS_CONFIGURED)
        for turn in range(self._effort.queries):
            until = enough if turn >= FEWEST_QUERIES else self._until
            for name, questions in sample.items():
                if turn >= len(questions):
                    continue
                if time.monotonic() > until:
                    return asked, shares
                whole = nearest_to(self._index, questions[turn], exact=True)
                asked[name].append(replace(questions[turn], nearest=whole))
                shares[name].append(share_of(self._index, asked[name][-1], self._on_search))
        return asked, shares

    def _shares_at(
        self, looking: Looking, questions: dict[str, list[Question]], *, whole: bool
    ) -> dict[str, float] | None:
        """None when the time is up. Unless it is to be `whole`, it ends where a vector cannot find
        enough any more."""
        update = {"hnsw_ef": looking.hnsw_ef, "oversampling": looking.oversampling}
        index = VectorIndex(self._connection, self._settings.model_copy(update=update))
        found: dict[str, float] = {}
        for name, some in questions.items():
            shares: list[float] = []
            for question in some:
                if time.monotonic() > self._until:
                    return None
                shares.append(share_of(index, question))
                if not whole and not can_reach(shares, len(some)):
                    return {name: float(np.mean(shares))}
            found[name] = round(float(np.mean(shares)), 4)
        return found
