"""What belongs together with a key lies under the prefix that is listed for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.places import Scope
from pipeline.records import MediaObject
from pipeline.settings import SourceSettings
from pipeline.source.beside import is_media, prefix_beside, scopes_beside
from pipeline.source.select import SelectionCounts, select

SETTINGS = SourceSettings(bucket="media")


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("films/dog.mp4", "films/dog."),
        ("films/dog.MP4", "films/dog."),
        ("dog.en.srt", "dog."),
        ("dog.jpg.txt", "dog."),
        ("dog.jpg.en.srt", "dog."),
        ("dog.pt-BR.vtt", "dog."),
        ("2026.01.02-hall.mp4", "2026.01.02-hall."),
        ("a b+c/é.srt", "a b+c/é."),
        ("notes.pdf", "notes.pdf"),
    ],
)
def test_the_prefix_of_a_key(key: str, prefix: str) -> None:
    assert prefix_beside(key, SETTINGS) == prefix


def test_scopes_are_apart() -> None:
    places = [("b", "dog.mp4"), ("b", "dog.x1.y.mp4"), ("b", "cat.srt"), ("a", "dog.srt")]
    assert scopes_beside(places, SETTINGS) == [
        Scope("a", "dog."), Scope("b", "cat."), Scope("b", "dog."),
    ]  # fmt: skip


def test_media_by_suffix_and_scope() -> None:
    under = SourceSettings(places=("s3://media/films/", "s3://clips"))
    assert is_media(("media", "films/a.mp4"), under)
    assert is_media(("clips", "a.mp4"), under)
    assert not is_media(("media", "films/a.srt"), under)
    assert not is_media(("media", "a.mp4"), under)
    assert not is_media(("other", "films/a.mp4"), under)


names = st.lists(st.sampled_from(["dog", "en", "de", "jpg", "x1"]), min_size=1, max_size=3)
keys = st.builds(
    lambda parts, suffix: ".".join(parts) + suffix,
    names,
    st.sampled_from([".mp4", ".jpg", ".srt", ".txt"]),
)


@given(st.sets(keys, max_size=8), keys)
def test_an_event_finds_all_that_it_changes(others: set[str], key: str) -> None:
    """Whatever the object's coming changes, in a bucket of any others, is under its prefix, and
    comes out of that part of the listing as out of the whole."""
    before, after = selected(others - {key}), selected(others | {key})
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    prefix = prefix_beside(key, SETTINGS)
    part = selected(name for name in others | {key} if name.startswith(prefix))
    for name in changed:
        assert name.startswith(prefix)
    for name, sidecars in part.items():
        assert after[name] == sidecars


def selected(names: object) -> dict[str, tuple[str, ...]]:
    listed = [MediaObject("media", name, "e", 5, "") for name in sorted(names)]  # type: ignore[call-overload]
    found = select(listed, SETTINGS, SelectionCounts())
    return {one.object.key: tuple(s.key for s in one.sidecars) for one in found}
