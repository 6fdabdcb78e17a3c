"""The gate that a new collection passes before the alias may show it: all is there, nothing that
readers see now is missing, and its approximate search finds what an exact one does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import Permanent, Transient
from pipeline.index.collections import Collections
from pipeline.index.recall import Question, nearest_to, share_of
from pipeline.index.vector_index import VectorIndex
from pipeline.rebuild.live_set import LiveFile, LivePlan
from pipeline.served_recall import NEIGHBOURS
from pipeline.settings_index import IndexSettings
from pipeline.state.segments import count_row_groups, read_segments
from pipeline.state.store import Store

FILES_SAMPLED = 20
KEYS_NAMED = 3


class GateRefused(Permanent):
    """The new collection is not as good as it should be; the alias stays where it is."""

    default_code = "gate_refused"


class CopyIncomplete(Transient):
    """Not everything that was copied is there."""

    default_code = "copy_incomplete"


@dataclass(frozen=True, slots=True)
class Recall:
    """Of the ten nearest by exact search, the share that approximate search found, over queries."""

    vector_name: str
    queries: int
    share: float


def check_complete(target: VectorIndex, plan: LivePlan) -> None:
    """Raises CopyIncomplete where the numbers of assets and segments are not the plan's."""
    counted = (target.count_assets(), target.count(), target.count(live_only=False))
    if counted != (plan.assets, plan.segments, plan.segments):
        raise CopyIncomplete(
            f"The new collection has {counted[0]} assets, {counted[1]} live segments and "
            f"{counted[2]} in all; {plan.assets} and {plan.segments} were to be copied.",
            remedy="Run it again; if the numbers stay, `sensedex rebuild --fresh` copies anew.",
        )


def check_nothing_lost(current: VectorIndex, target: VectorIndex) -> None:
    """Raises GateRefused where the alias shows assets now that the new collection has not."""
    lost: list[str] = []
    for page in current.anchors():
        there = target.generations([payload["asset_id"] for payload in page])
        lost += [payload.get("key", "?") for payload in page if payload["asset_id"] not in there]
    if lost:
        more = ", ..." if len(lost) > KEYS_NAMED else ""
        raise GateRefused(
            f"{len(lost)} assets that readers see now are not in the new collection: "
            f"{', '.join(map(ascii, lost[:KEYS_NAMED]))}{more}",
            code="assets_missing",
            remedy="`sensedex run`, which finishes what a stopped run began, then rebuild again; "
            "if they are to go, --allow-missing.",
        )


def check_vectors(
    collections: Collections, settings: IndexSettings, shown: str, plan: LivePlan
) -> bool:
    """Whether the collection `shown` holds just the vectors of the plan; it may hold fewer.

    Raises GateRefused where readers by the alias would miss a vector, or ask one that means
    something else than before.
    """
    new = {space.vector_name: space for space in plan.spaces}
    there = collections.vectors_of(shown)
    lacks = [n for n, p in there.items() if n not in new or new[n].dimension != p.size]
    wanted = {space.fingerprint for space in plan.spaces}
    before, encoder = made_by(VectorIndex(collections.connection, settings, shown))
    if lacks or not before <= wanted or encoder not in ("", plan.spaces[0].encoder):
        what = f"the vectors {', '.join(lacks)}" if lacks else "vectors of the same encoder"
        raise GateRefused(
            f"Readers of {settings.collection!r} use {what}, which the new collection would not "
            f"have: it is made by {plan.spaces[0].encoder}.",
            code="other_vectors",
            remedy="Keep the old encoder beside the new one (docs/rebuild.md); or, where every "
            "reader changes with the flip, --new-vectors.",
        )
    return there.keys() == new.keys() and (not before or before == wanted)


def made_by(shown: VectorIndex) -> tuple[set[str], str]:
    """Fingerprints of the spaces, and the first encoder, of most assets: what failed since an
    encoder was changed is still of the old one. Of anchors that have lost either, nothing is
    known."""
    page = next(shown.anchors())
    kinds = Counter(
        (tuple(payload["spaces"]), payload["encoder"])
        for payload in page
        if payload.get("spaces") and payload.get("encoder")
    )
    for (spaces, encoder), _ in kinds.most_common(1):
        return set(spaces), encoder
    return set(), ""


def sample_vectors(
    store: Store, plan: LivePlan, per_vector: int, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Stored vectors to ask with, by vector name: from some files, a row group of each."""
    random = np.random.default_rng(seed)
    files = list(plan.files())
    chosen = [files[i] for i in random.permutation(len(files))[:FILES_SAMPLED]]
    share = math.ceil(per_vector / max(1, min(len(chosen), FILES_SAMPLED // 2)))
    found: dict[str, list[NDArray[np.float32]]] = {s.vector_name: [] for s in plan.spaces}
    for file in chosen:
        for name, matrix in _some_of(store, file, random).items():
            room = min(share, per_vector - len(found[name]))
            found[name] += list(matrix[random.permutation(len(matrix))[:room]])
    return {name: np.stack(vectors) for name, vectors in found.items() if vectors}


def _some_of(
    store: Store, file: LiveFile, random: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """The live vectors of one row group."""
    found: dict[str, list[NDArray[np.float32]]] = {}
    with store.local_copy(file.name) as path:
        groups = count_row_groups(path)
        for batch in read_segments(path, row_groups=[int(random.integers(groups))]):
            pairs = zip(batch.asset_ids, batch.generations, strict=True)
            live = np.array([file.generations.get(a) == g for a, g in pairs], bool)
            for name, (rows, matrix) in batch.vectors.items():
                found.setdefault(name, []).append(matrix[live[rows]])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def measure_recall(
    target: VectorIndex, vectors: dict[str, NDArray[np.float32]]
) -> tuple[Recall, ...]:
    """Ask each vector twice, as searches do and exactly."""
    return tuple(
        Recall(name, len(queries), float(np.mean([_share(target, name, v) for v in queries])))
        for name, queries in vectors.items()
    )


def check_recall(recalls: Sequence[Recall], min_recall: float) -> None:
    """Raises GateRefused that names the worst vector and its figure."""
    worst = min(recalls, key=lambda recall: recall.share, default=None)
    if worst is not None and worst.share < min_recall:
        raise GateRefused(
            f"recall@{NEIGHBOURS} of {worst.vector_name!r} is {worst.share:.3f} over "
            f"{worst.queries} queries, below {min_recall:.3f}: the alias stays where it is.",
            code="recall",
            remedy="Let searches look further (index.hnsw_ef, index.oversampling) and run it "
            "again, nothing is copied twice; or take another quantization or a larger "
            "index.hnsw_m, with --fresh.",
        )


def _share(target: VectorIndex, name: str, vector: NDArray[np.float32]) -> float:
    """Of the ten nearest, by exact scores."""
    question = Question(name, "", vector)
    whole = nearest_to(target, question, exact=True)
    return share_of(target, replace(question, nearest=whole))
