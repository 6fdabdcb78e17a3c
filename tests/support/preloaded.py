"""Imports what a run imports on its way, before a process that has it all forks one run a call.

A part of them are imported by others when they are first used: pandas by pyarrow, and sympy by
torch. Nothing here begins a thread, which a fork would lose.
"""

from __future__ import annotations

import gc
import importlib

from pipeline.s3.client import make_client
from pipeline.settings import SourceSettings

BY_OTHERS = ("pandas", "portalocker", "pysubs2", "sympy", "torch", "torchaudio")
BY_A_RUN = (
    "encoders.imagebind.encode",
    "encoders.imagebind.load",
    "encoders.precision_proof",
    "pipeline.embed.decode",
    "pipeline.embed.encode",
    "pipeline.embed.fetch",
    "pipeline.embed.job",
    "pipeline.embed.local",
    "pipeline.embed.write",
    "pipeline.index.load",
    "pipeline.index.recall",
    "pipeline.index.writer",
    "pipeline.media.sandbox.client",
    "pipeline.models.spaces",
    "pipeline.run.steps",
    "pipeline.run.whole_run",
    "pipeline.search.searcher",
    "pipeline.source.sidecars",
)


def preload() -> None:
    """Import them, and let botocore read its files."""
    for name in (*BY_OTHERS, *BY_A_RUN):
        importlib.import_module(name)
    make_client(SourceSettings(bucket="any", endpoint_url="http://127.0.0.1:9"))
    gc.collect()
    gc.freeze()  # forks share it, and do not copy it by looking for garbage
