"""An index that a real run made, for what the flow `reconcile` and a run say of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.settings import Settings

if TYPE_CHECKING:
    from tests.support.s3_server import S3Server


@pytest.fixture
def indexed(s3_server: S3Server, tmp_path: Path) -> tuple[S3Server, Settings]:
    """The bucket of two pictures and a film, and the settings of the run that indexed them."""
    from pipeline.run.whole_run import run_index
    from pipeline.run_options import RunOptions
    from tests.support import media_files
    from tests.support.run_settings import small_run_settings
    from tests.support.s3_server import fill

    objects = {f"pictures/{n}.jpg": media_files.jpeg(n) for n in range(2)}
    objects["films/one.mp4"] = media_files.mp4(7)
    fill(s3_server, objects)
    settings = small_run_settings(tmp_path, s3_server.url)
    run_index(settings, RunOptions())
    return s3_server, settings
