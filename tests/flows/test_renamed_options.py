"""Old names of options are read as the new ones."""

from __future__ import annotations

import logging
from itertools import chain

import pytest
import typer

from flows.cli.main import app
from flows.cli.renamed_options import RENAMED, with_new_names
from pipeline.renamed_settings import warn_renamed


def test_an_old_option_becomes_the_new_one_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    warn_renamed.cache_clear()
    words = ["--debug", "search", "a", "dog", "--over=vision", "--among", "video", "--", "--over"]
    with caplog.at_level(logging.WARNING, logger="sensedex.settings"):
        assert with_new_names(words) == [
            "--debug", "search", "a", "dog", "--using=vision", "--media-type", "video", "--",
            "--over",
        ]  # fmt: skip
    assert [line.split()[0] for line in caplog.messages] == ["--over", "--among"]


def test_another_command_keeps_its_own_words() -> None:
    assert with_new_names(["run", "--over", "x"]) == ["run", "--over", "x"]


def test_the_new_names_are_options_of_their_commands_and_the_old_ones_are_not() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for command, table in RENAMED.items():
        options = set(chain(*(parameter.opts for parameter in commands[command].params)))
        assert set(table.values()) <= options
        assert not set(table) & options
