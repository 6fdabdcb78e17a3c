"""Search: words, a picture, a sound, a video or a sum of them; the answer is moments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from encoders.card import EncoderCard
from encoders.modality import Modality
from encoders.protocol import Encoder
from pipeline.errors import SettingsError
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.models.spaces import cards_of, load_chosen, spaces_of
from pipeline.search.moments import Moment, moments_of
from pipeline.search.query import Asked, Part, Query, default_over, file_parts, words_part
from pipeline.settings import Settings

HITS_A_MOMENT = 5  # windows asked for, so that enough are left after merging


def search(index: VectorIndex, query: Query) -> list[Moment]:
    """The best moments first. Raises IndexUnavailable."""
    vector = query.vector()
    wanted = query.limit * HITS_A_MOMENT
    must = [("media_type", str(query.among))] if query.among else []
    hits = {name: index.query(name, vector, wanted, must=must) for name in query.over}
    return moments_of(hits, query.limit)


class Searcher:
    """An open index with the encoders that filled it; each is loaded when first asked."""

    def __init__(
        self, index: VectorIndex, cards: Sequence[EncoderCard], settings: Settings
    ) -> None:
        self._index = index
        self._settings = settings
        self._loaded: dict[str, Encoder] = {}
        self._encoder_of = {space.vector_name: space.encoder for space in spaces_of(cards)}
        self.card = cards[0]

    def ask(self, asked: Asked) -> list[Moment]:
        """Raises SettingsError for a question that cannot be asked, or a file that is not media."""
        over = asked.over
        unknown = [name for name in over if name not in self._encoder_of]
        if unknown:
            raise SettingsError(
                f"The collection has no vector {unknown[0]!r}.",
                remedy=f"It has {', '.join(self._encoder_of)}.",
            )
        encoders = {self._encoder_of[name] for name in over} or {self.card.name}
        if len(encoders) > 1:
            raise SettingsError(
                f"--over names vectors of {' and '.join(sorted(encoders))}.",
                remedy="Their scores cannot be compared; search one encoder's at a time.",
            )
        encoder = self._encoder(encoders.pop())
        parts = self._parts(encoder, asked)
        if not over and parts:
            names = tuple(n for n, whose in self._encoder_of.items() if whose == encoder.card.name)
            meaningful = encoder.card.meaningful
            chosen = [default_over(p, meaningful=meaningful, names=names) for p in parts]
            over = tuple(dict.fromkeys(name for names in chosen for name in names))
        return search(self._index, Query(tuple(parts), over, asked.limit, asked.among))

    def _encoder(self, name: str) -> Encoder:
        if name not in self._loaded:
            self._loaded[name] = load_chosen(self._settings, name)
        return self._loaded[name]

    def _parts(self, encoder: Encoder, asked: Asked) -> list[Part]:
        parts = []
        decode = self._settings.decode
        senses = encoder.card.modalities
        if asked.words:
            parts.append(words_part(encoder, asked.words))
        files: Sequence[tuple[Path | None, tuple[Modality, ...]]] = (
            (asked.picture, (Modality.VISION,)),
            (asked.sound, (Modality.AUDIO,)),
            (asked.video, (Modality.VISION, Modality.AUDIO)),
        )
        for path, wanted in files:
            if path is not None:
                there = tuple(sense for sense in wanted if sense in senses)
                parts += file_parts(encoder, path, decode, senses=there or wanted)
        if asked.without:
            parts.append(words_part(encoder, asked.without, -1.0))
        return parts


@contextmanager
def open_searcher(settings: Settings) -> Iterator[Searcher]:
    """Open the index; encoders come when asked. Raises IndexUnavailable, IndexMismatch, and
    SettingsError where nothing was indexed yet."""
    nothing_yet = SettingsError(
        f"There is no collection {settings.index.collection!r} yet.",
        remedy="`sensedex run` makes it; or name another one with --collection.",
    )
    if settings.index.url is None and not settings.index.path.exists():
        raise nothing_yet  # opening would make the folder
    with open_index(settings.index) as index:
        if not index.exists():
            raise nothing_yet
        cards = cards_of(settings)
        index.ensure_collection(spaces_of(cards))
        yield Searcher(index, cards, settings)
