"""Which of the listed objects are media, and which text lies beside them. Pure, and streaming.

A sidecar has the stem of the media object that it describes: `dog.srt`, `dog.en.srt` or
`dog.jpg.txt` beside `dog.jpg`. S3 lists keys in the order of their UTF-8 bytes, so all that can
belong together lies in one run of keys that begin alike; no more than that run is ever held.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from pipeline.errors import ListingEndedEarly, Permanent
from pipeline.records import MediaObject
from pipeline.settings import SourceSettings
from pipeline.source.globs import matcher

# Objects of one run of keys held at once. A folder named like a file (`dog.old/`) may be longer:
# the run is cut there, and a sidecar on the far side of the cut is counted as an orphan.
MAX_HELD = 10_000
LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")  # en, pt-BR, zh_Hant


class ListingUnsorted(Permanent):
    """The server does not list in the order of the keys' bytes, on which streaming stands."""

    default_code = "listing_unsorted"


@dataclass(frozen=True, slots=True)
class SelectedObject:
    """A media object with its sidecars in the order of their keys."""

    object: MediaObject
    sidecars: tuple[MediaObject, ...] = ()


@dataclass(slots=True)
class SelectionCounts:
    """Sums over a listing: listed = media + sidecars + all that is not selected, by reason:
    `prefix`, `exclude`, `include`, `suffix`, `size` (a media object too small or too large) and
    `orphan_sidecar`.
    `ended_early` where the listing broke off and the run goes on with what there is of it."""

    listed: int = 0
    listed_bytes: int = 0
    media: int = 0
    media_bytes: int = 0
    sidecars: int = 0
    not_selected: Counter[str] = field(default_factory=Counter)
    ended_early: bool = False


def as_far_as_listed(
    objects: Iterable[MediaObject], counts: SelectionCounts
) -> Iterator[MediaObject]:
    """The same objects; a listing that breaks off is taken as it is, and `counts` says so."""
    try:
        yield from objects
    except ListingEndedEarly:
        counts.ended_early = True


def select(
    objects: Iterable[MediaObject], settings: SourceSettings, counts: SelectionCounts
) -> Iterator[SelectedObject]:
    """The media objects in the order of bucket and key. `counts` is complete when this has ended.
    What `exclude` means is out, sidecars with it; `include` is asked of media alone, which bring
    their sidecars.

    Raises ListingUnsorted.
    """
    scopes = settings.scopes or None
    suffixes = tuple(suffix.lower() for suffix in settings.suffixes)
    sidecar_suffixes = tuple(suffix.lower() for suffix in settings.sidecar_suffixes)
    smallest, largest = settings.min_size_bytes, settings.max_size_bytes
    excluded = matcher(settings.exclude) if settings.exclude else None
    included = matcher(settings.include) if settings.include else None
    last, bucket = "", ""
    prefixes: tuple[str, ...] = ()
    held: list[MediaObject] = []
    held_media: list[bool] = []
    begins = ""
    for obj in objects:
        key = obj.key
        if obj.bucket > bucket:
            yield from _paired(held, held_media, settings, counts)
            held, held_media = [], []
            last, bucket = "", obj.bucket
            prefixes = (settings.prefix,)
            if scopes is not None:
                prefixes = tuple(scope.prefix for scope in scopes if scope.bucket == bucket)
        elif key <= last or obj.bucket < bucket:
            raise ListingUnsorted(
                f"The listing of {obj.bucket!r} has {key!r} after {last!r}.",
                remedy="Use a bucket or a server that lists keys in the order of their bytes.",
            )
        last = key
        counts.listed += 1
        counts.listed_bytes += obj.size_bytes
        if not key.startswith(prefixes):
            counts.not_selected["prefix"] += 1
            continue
        if excluded is not None and excluded(key):
            counts.not_selected["exclude"] += 1
            continue
        lowered = key.lower()
        is_media = lowered.endswith(suffixes)
        if is_media:
            if included is not None and not included(key):
                counts.not_selected["include"] += 1
                continue
            if not smallest <= obj.size_bytes <= largest:
                counts.not_selected["size"] += 1
                continue
            counts.media += 1
            counts.media_bytes += obj.size_bytes
        elif not lowered.endswith(sidecar_suffixes):
            counts.not_selected["suffix"] += 1
            continue
        if held and (not key.startswith(begins) or len(held) >= MAX_HELD):
            yield from _paired(held, held_media, settings, counts)
            held, held_media = [], []
        if not held:
            folder, slash, name = key.rpartition("/")
            begins = f"{folder}{slash}{name.partition('.')[0]}."
        held.append(obj)
        held_media.append(is_media)
    yield from _paired(held, held_media, settings, counts)


def selected_by_name(settings: SourceSettings) -> Callable[[str, str], bool]:
    """Whether a media object of that bucket and key is one of the source's, by its key alone."""
    excluded, included = matcher(settings.exclude), matcher(settings.include or ("**",))
    suffixes = tuple(suffix.lower() for suffix in settings.suffixes)

    def is_selected(bucket: str, key: str) -> bool:
        return (
            settings.covers(bucket, key)
            and key.lower().endswith(suffixes)
            and included(key)
            and not excluded(key)
        )

    return is_selected


def _paired(
    held: list[MediaObject],
    held_media: list[bool],
    settings: SourceSettings,
    counts: SelectionCounts,
) -> Iterator[SelectedObject]:
    """The media of one run of keys, each with its sidecars."""
    if all(held_media):  # most runs of keys are one object long
        yield from map(SelectedObject, held)
        return
    media = [obj for obj, is_media in zip(held, held_media, strict=True) if is_media]
    stems: dict[str, list[MediaObject]] = {}
    for obj in media:
        for name in {obj.key, _stem(obj.key)}:
            stems.setdefault(name, []).append(obj)
    found: dict[str, list[MediaObject]] = {}
    for obj, is_media in zip(held, held_media, strict=True):
        if is_media:
            continue
        owners = next((stems[n] for n in _described(obj.key, settings) if n in stems), ())
        for owner in owners:
            found.setdefault(owner.key, []).append(obj)
        if owners:
            counts.sidecars += 1
        else:
            counts.not_selected["orphan_sidecar"] += 1
    for obj in media:
        yield SelectedObject(obj, tuple(found.get(obj.key, ())))


def _stem(key: str) -> str:
    folder, slash, name = key.rpartition("/")
    return folder + slash + name.rpartition(".")[0]


def _described(key: str, settings: SourceSettings) -> Iterator[str]:
    """The names that the sidecar may describe, the closest first: with a language, then without."""
    lowered = key.lower()
    suffixes = tuple(suffix.lower() for suffix in settings.suffixes)
    length = max(len(s) for s in settings.sidecar_suffixes if lowered.endswith(s.lower()))
    name = key[: len(key) - length]
    yield name
    shorter, dot, language = name.rpartition(".")
    # `dog.jpg.txt` is about `dog.jpg` alone: jpg is no language.
    if dot and LANGUAGE.fullmatch(language) and not name.lower().endswith(suffixes):
        yield shorter
