"""The figures of docs/retrieval.md: what is asked, of what, and how often the answer is right."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.bind.recall import Recall, recalls
from encoders.mini.stamps import Stamp, Stamps, draw, unseen
from encoders.mini.train import load_sound
from encoders.modality import Modality
from encoders.protocol import Encoder
from tests.eval import held_out

KS = (1, 5, 10)
COMPOSITES = 100
NAMED = "a picture of {}"
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: the letter of its part, query and answer in words, and recall at 1, 5 and 10.
    `wanted` is the recall that was asked for, by k."""

    part: str
    query: str
    answer: str
    recalls: tuple[Recall, ...]
    wanted: dict[int, float]

    @property
    def reached(self) -> bool:
        return all(r.share >= self.wanted.get(r.k, 0.0) for r in self.recalls)


class World:
    """The stamps and their vectors by an encoder; each is embedded once."""

    def __init__(self, encoder: Encoder, stamps: Stamps, folder: Path) -> None:
        self._encoder = encoder
        self._folder = folder
        self.stamps = stamps
        self.numbers = stamps.things
        self.held_out = unseen(stamps, folder)
        self.heard = [stamp for stamp in stamps.learned if stamp.sound is not None]
        self.captions = list({n: caption for caption, n in self.numbers.items()}.values())
        self.caption_things = [self.numbers[caption] for caption in self.captions]

    def things(self, stamps: Sequence[Stamp]) -> list[int]:
        return [self.numbers[stamp.caption] for stamp in stamps]

    def words(self, texts: Sequence[str]) -> Vectors:
        return self._encoder.encode(Modality.TEXT, list(texts))

    def seen(self, stamps: Sequence[Stamp], form: str | None) -> Vectors:
        """Of pictures in a held-out form, or plain on white."""
        windows = [
            held_out.plain(picture) if form is None else held_out.window_of(picture, form, number)
            for number, picture in enumerate(map(self.picture, stamps))
        ]
        return self._encoder.encode(Modality.VISION, np.stack(windows))

    def together(self, pairs: Sequence[tuple[Stamp, Stamp]]) -> Vectors:
        windows = [held_out.side_by_side(self.picture(a), self.picture(b)) for a, b in pairs]
        return self._encoder.encode(Modality.VISION, np.stack(windows))

    def sounds(self, stamps: Sequence[Stamp]) -> Vectors:
        windows = [
            held_out.heard(load_sound(stamp.sound), number)
            for number, stamp in enumerate(stamps)
            if stamp.sound is not None
        ]
        return self._encoder.encode(Modality.AUDIO, np.stack(windows))

    def picture(self, stamp: Stamp) -> Image.Image:
        return Image.open(draw(stamp, self._folder))


def all_figures(
    world: World, paraphrases: Path, say: Callable[[str], None] = lambda _line: None
) -> Iterator[Figure]:
    """Every part of docs/retrieval.md, in its order."""
    say("captions")
    captions = world.words(world.captions)
    yield from _pictures_and_captions(world, captions, say)
    say("sounds")
    sounds = world.sounds(world.heard)
    shown = world.seen(world.heard, "other ground")
    things = world.things(world.heard)
    wanted = {5: 0.80}
    yield _figure("b", "sound", "picture", sounds, shown, things, things, wanted)
    yield _figure("b", "picture", "sound", shown, sounds, things, things, wanted)
    yield from _emergent(world, captions, sounds, things)
    say("paraphrases")
    yield from _paraphrased(world, paraphrases)
    say("searches of the paper")
    yield from _searches(world, captions, sounds, shown, things)
    say("pictures held out whole")
    yield from _held_out(world, captions)


def _pictures_and_captions(
    world: World, captions: Vectors, say: Callable[[str], None]
) -> Iterator[Figure]:
    learned = world.stamps.learned
    things = world.things(learned)
    wanted = {1: 0.80, 5: 0.95}
    every = []
    for form in held_out.FORMS:
        say(form)
        seen = world.seen(learned, form)
        every.append(seen)
        args = (seen, captions, things, world.caption_things)
        yield _figure("a", f"picture: {form}", "caption", *args, {})
    seen = np.concatenate(every)
    there = things * len(every)
    yield _figure(
        "a", "picture: all", "caption", seen, captions, there, world.caption_things, wanted
    )
    back = [recalls(captions, part, world.caption_things, things, KS) for part in every]
    yield Figure("a", "caption", "picture: all", _pooled(back), wanted)


