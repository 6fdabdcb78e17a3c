"""Keeps pyarrow from importing pandas before it is needed.

Arrow asks of the first list that it is given whether pandas made it, and imports pandas to know:
0.4 s of a command that has no use for it. Where that import fails, arrow goes on without, and tries
again when it is asked for a frame of pandas' own.
"""

from __future__ import annotations

import sys

import pyarrow as pa


def make_arrays_without_pandas() -> None:
    """For this process. Changes nothing where pandas is imported already; while it is called, no
    other thread may import pandas."""
    if "pandas" in sys.modules:
        return
    refusal = _Refusal()
    sys.meta_path.insert(0, refusal)
    try:
        pa.array([None])
    finally:
        sys.meta_path.remove(refusal)


def know_pandas() -> None:
    """Import it, and let arrow see its series and frames again: for libraries that pass them."""
    pa.array([None]).to_pandas()


class _Refusal:
    """Of an import of pandas, for `sys.meta_path`."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("not now", name=name)
