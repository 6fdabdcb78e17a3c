"""The stages of a graph with an encoder that does not survive black pictures, and a writer that
dies once, with what it has gathered; a graph whose decoders are slow, and two whose encoder is not
to be had."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from encoders.catalogue import card_for
from encoders.errors import BrokenInstall
from encoders.modality import Modality
from encoders.precision import TowerPrecision
from encoders.protocol import Encoder
from pipeline.embed.decode import DecodeStage
from pipeline.embed.fetch import Fetched
from pipeline.embed.job import EmbedJob
from pipeline.embed.rows import DecodedRow, Shard
from pipeline.embed.write import WriteStage
from pipeline.progress import AddProgress
from pipeline.records import ShardReceipt

CARD = card_for("imagebind-demo")
DARK = 8  # of 255; JPEG leaves a little of everything
WRITERS_SHARD = 1
SLOW_S = 0.5
ANSWERED_S = 5.0
"""By then Ray has heard that what came before is done, and does not give it to the next writer."""


class DeadlyEncoder:
    card = CARD
    precisions: tuple[TowerPrecision, ...] = ()

    def encode(self, modality: Modality, batch: Any) -> NDArray[np.float32]:
        if modality is Modality.VISION:
            brightest = np.asarray(batch).reshape(len(batch), -1).max(axis=1)
            if (brightest < DARK).any():
                os._exit(1)
        unit = np.zeros((len(batch), CARD.dimension), np.float32)
        unit[:, 0] = 1
        return unit


class MortalWriter(WriteStage):
    """`died` is where it remembers that it has."""

    died: Path

    def receipts(self, encoded: pa.Table) -> Iterator[ShardReceipt]:
        of_shard = WRITERS_SHARD in encoded.column("shard").to_pylist()
        if self._shards and of_shard and not self.died.exists():
            self.died.touch()
            time.sleep(ANSWERED_S)
            os._exit(1)
        yield from super().receipts(encoded)


class SlowDecoder(DecodeStage):
    def rows(self, fetched: Fetched, shard: Shard) -> Iterator[DecodedRow]:
        time.sleep(SLOW_S)
        yield from super().rows(fetched, shard)


class SlowJob(EmbedJob):
    """Encodes at once."""

    __slots__ = ()

    def load_encoders(self) -> list[Encoder]:
        return [DeadlyEncoder()]  # type: ignore[list-item]  # it has what the stage asks for

    def decode_stage(self, add_progress: AddProgress) -> DecodeStage:
        return SlowDecoder(self.settings.decode, CARD.name, ("f",), add_progress)


class DeadlyJob(EmbedJob):
    __slots__ = ()

    def load_encoders(self) -> list[Encoder]:
        return [DeadlyEncoder()]  # type: ignore[list-item]  # it has what the stage asks for

    def write_stage(self, add_progress: AddProgress) -> WriteStage:
        stage = MortalWriter(self.open_store, self.run, self.spaces, add_progress)
        stage.died = Path(self.settings.state.location).with_name("died")
        return stage


class RefusedJob(EmbedJob):
    """Its encoder cannot be loaded where the encode stage's actors are."""

    __slots__ = ()

    def load_encoders(self) -> list[Encoder]:
        raise BrokenInstall("A library does not load.", remedy="Install its pair.")


class UnfinishedJob(EmbedJob):
    """Loading the encoder has a fault that nobody thought of."""

    __slots__ = ()

    def load_encoders(self) -> list[Encoder]:
        raise ZeroDivisionError("of nobody's making")
