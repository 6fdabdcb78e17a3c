"""The same options mean the same on every command, and each reaches the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from flows.cli import options as o
from flows.cli.main import app
from pipeline.errors import SettingsError
from pipeline.settings import Settings

# What else a command wants before it reads its settings.
COMMANDS = {
    "calibrate": (),
    "deploy": (),
    "doctor": (),
    "evaluate": ("queries.jsonl",),
    "events": (),
    "failures": (),
    "localise": ("picture.jpg", "--words", "a dog"),
    "plan": (),
    "rebuild": (),
    "report": (),
    "retry": ("--all",),
    "run": (),
    "search": ("a", "dog"),
    "serve": (),
    "status": (),
    "sweep": (),
    "verify": (),
}
GIVEN = {
    "--bucket": ("films", "source.bucket"),
    "--prefix": ("2026/", "source.prefix"),
    "--endpoint-url": ("http://127.0.0.1:8333", "source.endpoint_url"),
    "--url": ("http://127.0.0.1:6333", "index.url"),
    "--collection": ("123", "index.collection"),
    "--encoder": ("clip", "encode.encoder"),
    "--weights": ("s3://weights/a.safetensors", "encode.weights"),
    "--state": ("s3://state/here", "state.location"),
}


# As `app(...)` makes it for every call, which takes longer than most of these do.
COMMAND: Any = typer.main.get_command(app)


class _SettingsMade(Exception):
    """The command is stopped where it has made its settings."""


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The settings that a command line comes to; nothing is done with them."""
    made: list[Settings] = []
    make = o.load_settings

    def load(*given: Any) -> Settings:
        made.append(make(*given))
        raise _SettingsMade

    monkeypatch.setattr(o, "load_settings", load)

    def run(*words: str) -> Settings:
        with pytest.raises(_SettingsMade):
            COMMAND(list(words), standalone_mode=False)
        return made[-1]

    return run


def field(settings: Settings, name: str) -> Any:
    part, _, inside = name.partition(".")
    return getattr(getattr(settings, part), inside)


def commands_of_the_app() -> dict[str, Any]:
    return COMMAND.commands  # type: ignore[no-any-return]


def test_no_command_with_these_options_is_forgotten() -> None:
    assert set(COMMANDS) == {
        name
        for name, command in commands_of_the_app().items()
        if any("--set" in param.opts for param in command.params)
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_them_alike(command: str) -> None:
    commands = commands_of_the_app()
    said = {
        flag: (param.help, param.multiple, param.default)
        for param in commands[command].params
        for flag in param.opts
    }
    wanted = {
        flag: (param.help, param.multiple, param.default)
        for param in commands["plan"].params
        for flag in param.opts
        if flag in {*GIVEN, "--set", "--settings", "--source"}
    }
    assert len(wanted) == len(GIVEN) + 3
    assert {flag: said.get(flag) for flag in wanted} == wanted


@pytest.mark.parametrize("command", COMMANDS)
def test_each_reaches_the_settings(command: str, settings_of: Any, tmp_path: Any) -> None:
    words = (command, *COMMANDS[command])
    for flag, (value, name) in GIVEN.items():
        assert field(settings_of(*words, flag, value), name) == value
    every = [word for flag, (value, _) in GIVEN.items() for word in (flag, value)]
    settings = settings_of(*words, *every)
    assert {name: field(settings, name) for _, name in GIVEN.values()} == {
        name: value for value, name in GIVEN.values()
    }
    path = tmp_path / "other.toml"
    path.write_text('[source]\nbucket = "by-file"\nprefix = "by-file"\n')
    settings = settings_of(
        *words, "--settings", str(path), "--prefix", "by-flag",
        "--set", 'tags.labels=["a dog", "a cat"]', "--set", "decode.window_ms=4000",
    )  # fmt: skip
    assert (settings.source.bucket, settings.source.prefix) == ("by-file", "by-flag")
    assert settings.tags.labels == ("a dog", "a cat")
    assert settings.decode.window_ms == 4000


@pytest.mark.parametrize("command", COMMANDS)
def test_a_source_is_a_folder_or_a_bucket(command: str, settings_of: Any, tmp_path: Any) -> None:
    words = (command, *COMMANDS[command])
    file = tmp_path / "other.toml"
    file.write_text('[source]\nbucket = "by-file"\n')
    source = settings_of(*words, "--settings", str(file), "--source", "videos").source
    assert (source.bucket, source.name) == ("", (Path.cwd() / "videos").as_posix())
    source = settings_of(*words, "--source", "s3://films/2026/").source
    assert (source.bucket, source.prefix, source.folder) == ("films", "2026/", None)
    file.write_text('[source]\nplaces = ["s3://by-file"]\n')
    source = settings_of(*words, "--settings", str(file), "--source", "s3://films").source
    assert (source.bucket, source.places) == ("films", ())
    source = settings_of(*words, "--settings", str(file), "--source", "gs://films/2026/").source
    assert (source.name, source.endpoint) == ("films", "https://storage.googleapis.com")
    with pytest.raises(SettingsError, match=r"source\.bucket and source\.folder"):
        COMMAND([*words, "--bucket", "films", "--source", "videos"], standalone_mode=False)


def test_a_rebuilds_own_options_are_settings(settings_of: Any) -> None:
    made = settings_of(
        "rebuild", "--quantization", "int8", "--distance", "dot", "--shards", "2",
        "--url", "http://127.0.0.1:6333",
    ).index  # fmt: skip
    assert (made.quantization, made.distance, made.shards) == ("int8", "dot", 2)
    with pytest.raises(SettingsError, match=r"index\.quantization"):
        app(["rebuild", "--quantization", "most"], standalone_mode=False)
