"""Search: words, pictures, sounds, videos and stored windows, summed or required; the answer is
moments."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from encoders.card import EncoderCard
from encoders.modality import Modality
from encoders.protocol import Encoder
from pipeline.errors import SettingsError
from pipeline.index.types import Asked
from pipeline.index.vector_index import VectorIndex, open_index
from pipeline.models.spaces import cards_of, load_chosen, spaces_of
from pipeline.search.calibration import KEPT_AS, Calibration, kept_calibration
from pipeline.search.driving import AwaitedAnswers, drive, drive_awaited
from pipeline.search.encoded import EncodedTerms
from pipeline.search.moments import Moment
from pipeline.search.query import Query, QueryTerm, default_using, file_terms, words_term
from pipeline.search.request import Ranking, SearchRequest, Term, TermKind
from pipeline.search.steps import Found, Scores, search_steps, timeline_steps
from pipeline.search.stored import stored_terms
from pipeline.settings import Settings
from pipeline.words import words_asked

LOOKED_AT_FOR_S = 60.0
FILES = {
    TermKind.IMAGE: (Modality.VISION,),
    TermKind.SOUND: (Modality.AUDIO,),
    TermKind.VIDEO: (Modality.VISION, Modality.AUDIO),
}
FileTerms = Callable[[Encoder, Term], Sequence[QueryTerm]]
"""The vectors of a term that is a picture, a sound or a video, of weight 1. By default its value is
a path, on this machine; who takes requests from elsewhere gives another, and no path is read."""


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """A page of moments, the best first. `cursor` is that of the next page, empty on the last;
    `notes` are sentences for a person."""

    moments: tuple[Moment, ...]
    cursor: str
    ranking: Ranking
    notes: tuple[str, ...] = ()


def search_index(index: VectorIndex, query: Query) -> list[Moment]:
    """The best moments first. Raises IndexUnavailable."""
    return list(drive(search_steps(query, has_words=False), index.asker()).moments)


class Searcher:
    """An open index with the encoders that filled it; each is loaded when first asked."""

    def __init__(
        self,
        index: VectorIndex,
        cards: Sequence[EncoderCard],
        settings: Settings,
        *,
        encoded: EncodedTerms | None = None,
        terms_of_file: FileTerms | None = None,
    ) -> None:
        self.index = index
        self.encoded = encoded or EncodedTerms()
        self._terms_of_file = terms_of_file or self.terms_by_path
        self._asker = index.asker()
        self._loading = threading.Lock()
        self._settings = settings
        self._loaded: dict[str, Encoder] = {}
        spaces = spaces_of(cards)
        self._encoder_of = {space.vector_name: space.encoder for space in spaces}
        self.modality_of = {space.vector_name: space.modality for space in spaces}
        self._fingerprints = tuple(card.fingerprint() for card in cards)
        self._calibration: Calibration | None = None
        self._looked_at = -LOOKED_AT_FOR_S
        self.card = cards[0]

    def search(self, request: SearchRequest) -> list[Moment]:
        """The moments of `answer`."""
        return list(self.answer(request).moments)

    def answer(self, request: SearchRequest) -> SearchAnswer:
        """Raises SettingsError for a question that cannot be asked, or a file that is not media,
        and IndexUnavailable."""
        return _answer(request, drive(self._steps(request), self._asker))

    async def answer_awaited(self, request: SearchRequest, answers: AwaitedAnswers) -> SearchAnswer:
        """The same, for an event loop (`awaited.py`)."""
        return _answer(request, await drive_awaited(self._steps(request), answers))

    async def scores_awaited(
        self, request: SearchRequest, asset_id: str, answers: AwaitedAnswers
    ) -> Scores:
        """What each window of an asset answers, by point and vector. Raises as `answer` does."""
        return await drive_awaited(self._timeline(request, asset_id), answers)

    def encoder_for(self, using: Sequence[str] = ()) -> Encoder:
        """The one that a search over these vectors is encoded by, loaded. Raises SettingsError for
        vectors that are not there, or of two encoders."""
        return self._encoder(self._encoder_asked(using))

    def terms_by_path(self, encoder: Encoder, term: Term) -> list[QueryTerm]:
        """Of the file at the path that is the term's value. Raises SettingsError."""
        wanted = FILES[term.kind]
        there = tuple(m for m in wanted if m in encoder.card.modalities)
        path, decode = Path(term.value), self._settings.decode
        made = file_terms(encoder, path, decode, modalities=there or wanted)
        return [replace(one, label=path.name) for one in made]

    def calibration(self) -> Calibration | None:
        """What is kept with the collection, looked at once a minute. Raises IndexUnavailable."""
        if time.monotonic() - self._looked_at >= LOOKED_AT_FOR_S:
            kept = self.index.metadata().get(KEPT_AS)
            self._calibration = kept_calibration(kept, self._fingerprints)
            self._looked_at = time.monotonic()
        return self._calibration

    def _steps(self, request: SearchRequest) -> Generator[Asked, Any, Found]:
        query = yield from self._query(request)
        has_words = bool(query.words) and self._asker.has_index("words")
        return (yield from search_steps(query, self.calibration(), has_words=has_words))

    def _timeline(self, request: SearchRequest, asset_id: str) -> Generator[Asked, Any, Scores]:
        query = yield from self._query(request)
        return (yield from timeline_steps(query, asset_id))

    def _query(self, request: SearchRequest) -> Generator[Asked, Any, Query]:
        encoder = self._encoder(self._encoder_asked(request.using))
        names = tuple(n for n, whose in self._encoder_of.items() if whose == encoder.card.name)
        terms: list[QueryTerm] = []
        using_of: dict[int, tuple[str, ...]] = {}
        for number, term in enumerate(request.terms, start=1):
            part = number if term.required else 0
            made = yield from self._terms(encoder, term, part, names)
            terms += made
            if term.weight > 0:
                using_of[part] = _joined(using_of.get(part, ()), self._using(made, encoder, names))
        using = request.using or _joined(*using_of.values()) or names
        words = [term.value for term in request.terms
                 if term.kind is TermKind.WORDS and term.weight > 0]  # fmt: skip
        return Query(
            tuple(terms),
            using,
            request.limit,
            where=request.where,
            offset=request.offset(),
            per_asset=request.per_asset,
            group=request.group,
            words=words_asked(" ".join(words)) if request.words else (),
            fold_above=request.fold_above,
            exact=request.exact,
            ranking=request.ranking,
            using_of_part=() if request.using else tuple(using_of.items()),
        )

    def _using(
        self, terms: Sequence[QueryTerm], encoder: Encoder, names: Sequence[str]
    ) -> tuple[str, ...]:
        meaningful = encoder.card.meaningful
        return _joined(*(default_using(term, meaningful=meaningful, names=names) for term in terms))

    def _encoder_asked(self, using: Sequence[str]) -> str:
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
        return encoders.pop()

    def _encoder(self, name: str) -> Encoder:
        with self._loading:
            if name not in self._loaded:
                self._loaded[name] = load_chosen(self._settings, name)
            return self._loaded[name]

    def _terms(
        self, encoder: Encoder, term: Term, part: int, names: Sequence[str]
    ) -> Generator[Asked, Any, list[QueryTerm]]:
        if term.kind is TermKind.POINT:
            modalities = {name: self.modality_of[name] for name in names}
            return (yield from stored_terms(term, modalities, part))
        if term.kind is TermKind.WORDS:
            key = ("words", encoder.card.name, term.value)
            made: Sequence[QueryTerm] = self.encoded.of(
                key, lambda: (replace(words_term(encoder, term.value), label=term.value),)
            )
        else:
            made = self._terms_of_file(encoder, term)
        return [replace(one, weight=term.weight, required=term.required, part=part) for one in made]


def _answer(request: SearchRequest, found: Found) -> SearchAnswer:
    after = request.cursor_at(request.offset() + request.limit) if found.more else ""
    return SearchAnswer(found.moments, after, found.ranking, found.notes)


def _joined(*names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for some in names for name in some))


@contextmanager
def open_searcher(
    settings: Settings,
    *,
    encoded: EncodedTerms | None = None,
    terms_of_file: FileTerms | None = None,
) -> Iterator[Searcher]:
    """Open the index; encoders come when asked. Raises IndexUnavailable, IndexMismatch, and
    SettingsError where nothing was indexed yet."""
    nothing_yet = SettingsError(
        f"There is no collection {settings.index.collection!r} yet.",
        remedy="`sensedex run` makes it; or name another one with --collection.",
    )
    if settings.index.url is None and not settings.index.path.exists():
        raise nothing_yet  # opening would make the folder
    with open_index(settings.index.for_searches()) as index:
        if not index.exists():
            raise nothing_yet
        cards = cards_of(settings)
        index.ensure_collection(spaces_of(cards))
        yield Searcher(index, cards, settings, encoded=encoded, terms_of_file=terms_of_file)
