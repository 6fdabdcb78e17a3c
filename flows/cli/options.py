"""Options that most commands share, and the settings that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.errors import SettingsError
from pipeline.settings import Settings, load_settings

DEFAULT_FILE = Path("sensedex.toml")

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="Settings file; ./sensedex.toml if there is one.")
]
Bucket = Annotated[str | None, typer.Option("--bucket", help="source.bucket")]
Prefix = Annotated[str | None, typer.Option("--prefix", help="source.prefix")]
Endpoint = Annotated[str | None, typer.Option("--endpoint-url", help="source.endpoint_url")]
Collection = Annotated[str | None, typer.Option("--collection", help="index.collection")]
EncoderName = Annotated[str | None, typer.Option("--encoder", help="encode.encoder")]
Weights = Annotated[str | None, typer.Option("--weights", help="encode.weights")]
State = Annotated[str | None, typer.Option("--state", help="state.location")]
More = Annotated[
    list[str] | None, typer.Option("--set", help="Any other field: --set decode.window_ms=4000")
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Try again all that was rejected or failed.")
]
AllowRemovals = Annotated[
    bool, typer.Option("--allow-removals", help="Remove more than state.max_removed_share.")
]
AllowDenied = Annotated[
    bool, typer.Option("--allow-denied", help="Go on past state.max_denied_share.")
]
AllowShortListing = Annotated[
    bool, typer.Option("--allow-short-listing", help="Go on with a listing that ended early.")
]
InPrefect = Annotated[
    bool | None,
    typer.Option(
        "--flow/--no-flow",
        help="Run as a Prefect flow; by default where PREFECT_API_URL is set.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON, and nothing else.")]


def settings_from(
    file: Path | None,
    bucket: str | None = None,
    prefix: str | None = None,
    endpoint_url: str | None = None,
    collection: str | None = None,
    encoder: str | None = None,
    weights: str | None = None,
    state: str | None = None,
    more: list[str] | None = None,
) -> Settings:
    """Raises SettingsError that names the field."""
    if file is None and DEFAULT_FILE.is_file():
        file = DEFAULT_FILE
    overrides: dict[str, Any] = {
        "source.bucket": bucket,
        "source.prefix": prefix,
        "source.endpoint_url": endpoint_url,
        "index.collection": collection,
        "encode.encoder": encoder,
        "encode.weights": weights,
        "state.location": state,
    }
    for assignment in more or []:
        name, equals, value = assignment.partition("=")
        if not equals or "." not in name:
            raise SettingsError(
                f"--set {assignment!r} is not part.field=value.",
                remedy="For example --set decode.window_ms=4000",
            )
        overrides[name.strip()] = value
    return load_settings(file, overrides)
