"""A command that has no use for pandas does not import it; who wants a frame has it still."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import sys
import pyarrow as pa
from pipeline.lazy_pandas import know_pandas, make_arrays_without_pandas

make_arrays_without_pandas()
table = pa.table({"a": pa.array([1, None, 3]), "b": pa.array(["x", "y", None])})
assert "pandas" not in sys.modules
frame = table.to_pandas()
assert frame["a"].isna().tolist() == [False, True, False]
import pandas
know_pandas()
assert pa.array(pandas.Series([1.0, float("nan")])).null_count == 1
make_arrays_without_pandas()
assert sys.modules["pandas"] is pandas
"""


def test_arrays_are_made_without_it(root_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=root_dir, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_ray_data_may_give_arrow_a_series(root_dir: Path) -> None:
    """It imports pandas by itself, after a run has begun without."""
    code = (
        "from pipeline.lazy_pandas import make_arrays_without_pandas as begin; begin();"
        "from pipeline.embed.graph import configure_ray_data; configure_ray_data();"
        "import pandas, pyarrow as pa;"
        "assert pa.array(pandas.Series([1.0, float('nan')])).null_count == 1"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root_dir, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
