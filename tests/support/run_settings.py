"""Settings of a run, for tests: one builder, and what most of the small runs have in common."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pipeline.settings import Settings, load_settings


def settings_for(
    folder: Path, url: str | None = None, *, bucket: str = "media", **fields: Any
) -> Settings:
    """Of a run that keeps its state and its index in `folder`, on a bucket of the server at `url`.

    Any other field is named as the environment names it: `state__shard_objects=4`. It wins over
    what is set here; what nobody sets is as it is for everybody.
    """
    given = {
        "source.bucket": bucket,
        "source.endpoint_url": url,
        "index.path": folder / "qdrant",
        "state.location": str(folder / "state"),
    }
    return load_settings(None, given | {n.replace("__", "."): v for n, v in fields.items()})


small_run_settings = partial(
    settings_for,
    # Made from a seed, it knows nothing and tells every picture from every other.
    encode__encoder="imagebind-demo",
    state__shard_objects=4,
    state__max_removed_share=0.5,
)
"""The same, for a run of a dozen objects in a few shards, of which a test removes some."""


def reconcile_parameters(settings: Settings) -> dict[str, Any]:
    """Of the flow `reconcile`: the parts of the settings that it takes."""
    return {
        "source": settings.source,
        "index": settings.index,
        "state": settings.state,
        "encode": settings.encode,
    }
