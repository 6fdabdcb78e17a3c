"""Identifiers: pure functions of what an object is and how it is indexed (DESIGN, section 5).

The generation stands in every point's id, so that a changed object never overwrites in place.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pipeline.records import MediaObject

NAMESPACE = uuid.UUID("6b1c2a5e-5f0e-5c1b-9a57-5e05ede00001")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything but the object itself that decides what its vectors are."""

    space_fingerprints: tuple[str, ...]
    segmenter: str
    sampling: str
    tags: str = ""

    @lru_cache(maxsize=16)  # noqa: B019  records of one run; asked for each object of a plan
    def digest(self) -> str:
        facts = [sorted(self.space_fingerprints), self.segmenter, self.sampling]
        facts += [self.tags] if self.tags else []
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def asset_id(bucket: str, key: str) -> str:
    """The same for every version of an object; a NUL cannot stand in a bucket's name or a key."""
    return str(uuid.uuid5(NAMESPACE, f"{bucket}\0{key}"))


def generation(obj: MediaObject, sidecars: Sequence[MediaObject], recipe: Recipe) -> str:
    """16 hex digits that change when the object, its metadata, a sidecar of it, or the recipe
    changes."""
    facts: list[object] = [obj.etag, obj.version_id, recipe.digest()]
    facts += [obj.metadata] if obj.metadata else []
    facts += [[s.key, s.etag, s.version_id] for s in sorted(sidecars, key=lambda s: s.key)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def point_id(asset: str, gen: str, vector_names: Iterable[str], segment_index: int) -> str:
    """`vector_names` is the whole set that the collection holds, not the point's own subset."""
    names = ",".join(sorted(vector_names))
    return str(uuid.uuid5(uuid.UUID(asset), f"{gen}/{names}/{segment_index}"))


def anchor_id(asset: str) -> str:
    """The asset's one anchor point; the same over all generations, it is what is flipped."""
    return str(uuid.uuid5(uuid.UUID(asset), "anchor"))
