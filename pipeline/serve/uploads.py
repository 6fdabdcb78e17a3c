"""Terms of what was uploaded: decoded in the sandbox, encoded, and remembered by their content.

A request from elsewhere names no file: the value of a term is the digest of what was uploaded for
it, and its vectors are those that are remembered.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from encoders.protocol import Encoder
from pipeline.media.sandbox.client import decode_in_child
from pipeline.media.window import Window
from pipeline.search.encoded import EncodedTerms
from pipeline.search.query import MAX_QUERY_WINDOWS, QueryTerm, windows_terms
from pipeline.search.request import Term, TermKind
from pipeline.search.searcher import FILES
from pipeline.serve.problems import RequestRefused
from pipeline.settings import Settings
from pipeline.settings_embedding import DecodeSettings

PREFIX = "sha256:"
PART_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
WALL_S = 20  # that a decoder may take for one upload
_VALUE = re.compile(rf"{PREFIX}[0-9a-f]{{64}}")
_READ_BYTES = 1 << 20


class UploadedTerms:
    """For any number of threads; a `pipeline.search.searcher.FileTerms`."""

    def __init__(self, encoded: EncodedTerms, settings: Settings) -> None:
        self._encoded = encoded
        self._decode = limited(settings.decode, settings)

    def take(self, encoder: Encoder, kind: TermKind, path: Path) -> str:
        """The value that stands for the file's content from now on. Raises MediaRejected, and
        RequestRefused where it has nothing that such a term is made of."""
        value = PREFIX + _digest(path)
        key = _key(encoder, kind, value)
        if self._encoded.kept(key) is None:
            windows = self._windows(path)
            self._encoded.of(key, lambda: self._terms(encoder, kind, windows))
        return value

    def __call__(self, encoder: Encoder, term: Term) -> Sequence[QueryTerm]:
        """Raises RequestRefused: for a value that is none, or is remembered no more."""
        if not is_value(term.value):
            raise RequestRefused(
                f"A term of kind {term.kind} names {term.value!r}, and no file is read for that.",
                code="no_file_term",
                remedy="Upload it, by multipart/form-data (docs/serve.md).",
            )
        kept = self._encoded.kept(_key(encoder, term.kind, term.value))
        if kept is None:
            raise RequestRefused(
                "What was uploaded for a term is not remembered any more.",
                code="upload_forgotten",
                remedy="Upload it again.",
                status=410,
            )
        return kept

    def _windows(self, path: Path) -> list[Window]:
        with closing(decode_in_child(path, self._decode)) as items:  # type: ignore[type-var]
            windows = (item for item in items if isinstance(item, Window))
            return list(islice(windows, MAX_QUERY_WINDOWS))

    def _terms(
        self, encoder: Encoder, kind: TermKind, windows: Sequence[Window]
    ) -> tuple[QueryTerm, ...]:
        wanted = FILES[kind]
        there = tuple(m for m in wanted if m in encoder.card.modalities)
        made = windows_terms(encoder, windows, modalities=there or wanted)
        if not made:
            raise RequestRefused(
                f"The upload for a term of kind {kind} has no {' or '.join(wanted)}.",
                code="no_such_modality",
                remedy="Send a file that has.",
            )
        return tuple(replace(one, label=f"the {kind}") for one in made)


def is_value(text: str) -> bool:
    """Whether it stands for something that was uploaded."""
    return _VALUE.fullmatch(text) is not None


def limited(decode: DecodeSettings, settings: Settings) -> DecodeSettings:
    """The settings by which uploads, and pictures of assets, are decoded: never looser than those
    of a run."""
    serve = settings.serve
    return decode.model_copy(
        update={
            "max_pixels": min(decode.max_pixels, serve.upload_pixels),
            "max_duration_s": min(decode.max_duration_s, serve.upload_s),
            "max_wall_s": min(decode.max_wall_s, WALL_S),
            "max_cpu_s": min(decode.max_cpu_s, WALL_S),
            "decoder": "auto" if decode.decoder == "nvdec" else decode.decoder,
        }
    )


def _key(encoder: Encoder, kind: TermKind, value: str) -> Hashable:
    return "upload", encoder.card.name, str(kind), value


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
