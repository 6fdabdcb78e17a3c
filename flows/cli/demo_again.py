"""The demo's bucket and collection once more, after `sensedex demo` has ended: for `serve --demo`.

The demo leaves a note of how it embedded, since the encoder is wanted again; its S3 server is
started anew over the same folder, on other ports, and its objects have the ETags that they had.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.cli.demo_environment import demo_environment
from flows.cli.demo_server import demo_server
from pipeline.errors import SettingsError
from pipeline.settings import Settings, load_settings
from pipeline.settings_serve import ServeSettings

BUCKET = "demo"
NOTE = "demo.json"


def demo_settings(
    url: str,
    folder: Path,
    weights: str | None,
    encoder: str | None,
    queries: Path | None = None,
) -> Settings:
    """Of a demo whose things are in `folder`, with its server at `url`."""
    return load_settings(
        None,
        {
            "source.bucket": BUCKET,
            "source.endpoint_url": url,
            "source.region": "us-east-1",
            "encode.encoder": encoder or ("imagebind-huge" if weights else "sensedex-mini"),
            "encode.weights": weights,
            "embed.engine": "ray",  # a run of so little would go through the loop
            "index.path": folder / "qdrant",
            "index.collection": "demo",
            "search.queries": queries,
            "state.location": str(folder / "state"),
            # Whoever takes a folder away to see what happens wants it to happen.
            "state.max_removed_share": 0.5,
            "state.shard_objects": 24,
            "serve.cache_folder": folder / "serve",
        },
    )


def leave_note(folder: Path, weights: str | None, encoder: str | None) -> None:
    """Of what the demo was asked to embed with."""
    (folder / NOTE).write_text(json.dumps({"weights": weights, "encoder": encoder}) + "\n")


@contextmanager
def demo_again(folder: Path, serve: ServeSettings) -> Iterator[Settings]:
    """Its settings, its server running while the context is open. Raises SettingsError where no
    demo was run there, LeaseHeld where one is at work."""
    try:
        note = json.loads((folder / NOTE).read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"There is no demo in {folder}.",
            remedy="Run `sensedex demo` first, or name its folder by --folder.",
        ) from error
    with demo_environment(folder), demo_server(folder / "s3") as server:
        made = demo_settings(server.url, folder, note.get("weights"), note.get("encoder"))
        own = serve.model_copy(update={"cache_folder": made.serve.cache_folder})
        yield made.model_copy(update={"serve": own})


def command_that_serves(folder: Path) -> str:
    """To be typed as it stands after the demo, from where the demo was."""
    program = "sensedex" if shutil.which("sensedex") else os.path.relpath(sys.argv[0])
    named = "" if folder == Path(".sensedex/demo") else f" --folder {shlex.quote(str(folder))}"
    return f"{program} serve --demo{named}"
