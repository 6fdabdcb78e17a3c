"""Old names of settings are read as the new ones, wherever they are given, and said once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from encoders.catalogue import CARDS
from pipeline.errors import SettingsError
from pipeline.planning.plan import recipe_of
from pipeline.renamed_settings import RENAMED, warn_renamed
from pipeline.settings import Settings, load_settings
from pipeline.settings_embedding import TagSettings
from pipeline.settings_index import IndexSettings

VALUES: dict[str, Any] = {
    "encode.also": [{"encoder": "clip", "weights": "clip/"}],
    "index.leave_out": ["fps"],
    "tags.at_least": 0.5,
    "tags.most": 3,
}
TOML = {
    "encode.also": '[encode]\nalso = [{encoder = "clip", weights = "clip/"}]\n',
    "index.leave_out": '[index]\nleave_out = ["fps"]\n',
    "tags.at_least": "[tags]\nat_least = 0.5\n",
    "tags.most": "[tags]\nmost = 3\n",
}


@pytest.fixture(autouse=True)
def _nothing_said_before() -> None:
    warn_renamed.cache_clear()


def value_of(settings: Settings, name: str) -> Any:
    part, _, field = name.partition(".")
    return getattr(getattr(settings, part), field)


def test_every_old_name_has_a_value_here() -> None:
    assert VALUES.keys() == TOML.keys() == RENAMED.keys()


@pytest.mark.parametrize("old", RENAMED)
@pytest.mark.parametrize("way", ["file", "environment", "--set"])
def test_an_old_name_is_read_and_said_once(
    old: str,
    way: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    new = RENAMED[old]
    file, overrides = None, {}
    if way == "file":
        file = tmp_path / "sensedex.toml"
        file.write_text(TOML[old])
    elif way == "environment":
        text = TOML[old].partition(" = ")[2].strip()
        monkeypatch.setenv(f"SENSEDEX_{old.replace('.', '__').upper()}", text)
    else:
        overrides = {old: TOML[old].partition(" = ")[2].strip()}
    with caplog.at_level(logging.WARNING, logger="sensedex.settings"):
        read = load_settings(file, overrides)
        load_settings(file, overrides)
    monkeypatch.undo()
    assert value_of(read, new) == value_of(load_settings(None, {new: VALUES[old]}), new)
    assert value_of(read, new) != value_of(load_settings(), new)
    [line] = caplog.messages
    assert old in line
    assert new in line


def test_a_later_source_wins_whichever_name_it_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sensedex.toml"
    file.write_text("[tags]\nmost = 3\n")
    assert load_settings(file, {"tags.max_tags": 4}).tags.max_tags == 4
    monkeypatch.setenv("SENSEDEX_TAGS__MOST", "7")
    assert load_settings(file).tags.max_tags == 7


def test_both_names_in_one_place_are_one_too_many(tmp_path: Path) -> None:
    file = tmp_path / "sensedex.toml"
    file.write_text("[tags]\nmost = 3\nmax_tags = 3\n")
    with pytest.raises(SettingsError, match=r"tags\.most and tags\.max_tags"):
        load_settings(file)


def test_a_deployment_of_before_has_the_old_names_in_its_parameters() -> None:
    assert IndexSettings(leave_out=["fps"]).payload_exclude == ("fps",)


def test_a_recipe_is_written_with_the_old_names() -> None:
    """Its digest is in every state: another text would mean that all is embedded again."""
    settings = Settings(tags=TagSettings(labels=("dog",), min_score=0.25, max_tags=3))
    assert recipe_of(settings, [CARDS["sensedex-mini"]]).tags == (
        '{"labels":["dog"],"templates":["{}","a photo of a {}.","the sound of a {}."],'
        '"scale":100.0,"at_least":0.25,"most":3}'
    )