def _pooled(parts: Sequence[Sequence[Recall]]) -> tuple[Recall, ...]:
    """A caption is asked of each form's pictures in turn, all things among them each time."""
    from encoders.bind.recall import wilson

    pooled = []
    for same_k in zip(*parts, strict=True):
        queries = sum(r.queries for r in same_k)
        found = round(sum(r.share * r.queries for r in same_k))
        chance = float(np.mean([r.chance for r in same_k]))
        pooled.append(
            Recall(same_k[0].k, queries, found / queries, *wilson(found, queries), chance)
        )
    return tuple(pooled)


def _emergent(
    world: World, captions: Vectors, sounds: Vectors, things: list[int]
) -> Iterator[Figure]:
    """Never trained as a pair. Among all captions, and back among all sounds."""
    wanted = {5: 0.40}
    there = world.caption_things
    yield _figure("c", "sound", "caption (of all)", sounds, captions, things, there, wanted)
    kept = [i for i, thing in enumerate(there) if thing in set(things)]
    asked = [there[i] for i in kept]
    args = (captions[kept], sounds, asked, things)
    yield _figure("c", "caption", "sound", *args, wanted)
    args = (sounds, captions[kept], things, asked)
    yield _figure("c", "sound", "caption (of things that sound)", *args, {})


def _paraphrased(world: World, paraphrases: Path) -> Iterator[Figure]:
    learned = world.stamps.learned
    seen, there = world.seen(learned, None), world.things(learned)
    wanted = {5: 0.80}
    for what, pairs in read_paraphrases(world, paraphrases).items():
        asked = [world.numbers[caption] for caption, _ in pairs]
        said = world.words([words for _, words in pairs])
        yield _figure("d", what, "picture", said, seen, asked, there, wanted)


def read_paraphrases(world: World, path: Path) -> dict[str, list[tuple[str, str]]]:
    """What captions are said as: by hand, in a template, and without their article."""
    with path.open(encoding="utf-8", newline="") as file:
        by_hand = [(r["caption"], r["paraphrase"]) for r in csv.DictReader(file, delimiter="\t")]
    short = [c for c in world.captions if c.startswith(("A ", "An ")) and "." not in c[:-1]]
    bare = [(c, c.split(" ", 1)[1].rstrip(".!")) for c in short]
    named = [(c, NAMED.format(c[0].lower() + c[1:].rstrip(".!"))) for c in short]
    return {"words by hand": by_hand, "noun alone": bare, '"a picture of ..."': named}


def _searches(
    world: World, captions: Vectors, sounds: Vectors, shown: Vectors, things: list[int]
) -> Iterator[Figure]:
    """Girdhar et al., section 4: across senses, and by a picture and a sound together."""
    yield _figure("e", "picture", "sound", shown, sounds, things, things, {})
    yield _figure("e", "sound", "picture", sounds, shown, things, things, {})
    kept = [i for i, thing in enumerate(world.caption_things) if thing in set(things)]
    asked = [world.caption_things[i] for i in kept]
    both = np.concatenate([shown, sounds])
    yield _figure("e", "words", "pictures and sounds", captions[kept], both, asked, things * 2, {})
    random = np.random.default_rng(11)
    pairs = [tuple(random.choice(len(world.heard), 2, replace=False)) for _ in range(COMPOSITES)]
    scenes = world.together([(world.heard[a], world.heard[b]) for a, b in pairs])
    summed = np.stack([shown[a] + sounds[b] for a, b in pairs])
    summed /= np.linalg.norm(summed, axis=1, keepdims=True)
    numbers = range(COMPOSITES)
    yield _figure("e", "picture + sound", "picture of both", summed, scenes, numbers, numbers, {})


def _held_out(world: World, captions: Vectors) -> Iterator[Figure]:
    """Other pictures of things that are known: letters in another fount apart from the rest."""
    letters = [s for s in world.held_out if "letter" in s.caption]
    others = [s for s in world.held_out if "letter" not in s.caption]
    learned = world.stamps.learned
    seen, there = world.seen(learned, None), world.things(learned)
    for what, stamps in (("another picture", others), ("a letter in another fount", letters)):
        if not stamps:
            continue
        asked, things = world.seen(stamps, None), world.things(stamps)
        yield _figure("f", what, "caption", asked, captions, things, world.caption_things, {})
        yield _figure("f", what, "known picture", asked, seen, things, there, {})


def _figure(
    part: str,
    query: str,
    answer: str,
    queries: Vectors,
    answers: Vectors,
    query_is: Sequence[int],
    answer_is: Sequence[int],
    wanted: dict[int, float],
) -> Figure:
    found = recalls(queries, answers, query_is, answer_is, KS)
    return Figure(part, query, answer, found, wanted)
