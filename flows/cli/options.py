"""Options that commands share, and the settings that they make.

Every command that reads settings is made by `with_settings`, so that the same options mean the same
on each.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from pipeline.errors import SettingsError
from pipeline.settings import Settings, load_settings

DEFAULT_FILE = Path("sensedex.toml")
R = TypeVar("R")

PANEL = "Settings"
SOURCE = "source.folder"


def _setting(flag: str, help_text: str) -> Any:
    return typer.Option(flag, help=help_text, rich_help_panel=PANEL)


SettingsFile = Annotated[
    Path | None, _setting("--settings", "Settings file; ./sensedex.toml if there is one.")
]
Bucket = Annotated[str | None, _setting("--bucket", "source.bucket")]
Source = Annotated[
    str | None, _setting("--source", "A folder (source.folder), or s3://bucket/prefix.")
]
Prefix = Annotated[str | None, _setting("--prefix", "source.prefix")]
Endpoint = Annotated[str | None, _setting("--endpoint-url", "source.endpoint_url")]
Url = Annotated[str | None, _setting("--url", "index.url")]
Collection = Annotated[str | None, _setting("--collection", "index.collection")]
EncoderName = Annotated[str | None, _setting("--encoder", "encode.encoder")]
Weights = Annotated[str | None, _setting("--weights", "encode.weights")]
State = Annotated[str | None, _setting("--state", "state.location")]
More = Annotated[
    list[str] | None, _setting("--set", "Any other field: --set decode.window_ms=4000")
]
# What every command that reads settings takes, and the field that each of them sets.
SHARED: Mapping[str, tuple[Any, str]] = {
    "bucket": (Bucket, "source.bucket"),
    "source": (Source, SOURCE),
    "prefix": (Prefix, "source.prefix"),
    "endpoint_url": (Endpoint, "source.endpoint_url"),
    "url": (Url, "index.url"),
    "collection": (Collection, "index.collection"),
    "encoder": (EncoderName, "encode.encoder"),
    "weights": (Weights, "encode.weights"),
    "state": (State, "state.location"),
}
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


@dataclass(frozen=True, slots=True)
class Options:
    """What a command's shared options were given as. `given` has the settings' dotted names, `more`
    the texts of --set."""

    file: Path | None
    given: Mapping[str, str]
    more: Sequence[str] = ()

    def settings(self, **fields: Any) -> Settings:
        """With what the command's own options say on top: `index__shards=2` is `index.shards`.

        Raises SettingsError that names the field.
        """
        own = {name.replace("__", "."): value for name, value in fields.items()}
        return _load(self.file, {**self.given, **own}, self.more)


def with_settings(command: Callable[..., R]) -> Callable[..., R]:
    """A command of typer's with all shared options, which it finds in its first parameter."""
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    shared = {"file": SettingsFile, **{n: kind for n, (kind, _) in SHARED.items()}, "more": More}
    parameters = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in own]
    parameters += [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in shared.items()
    ]

    def with_options(**values: Any) -> R:
        file, *texts, more = (values.pop(name) for name in shared)
        given = {
            field: text
            for (_, field), text in zip(SHARED.values(), texts, strict=True)
            if text is not None
        }
        return command(Options(file, given, tuple(more or ())), **values)

    with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_options


def settings_from(
    file: Path | None,
    bucket: str | None = None,
    prefix: str | None = None,
    endpoint_url: str | None = None,
    collection: str | None = None,
    encoder: str | None = None,
    weights: str | None = None,
    state: str | None = None,
    more: Sequence[str] | None = None,
) -> Settings:
    """For commands that take some of the options. Raises SettingsError that names the field."""
    overrides: dict[str, Any] = {
        "source.bucket": bucket,
        "source.prefix": prefix,
        "source.endpoint_url": endpoint_url,
        "index.collection": collection,
        "encode.encoder": encoder,
        "encode.weights": weights,
        "state.location": state,
    }
    return _load(file, overrides, more or ())


def _load(file: Path | None, overrides: Mapping[str, Any], more: Sequence[str]) -> Settings:
    if file is None and DEFAULT_FILE.is_file():
        file = DEFAULT_FILE
    assigned = {}
    for assignment in more:
        name, equals, value = assignment.partition("=")
        if not equals or "." not in name:
            raise SettingsError(
                f"--set {assignment!r} is not part.field=value.",
                remedy="For example --set decode.window_ms=4000",
            )
        assigned[name.strip()] = value
    return load_settings(file, {**_placed(overrides), **assigned})


def _placed(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """With what `--source` names: a folder in place of a bucket in the file, or a bucket."""
    source = overrides.get(SOURCE)
    if source is None:
        return dict(overrides)
    if not source.startswith("s3://"):
        return {"source.bucket": "", **overrides}
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    named = {"source.bucket": bucket, "source.prefix": prefix}
    return {**named, **{field: text for field, text in overrides.items() if field != SOURCE}}
