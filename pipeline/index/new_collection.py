"""Turns the settings into what a new collection is made with, in the words of Qdrant's client.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qdrant_client import models as q

from pipeline.index.errors import SENTENCES, IndexRefused
from pipeline.index.refusals import Refusal
from pipeline.payload_fields import IndexKind
from pipeline.payload_schema import FIELDS
from pipeline.records import VectorSpace
from pipeline.settings_index import IndexSettings

Version = tuple[int, ...]
IndexParams = (
    q.KeywordIndexParams | q.BoolIndexParams | q.IntegerIndexParams | q.DatetimeIndexParams
)
INDEX_TYPES = {
    IndexKind.KEYWORD: q.PayloadSchemaType.KEYWORD,
    IndexKind.BOOL: q.PayloadSchemaType.BOOL,
    IndexKind.INTEGER: q.PayloadSchemaType.INTEGER,
    IndexKind.DATETIME: q.PayloadSchemaType.DATETIME,
}
INDEXED_FIELDS = {field.name: INDEX_TYPES[field.index] for field in FIELDS if field.index}
DISTANCES = {"cosine": q.Distance.COSINE, "dot": q.Distance.DOT}
# Whose servers know `enable_hnsw` of a payload index, TurboQuant, and `prefix` of an index (which
# was tried with this one).
KNOWS_ENABLE_HNSW: Version = (1, 17)
KNOWS_TURBO: Version = (1, 18)
KNOWS_PREFIX: Version = (1, 19)


def vector_params(
    settings: IndexSettings, spaces: Sequence[VectorSpace], *, local: bool
) -> dict[str, q.VectorParams]:
    """The named vectors. Local mode keeps float32, whatever it is told: it is told nothing."""
    return {
        space.vector_name: q.VectorParams(
            size=space.dimension,
            distance=DISTANCES[settings.distance],
            on_disk=settings.on_disk,
            datatype=None if local else q.Datatype(settings.datatype),
        )
        for space in spaces
    }


def graph_of(settings: IndexSettings) -> q.HnswConfigDiff:
    """What else there is to a graph, the server decides."""
    return q.HnswConfigDiff(m=settings.hnsw_m, ef_construct=settings.hnsw_ef_construct)


def quantization_of(settings: IndexSettings) -> q.QuantizationConfig | None:
    """Quantized vectors are kept in memory; those in full are for the candidates alone."""
    match settings.quantization:
        case "int8":
            kind = q.ScalarQuantizationConfig(
                type=q.ScalarType.INT8, quantile=0.99, always_ram=True
            )
            return q.ScalarQuantization(scalar=kind)
        case "binary":
            return q.BinaryQuantization(binary=q.BinaryQuantizationConfig(always_ram=True))
        case "product":
            sixteenth = q.ProductQuantizationConfig(
                compression=q.CompressionRatio.X16, always_ram=True
            )
            return q.ProductQuantization(product=sixteenth)
        case "turbo":
            return q.TurboQuantization(turbo=q.TurboQuantQuantizationConfig(always_ram=True))
    return None


def check_known(settings: IndexSettings, version: Version | None, where: str) -> None:
    """Raises IndexRefused where the server is too old for what the settings want; `version` is None
    where it does not tell."""
    if settings.quantization == "turbo" and version is not None and version < KNOWS_TURBO:
        raise IndexRefused(
            f"Qdrant at {where} is {'.'.join(map(str, version))}, which does not know TurboQuant.",
            code=SENTENCES[Refusal.TOO_OLD].code,
            remedy="Use Qdrant 1.18 or newer, or index.quantization=int8.",
        )


def payload_indexes(
    version: Version | None, on_disk: bool | None = None
) -> Iterator[tuple[str, q.PayloadSchemaType | IndexParams]]:
    """The fields with an index, and what each is told. An index that no search filters by gets no
    links of its own in the graph, where the server can leave them out. Of what is None the server
    is told nothing."""
    knows = version is not None and version >= KNOWS_ENABLE_HNSW
    knows_prefix = version is not None and version >= KNOWS_PREFIX
    for field in FIELDS:
        if field.index is None:
            continue
        links = False if knows and not field.graph_links else None
        prefix = True if knows_prefix and field.prefixes else None
        if links is None and on_disk is None and prefix is None:
            yield field.name, INDEX_TYPES[field.index]
        else:
            yield field.name, _params(field.index, links, on_disk, prefix)


def _params(
    kind: IndexKind, links: bool | None, on_disk: bool | None, prefix: bool | None
) -> IndexParams:
    match kind:
        case IndexKind.INTEGER:
            return q.IntegerIndexParams(
                type=q.IntegerIndexType.INTEGER,
                lookup=True,
                range=True,
                enable_hnsw=links,
                on_disk=on_disk,
            )
        case IndexKind.DATETIME:
            return q.DatetimeIndexParams(
                type=q.DatetimeIndexType.DATETIME, enable_hnsw=links, on_disk=on_disk
            )
        case IndexKind.BOOL:
            return q.BoolIndexParams(type=q.BoolIndexType.BOOL, enable_hnsw=links, on_disk=on_disk)
    return q.KeywordIndexParams(
        type=q.KeywordIndexType.KEYWORD, enable_hnsw=links, on_disk=on_disk, prefix=prefix
    )
