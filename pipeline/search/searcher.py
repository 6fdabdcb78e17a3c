"""Search: words, a picture, a sound, a video or a sum of them; the answer is moments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from encoders.card import EncoderCard
from encoders.modality import Modality
from encoders.protocol import Encoder
from pipeline.errors import SettingsError
from pipeline.index.types import Hit
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.models.spaces import cards_of, load_chosen, spaces_of
from pipeline.search.live_hits import live_hits
from pipeline.search.moments import Moment, moments_of
from pipeline.search.query import (
    Query,
    QueryTerm,
    SearchRequest,
    default_using,
    file_terms,
    words_term,
)
from pipeline.settings import Settings

HITS_PER_MOMENT = 5  # windows asked for, so that enough are left after merging
MOST_HITS = 10_000  # what the limits of our collections let one search ask for


def search_index(index: VectorIndex, query: Query) -> list[Moment]:
    """The best moments first. Raises IndexUnavailable."""
    vector = query.vector()
    wanted = max(query.limit, min(query.limit * HITS_PER_MOMENT, MOST_HITS))
    must = [("media_type", str(query.media_type))] if query.media_type else []

    def ask() -> dict[str, list[Hit]]:
        return {name: index.query(name, vector, wanted, must=must) for name in query.using}

    return moments_of(live_hits(index, ask), query.limit)


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

    def search(self, request: SearchRequest) -> list[Moment]:
        """Raises SettingsError for a question that cannot be asked, or a file that is not media."""
        using = request.using
        unknown = [name for name in using if name not in self._encoder_of]
        if unknown:
            raise SettingsError(
                f"The collection has no vector {unknown[0]!r}.",
                remedy=f"It has {', '.join(self._encoder_of)}.",
            )
        encoders = {self._encoder_of[name] for name in using} or {self.card.name}
        if len(encoders) > 1:
            raise SettingsError(
                f"--using names vectors of {' and '.join(sorted(encoders))}.",
                remedy="Their scores cannot be compared; search one encoder's at a time.",
            )
        encoder = self._encoder(encoders.pop())
        terms = self._terms(encoder, request)
        if not using and terms:
            names = tuple(n for n, whose in self._encoder_of.items() if whose == encoder.card.name)
            meaningful = encoder.card.meaningful
            chosen = [default_using(t, meaningful=meaningful, names=names) for t in terms]
            using = tuple(dict.fromkeys(name for names in chosen for name in names))
        return search_index(
            self._index, Query(tuple(terms), using, request.limit, request.media_type)
        )

    def _encoder(self, name: str) -> Encoder:
        if name not in self._loaded:
            self._loaded[name] = load_chosen(self._settings, name)
        return self._loaded[name]

    def _terms(self, encoder: Encoder, request: SearchRequest) -> list[QueryTerm]:
        terms = []
        decode = self._settings.decode
        modalities = encoder.card.modalities
        if request.words:
            terms.append(words_term(encoder, request.words))
        files: Sequence[tuple[Path | None, tuple[Modality, ...]]] = (
            (request.image, (Modality.VISION,)),
            (request.audio, (Modality.AUDIO,)),
            (request.video, (Modality.VISION, Modality.AUDIO)),
        )
        for path, wanted in files:
            if path is not None:
                there = tuple(modality for modality in wanted if modality in modalities)
                terms += file_terms(encoder, path, decode, modalities=there or wanted)
        if request.plus:
            terms.append(words_term(encoder, request.plus))
        if request.minus:
            terms.append(words_term(encoder, request.minus, -1.0))
        return terms


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
