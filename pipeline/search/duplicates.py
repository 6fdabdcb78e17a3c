"""Near-duplicates among moments: the same picture in another size, a sound in another format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.search.moments import Moment

KEYS_TOLD = 10
Vectors = Mapping[str, Mapping[str, NDArray[np.float32]]]


@dataclass(slots=True)
class _Shown:
    moment: Moment
    vectors: Mapping[str, NDArray[np.float32]]
    copies: list[str]


def folded(moments: Sequence[Moment], vectors: Vectors, above: float) -> list[Moment]:
    """The moments in their order, without those whose best window has the vectors of one before it
    in another asset: each vector that both have, and one at least, at a cosine of `above` or more.
    `vectors` are those of the best windows, by point id. Pure."""
    shown: list[_Shown] = []
    for moment in moments:
        mine = vectors.get(moment.point_id, {})
        like = next((s for s in shown if _same(s, moment, mine, above)), None)
        if like is None:
            shown.append(_Shown(moment, mine, []))
        else:
            like.copies.append(moment.key)
    return [
        replace(
            one.moment,
            copies=len(one.copies),
            copy_keys=tuple(dict.fromkeys(one.copies))[:KEYS_TOLD],
        )
        for one in shown
    ]


def _same(
    shown: _Shown, moment: Moment, mine: Mapping[str, NDArray[np.float32]], above: float
) -> bool:
    if shown.moment.asset_id == moment.asset_id:
        return False
    # Words beside it say what somebody called it, and not what it is.
    names = _senses(mine) & _senses(shown.vectors)
    # A film with sound is no copy of a film without.
    if not names or _senses(mine) != _senses(shown.vectors):
        return False
    return all(_cosine(mine[name], shown.vectors[name]) >= above for name in names)


def _senses(vectors: Mapping[str, NDArray[np.float32]]) -> set[str]:
    return {name for name in vectors if not name.endswith("text")}


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / max(length, 1e-12)
