"""Every command of README, the tutorial and the how-tos runs, from their text; a block that cannot
says why."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from flows.cli.main import app
from pipeline.settings import Settings
from tests.flows.error_scene import plain_environment
from tests.flows.forked import Commands, commands
from tests.support.doc_commands import (
    Block,
    beside_blocks,
    blocks,
    named_commands,
    typed_lines,
    words_of,
)
from tests.support.s3_server import S3Server

PAGES = ("README.md", "docs/tutorial.md", "docs/howto.md")
FILMS = ("photos/dog.jpg", "photos/dog.txt", "photos/cat.jpg", "sounds/bark.wav", "videos/pets.mp4")
LIMIT_S = 120
NOT_RUN = {
    "sensedex bind": "wants pairs of your own and the published weights",
    "sensedex deploy": "wants a Prefect server: tests/integration/test_schedule.py has one",
    "sensedex events": "wants a queue: tests/flows/test_index_events.py has one",
    "sensedex mcp": "goes on until its client leaves: tests/serve/test_mcp.py",
    "sensedex serve": "goes on until it is stopped: tests/serve/test_command.py",
    "sensedex weights convert": "wants the published weights",
}
"""Of the reference's commands, what they begin with."""


@pytest.fixture(scope="module")
def command(root_dir: Path) -> Iterator[Commands]:
    with commands(root_dir) as forking:
        yield forking


@pytest.fixture
def reader(root_dir: Path, tmp_path: Path, s3_server: S3Server) -> Reader:
    """With what the pages take for granted: a bucket `films`, a folder `videos`, some files."""
    media, here = root_dir / "infra/demo/media", tmp_path / "here"
    client = s3_server.client()
    client.create_bucket(Bucket="films")
    (here / "videos").mkdir(parents=True)
    for name in FILMS:
        client.put_object(Bucket="films", Key=name, Body=(media / name).read_bytes())
        shutil.copy(media / name, here / "videos")
    for name in ("photos/dog.jpg", "sounds/bark.wav", "photos/cow.jpg"):
        shutil.copy(media / name, here)
    environment = plain_environment(tmp_path) | {"SENSEDEX_SOURCE__ENDPOINT_URL": s3_server.url}
    return Reader(here, environment)


class Reader:
    """Types what a page says, in the folder to which it has led."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._environment = environment

    def types(self, line: str, command: Commands) -> str:
        """What was shown; it must not fail."""
        first, *words = words_of(line)
        if first == "cd":
            self.folder = self.folder / words[0]
            return ""
        if first != "sensedex":
            done = subprocess.run(
                ["bash", "-c", line], cwd=self.folder, env=self._environment,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            return done.stdout
        ended = command.sensedex(*words, cwd=self.folder, env=self._environment, limit_s=LIMIT_S)
        assert ended.status == 0, f"{line}\n{ended.stdout}{ended.stderr}"
        return ended.stdout


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_runs(
    page: str, root_dir: Path, reader: Reader, command: Commands
) -> None:
    text = (root_dir / page).read_text()
    assert beside_blocks(text) == []
    shown = {}
    for block in blocks(text):
        if block.reason:
            print(f"{page}:{block.line} is not run: {block.reason}")
            continue
        for line in block.commands:
            shown[line] = reader.types(line, command)
    asked = [line for line in shown if line.startswith(('sensedex search "a dog"', "sensedex run"))]
    assert asked, "a page that leads to no search"
    for line, told in shown.items():
        if line == 'sensedex search "a dog"':
            assert "dog.jpg" in told
        if line == 'sensedex search "a cow"':
            assert "cow.jpg" in told


def test_every_command_of_the_reference_runs(
    root_dir: Path, reader: Reader, command: Commands
) -> None:
    """After a run. What stands on several pages is typed once."""
    pages = [
        page for page in sorted(root_dir.glob("docs/*.md")) if f"docs/{page.name}" not in PAGES
    ]
    lines = list(dict.fromkeys(line for page in pages for line in typed_lines(page.read_text())))
    apart = {line: begins for line in lines for begins in NOT_RUN if line.startswith(begins)}
    assert set(apart.values()) == set(NOT_RUN)
    (reader.folder / "sensedex.toml").write_text('[source]\nbucket = "films"\n')
    assert "indexed" in reader.types("sensedex run", command)
    shown = {line: reader.types(line, command) for line in lines if line not in apart}
    assert len(shown) > 10
    assert "dog.jpg" in shown["sensedex search 'a dog'"]
    assert (reader.folder / "report.html").exists()


def test_every_document_names_commands_options_and_settings_that_there_are(root_dir: Path) -> None:
    """Also where they are not run: of the reference, in sentences, for a cluster."""
    pages = [root_dir / "README.md", root_dir / "CONTRIBUTING.md", *root_dir.glob("docs/*.md")]
    named = [(page.name, line) for page in pages for line in named_commands(page.read_text())]
    assert len(named) > 150
    assert [(page, line, said) for page, line in named for said in unknown_words(line)] == []


def test_a_command_that_there_is_not_is_found() -> None:
    assert unknown_words("sensedex run --bucket films --json") == []
    assert unknown_words("sensedex weights get URL --sha256 HEX") == []
    assert unknown_words("sensedex run --set encode.batch_size=8 --set index.urll=x --jsno") == [
        "index.urll", "--jsno",
    ]  # fmt: skip
    assert unknown_words("sensedex serach dog") == ["serach"]


def unknown_words(line: str) -> list[str]:
    """Names of commands, options and settings in it that the command does not have."""
    command = whole_command()
    wrong, before = [], ""
    for word in words_of(line)[1:]:
        if before == "--set":
            if not is_setting(word.partition("=")[0]):
                wrong.append(word.partition("=")[0])
        elif word.startswith("--"):
            options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
            if word.partition("=")[0] not in options | {"--help", "--debug"}:
                wrong.append(word)
        elif isinstance(command, TyperGroup) and not word.startswith("-"):
            inner = command.commands.get(word)
            if inner is None:
                return [*wrong, *([] if word in ("...", "COMMAND") else [word])]
            command = inner
        before = word
    return wrong


@cache
def whole_command() -> Any:
    """Made of the functions once, which takes a while."""
    return typer.main.get_command(app)


def is_setting(path: str) -> bool:
    """Whether it is a part of the settings, or a field of one; `PART.FIELD` stands for any."""
    part, _, field = path.partition(".")
    if path in ("PART.FIELD", "part.field"):
        return True
    if part not in Settings.model_fields:
        return False
    fields = Settings.model_fields[part].annotation.model_fields  # type: ignore[union-attr]
    return not field or field.split(".")[0] in fields


def test_what_is_not_run_says_why() -> None:
    page = (
        "```sh\nsensedex run \\\n  --json  # now\n# nothing\n```\n   ```sh not run: no GPU\n"
        "   make gpu\n   ```\n    sensedex status\n"
    )
    assert list(blocks(page)) == [
        Block(1, ("sensedex run    --json  # now",)),
        Block(6, ("make gpu",), "no GPU"),
    ]
    assert words_of("sensedex run    --json  # now") == ["sensedex", "run", "--json"]
    assert beside_blocks(page) == ["sensedex status"]
    for info in ("not run:", "later"):
        with pytest.raises(ValueError, match="is not `not run: REASON`"):
            list(blocks(f"```sh {info}\nmake\n```\n"))
    with pytest.raises(ValueError, match="without a command"):
        list(blocks("```sh\n# make\n```\n"))
