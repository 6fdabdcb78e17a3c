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
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from pipeline.errors import SettingsError
from pipeline.places import split_uri
from pipeline.run_options import RunOptions
from pipeline.settings import Settings, load_settings

DEFAULT_FILE = Path("sensedex.toml")
R = TypeVar("R")

PANEL = "Settings"
SOURCE = "source.folder"


def _described(field: str) -> str:
    """A field of the settings in its own words, as `sensedex init` prints them, and its name."""
    part, _, name = field.partition(".")
    fields = Settings.model_fields[part].annotation.model_fields  # type: ignore[union-attr]
    return f"{fields[name].description} ({field})"


def _setting(flag: str, help_text: str) -> Any:
    return typer.Option(flag, help=help_text, rich_help_panel=PANEL)


def _setting_flag(flag: str, field: str) -> Any:
    return Annotated[str | None, _setting(flag, _described(field))]


SettingsFile = Annotated[
    Path | None, _setting("--settings", "Settings file; ./sensedex.toml if there is one.")
]
Source = Annotated[
    str | None,
    _setting("--source", f"A folder, s3://bucket/prefix or gs://... ({SOURCE}, source.bucket)"),
]
More = Annotated[
    list[str] | None, _setting("--set", "Any other field: --set decode.window_ms=4000")
]
# What every command that reads settings takes, and the field that each of them sets.
SHARED: Mapping[str, str] = {
    "--bucket": "source.bucket",
    "--source": SOURCE,
    "--prefix": "source.prefix",
    "--endpoint-url": "source.endpoint_url",
    "--url": "index.url",
    "--collection": "index.collection",
    "--encoder": "encode.encoder",
    "--weights": "encode.weights",
    "--state": "state.location",
}
FLAGS: Mapping[str, Any] = {
    flag: Source if flag == "--source" else _setting_flag(flag, field)
    for flag, field in SHARED.items()
}
if TYPE_CHECKING:  # a type checker wants annotations that are written out
    Bucket: TypeAlias = str | None
    EncoderName: TypeAlias = str | None
    Weights: TypeAlias = str | None
    RetryFailed: TypeAlias = bool
else:
    Bucket, EncoderName, Weights = FLAGS["--bucket"], FLAGS["--encoder"], FLAGS["--weights"]
InPrefect = Annotated[
    bool | None,
    typer.Option(
        "--flow/--no-flow",
        help="Run as a Prefect flow; by default where PREFECT_API_URL is set.",
        show_default=False,
    ),
]


def _run_flag(name: str) -> Any:
    """The flag of a field of RunOptions that is true or false."""
    flag = f"--{name.replace('_', '-')}"
    return Annotated[bool, typer.Option(flag, help=RunOptions.model_fields[name].description)]


RUN_FLAGS: Mapping[str, Any] = {
    name: _run_flag(name)
    for name, field in RunOptions.model_fields.items()
    if field.annotation is bool
}
if not TYPE_CHECKING:
    RetryFailed = RUN_FLAGS["retry_failed"]
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
    shared = {
        "file": SettingsFile,
        **{flag.removeprefix("--").replace("-", "_"): kind for flag, kind in FLAGS.items()},
        "more": More,
    }
    parameters = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in own]
    parameters += [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in shared.items()
    ]

    def with_options(**values: Any) -> R:
        file, *texts, more = (values.pop(name) for name in shared)
        given = {
            field: text
            for field, text in zip(SHARED.values(), texts, strict=True)
            if text is not None
        }
        return command(Options(file, given, tuple(more or ())), **values)

    with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_options


def with_run_options(command: Callable[..., R]) -> Callable[..., R]:
    """A command with a flag for each field of RunOptions that is true or false, in place of its
    parameter `run_options`."""
    parameters = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if parameter.name == "run_options":
            parameters += [
                Parameter(name, Parameter.KEYWORD_ONLY, default=False, annotation=kind)
                for name, kind in RUN_FLAGS.items()
            ]
        elif parameters:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))
        else:
            parameters.append(parameter)

    def with_flags(options: Options, **values: Any) -> R:
        given = {name: values.pop(name) for name in RUN_FLAGS}
        return command(options, run_options=RunOptions(**given), **values)

    with_flags.__name__, with_flags.__doc__ = command.__name__, command.__doc__
    with_flags.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return with_flags


def settings_from(
    file: Path | None, overrides: Mapping[str, str | None], more: Sequence[str] = ()
) -> Settings:
    """For commands that take some of the options. Raises SettingsError that names the field."""
    return _load(file, overrides, more)


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
    if not source.startswith(("s3://", "gs://")):
        return {"source.bucket": "", "source.places": [], **overrides}
    named: dict[str, Any] = {"source.bucket": "", "source.prefix": "", "source.places": [source]}
    if source.startswith("s3://"):
        try:
            _, bucket, prefix = split_uri(source)
        except ValueError as error:
            raise SettingsError(f"--source: {error}.", remedy="As in s3://films/2026/.") from error
        named = {"source.bucket": bucket, "source.prefix": prefix, "source.places": []}
    return {**named, **{field: text for field, text in overrides.items() if field != SOURCE}}
