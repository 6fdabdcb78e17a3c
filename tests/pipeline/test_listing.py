"""Which objects are media, and which text belongs to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import MediaObject
from pipeline.settings import SourceSettings
from pipeline.source import select as select_module
from pipeline.source.select import ListingUnsorted, SelectionCounts, select


def obj(key: str, size: int = 5) -> MediaObject:
    return MediaObject("media", key, "e", size, "")


def pairs(keys: list[str], **fields: object) -> tuple[dict[str, list[str]], SelectionCounts]:
    counts = SelectionCounts()
    settings = SourceSettings(bucket="media", **fields)  # type: ignore[arg-type]
    found = list(select(map(obj, sorted(keys)), settings, counts))
    assert [f.object.key for f in found] == sorted(f.object.key for f in found)
    return {f.object.key: [s.key for s in f.sidecars] for f in found}, counts


def test_a_sidecar_goes_with_the_media_of_its_stem() -> None:
    found, counts = pairs(
        ["a/dog.jpg", "a/dog.srt", "a/dog.en.srt", "a/dog.pt-BR.vtt", "a/dog.jpg.txt", "a/cat.mp4"]
    )
    assert found == {
        "a/cat.mp4": [],
        "a/dog.jpg": ["a/dog.en.srt", "a/dog.jpg.txt", "a/dog.pt-BR.vtt", "a/dog.srt"],
    }
    assert (counts.listed, counts.media, counts.sidecars) == (6, 2, 4)
    assert counts.listed_bytes == 30
    assert not counts.not_selected


def test_what_is_not_selected_is_counted_by_reason() -> None:
    found, counts = pairs(
        ["a/", "a/notes.md", "a/lonely.srt", "a/dog.final.srt", "a/dog.jpg", "b/dog.srt", "noend"]
    )
    assert found == {"a/dog.jpg": []}
    assert counts.not_selected == {"suffix": 3, "orphan_sidecar": 3}
    assert counts.listed == 7


def test_sizes_and_prefix_and_case() -> None:
    counts = SelectionCounts()
    settings = SourceSettings(bucket="media", prefix="in/", min_size_bytes=2, max_size_bytes=8)
    objects = [obj("in/A.JPG"), obj("in/A.Srt", 1), obj("in/b.jpg", 1), obj("in/c.jpg", 9)]
    found = list(select([*objects, obj("out/d.jpg")], settings, counts))
    assert [(f.object.key, len(f.sidecars)) for f in found] == [("in/A.JPG", 1)]
    assert counts.not_selected == {"size": 2, "prefix": 1}
    assert counts.media_bytes == 5


def test_media_that_share_a_stem_share_its_sidecar() -> None:
    found, counts = pairs(["dog.jpg", "dog.mp4", "dog.txt"])
    assert found == {"dog.jpg": ["dog.txt"], "dog.mp4": ["dog.txt"]}
    assert counts.sidecars == 1


def test_the_closest_media_gets_the_sidecar() -> None:
    found, _ = pairs(["dog.en.mp4", "dog.en.srt", "dog.mp4"])
    assert found == {"dog.en.mp4": ["dog.en.srt"], "dog.mp4": []}


def test_a_folder_between_media_and_sidecar() -> None:
    found, _ = pairs(
        ["dog.aa.srt", "dog.k/1.jpg", "dog.k/1.srt", "dog.jpg", "dog.srt", "dog.x/2.jpg"]
    )
    assert found == {
        "dog.jpg": ["dog.aa.srt", "dog.srt"],
        "dog.k/1.jpg": ["dog.k/1.srt"],
        "dog.x/2.jpg": [],
    }


def test_a_run_of_keys_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select_module, "MAX_HELD", 4)
    inner = [f"dog.k/{n}.jpg" for n in range(8)]
    found, counts = pairs(["dog.jpg", *inner, "dog.srt"])
    assert len(found) == 9
    assert counts.not_selected == {"orphan_sidecar": 1}


def test_a_listing_out_of_order_is_refused() -> None:
    objects = [obj("b.jpg"), obj("a.jpg")]
    with pytest.raises(ListingUnsorted, match=r"'a\.jpg' after 'b\.jpg'"):
        list(select(objects, SourceSettings(bucket="media"), SelectionCounts()))
    with pytest.raises(ListingUnsorted):
        list(select([obj("a.jpg")] * 2, SourceSettings(bucket="media"), SelectionCounts()))


KEYS = st.lists(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["", "a/", "a.b/", "a.jpg/", "/"]),
        st.sampled_from(["dog", "dog.en", "dog🐕", "", "dog\n", "d+%20"]),
        st.sampled_from([".jpg", ".mp4", ".srt", ".txt", ".en.srt", ".jpg.txt", ".md", "", "/"]),
    ).filter(bool),
    unique=True,
)


@given(KEYS)
def test_streaming_finds_what_a_look_at_all_keys_finds(keys: list[str]) -> None:
    found, counts = pairs(keys)
    media = {k for k in keys if k.endswith((".jpg", ".mp4"))}
    by_stem = {m: {m, m.rpartition(".")[0]} for m in media}
    wanted: dict[str, list[str]] = {m: [] for m in media}
    for sidecar in sorted(k for k in keys if k.endswith((".srt", ".txt"))):
        name = sidecar[:-4]
        owners = [m for m, stems in by_stem.items() if name in stems]
        if not owners and name.endswith(".en"):
            owners = [m for m, stems in by_stem.items() if name[:-3] in stems]
        for owner in owners:
            wanted[owner].append(sidecar)
    assert found == wanted
    assert counts.listed == counts.media + counts.sidecars + sum(counts.not_selected.values())
