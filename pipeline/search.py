"""Search: words, a picture, a sound, a video or a sum of them; the answer is moments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from encoders.catalogue import card_for
from encoders.loading import load_encoder
from encoders.modality import Modality
from encoders.protocol import Encoder
from pipeline.errors import SettingsError
from pipeline.moments import Moment, moments_of
from pipeline.planning import spaces_of
from pipeline.qdrant import VectorIndex, open_index
from pipeline.query import Part, Query, default_over, file_parts, words_part
from pipeline.settings import Settings
from pipeline.weights_source import local_weights

HITS_A_MOMENT = 5  # windows asked for, so that enough are left after merging


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks for; all that is given is added up."""

    words: str | None = None
    picture: Path | None = None
    sound: Path | None = None
    video: Path | None = None
    without: str | None = None
    over: tuple[str, ...] = ()
    limit: int = 10


def search(index: VectorIndex, query: Query) -> list[Moment]:
    """The best moments first. Raises IndexUnavailable."""
    vector = query.vector()
    wanted = query.limit * HITS_A_MOMENT
    hits = {name: index.query(name, vector, wanted) for name in query.over}
    return moments_of(hits, query.limit)


class Searcher:
    """An open index with the encoder that filled it."""

    def __init__(self, index: VectorIndex, encoder: Encoder, settings: Settings) -> None:
        self._index = index
        self._encoder = encoder
        self._settings = settings
        self.card = encoder.card
        self._names = tuple(space.vector_name for space in spaces_of(encoder.card))

    def ask(self, asked: Asked) -> list[Moment]:
        """Raises SettingsError for a question that cannot be asked, MediaRejected for a file that
        is not media."""
        parts = self._parts(asked)
        over = asked.over
        unknown = [name for name in over if name not in self._names]
        if unknown:
            raise SettingsError(
                f"The collection has no vector {unknown[0]!r}.",
                remedy=f"It has {', '.join(self._names)}.",
            )
        if not over and parts:
            meaningful = self._encoder.card.meaningful
            chosen = [default_over(p, meaningful=meaningful, names=self._names) for p in parts]
            over = tuple(dict.fromkeys(name for names in chosen for name in names))
        return search(self._index, Query(tuple(parts), over, asked.limit))

    def _parts(self, asked: Asked) -> list[Part]:
        parts = []
        decode = self._settings.decode
        if asked.words:
            parts.append(words_part(self._encoder, asked.words))
        files: Sequence[tuple[Path | None, tuple[Modality, ...]]] = (
            (asked.picture, (Modality.VISION,)),
            (asked.sound, (Modality.AUDIO,)),
            (asked.video, (Modality.VISION, Modality.AUDIO)),
        )
        for path, senses in files:
            if path is not None:
                parts += file_parts(self._encoder, path, decode, senses=senses)
        if asked.without:
            parts.append(words_part(self._encoder, asked.without, -1.0))
        return parts


@contextmanager
def open_searcher(settings: Settings) -> Iterator[Searcher]:
    """Open the index, then load the encoder. Raises IndexUnavailable, IndexMismatch, and
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
        encode = settings.encode
        weights = local_weights(settings)
        card = card_for(encode.encoder, weights, seed=encode.seed)
        encoder = load_encoder(
            encode.encoder,
            weights,
            device=encode.device,
            precision=encode.precision,
            seed=encode.seed,
            only=tuple(space.modality for space in spaces_of(card)),
        )
        index.ensure_collection(spaces_of(encoder.card))
        yield Searcher(index, encoder, settings)
