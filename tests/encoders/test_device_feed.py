"""The way to a device, by its logic: filled up, in order, several under way, each error its own's.

No GPU is needed: `tests/support/recorded_streams.py` stands in for its streams, and what would be
captured is called. tests/gpu/ has the same on a real one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from encoders.captured import CapturedForward, padded_sizes
from encoders.card import EncoderCard
from encoders.catalogue import card_for
from encoders.device_feed import DeviceFeed
from encoders.errors import BrokenWeights, InputError
from encoders.imagebind.encode import TOKEN_SIZES, ImageBindEncoder, cut_words
from encoders.inputs import unit_length
from encoders.loading import load_encoder
from encoders.modality import Modality
from encoders.pending import submitted
from encoders.preprocess.text import CONTEXT, token_ids
from encoders.tower import Tower, sliced
from tests.support import media_files
from tests.support.recorded_streams import RecordedStreams

CPU = torch.device("cpu")
WIDTH = 4


@pytest.fixture(scope="module")
def card() -> EncoderCard:
    return card_for("imagebind-demo")


class Doubling:
    """A tower that doubles what it is given, refuses a batch with -1 in it, and notes the sizes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def tower(self) -> Tower:
        return Tower(
            cut=sliced(self._checked),
            forward=self._doubled,
            finish=self._finished,
            examples=lambda: [np.ones((2, WIDTH), np.float32)],
        )

    def _checked(self, batch: Any) -> tuple[Tensor]:
        if (batch == -1).any():
            raise InputError("There is a -1.", remedy="Leave it out.")
        return (torch.from_numpy(batch),)

    def _doubled(self, batch: Tensor) -> Tensor:
        self.sizes.append(len(batch))
        return batch * 2

    def _finished(self, vectors: Tensor) -> Tensor:
        if not bool(torch.isfinite(vectors).all()):
            raise BrokenWeights("Not finite.", remedy="Get it again.")
        return vectors


def feed_of(
    card: EncoderCard, doubling: Doubling, streams: RecordedStreams | None = None
) -> DeviceFeed:
    return DeviceFeed(card, CPU, {Modality.VISION: doubling.tower()}, 16, streams=streams)


def numbered(start: int, rows: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.arange(start, start + rows * WIDTH, dtype=np.float32).reshape(rows, WIDTH)


def test_sizes_that_batches_are_filled_up_to() -> None:
    assert padded_sizes(64) == (8, 16, 32, 64)
    assert padded_sizes(48) == (8, 16, 32, 48)
    assert padded_sizes(8) == (8,)
    assert padded_sizes(3) == (3,)


def test_a_batch_is_filled_up_and_its_rows_come_back_alone(card: EncoderCard) -> None:
    doubling = Doubling()
    feed = feed_of(card, doubling, RecordedStreams())
    feed.capture(Modality.VISION, (8, 16, 99))
    assert feed.captured == {Modality.VISION: (8, 16)}, "no form is larger than a forward may be"
    doubling.sizes.clear()
    for rows, size in ((1, 8), (8, 8), (9, 16), (16, 16)):
        batch = numbered(rows, rows)
        assert np.array_equal(feed.encode(Modality.VISION, batch), batch * 2)
        assert doubling.sizes == [size]
        doubling.sizes.clear()
    batch = numbered(5, 37)
    assert np.array_equal(feed.encode(Modality.VISION, batch), batch * 2)
    assert doubling.sizes == [16, 16, 8], "cut to the largest, the rest filled up"


def test_what_has_no_form_of_its_shape_goes_as_it_is(card: EncoderCard) -> None:
    doubling = Doubling()
    feed = feed_of(card, doubling, RecordedStreams())
    feed.capture(Modality.VISION, (8,))
    doubling.sizes.clear()
    wide = np.ones((3, 2 * WIDTH), np.float32)
    assert np.array_equal(feed.encode(Modality.VISION, wide), wide * 2)
    assert doubling.sizes == [3]


def test_what_fills_a_batch_up_changes_no_bit_of_it() -> None:
    """Of a real network: the rows before are other windows' in one case, its own in the other."""
    encoder = load_encoder("sensedex-mini", device="cpu", precision="fp32")
    assert isinstance(encoder, ImageBindEncoder)
    frames = np.stack([media_files.picture_array(n, (224, 224)) for n in range(11)])[:, None]
    sounds = np.stack([media_files.sound_array(n, 2.0) for n in range(11)])
    for modality, items in ((Modality.VISION, frames), (Modality.AUDIO, sounds)):
        feed = DeviceFeed(encoder.card, CPU, encoder.feed.towers, 8, streams=RecordedStreams())
        feed.capture(modality, (8,))
        assert feed.captured == {modality: (8,)}
        alone = feed.encode(modality, items[:3])
        feed.encode(modality, items[3:])
        beside = feed.encode(modality, items[:3])
        assert np.array_equal(alone, beside)
        assert np.abs(alone - encoder.encode(modality, items[:3])).max() < 1e-5


def test_streams_change_no_bit_of_a_vector() -> None:
    """What goes by streams is what goes without them, text that repeats and is sorted as well. Both
    on all cores at once: an item a core is another product of matrices, and other last bits on some
    processors."""
    encoder = load_encoder("sensedex-mini", device="cpu", precision="fp32")
    assert isinstance(encoder, ImageBindEncoder)
    feed = DeviceFeed(encoder.card, CPU, encoder.feed.towers, 64, streams=RecordedStreams())
    plain = DeviceFeed(encoder.card, CPU, encoder.feed.towers, 64)
    frames = np.stack([media_files.picture_array(n, (224, 224)) for n in range(6)])
    batches: list[tuple[Modality, Any]] = [
        (Modality.VISION, frames.reshape(3, 2, 224, 224, 3)),
        (Modality.VISION, frames[:3, None]),
        (Modality.AUDIO, np.stack([media_files.sound_array(n, 1.3) for n in range(3)])),
        (Modality.TEXT, ["a red square on the left", "a dog", "a red square on the left"]),
        (Modality.TEXT, []),
    ]
    pending = [feed.submit(modality, batch) for modality, batch in batches]
    for (modality, batch), one in zip(batches, pending, strict=True):
        assert np.array_equal(one.result(), plain.encode(modality, batch))


def test_the_next_goes_up_before_the_last_is_waited_for(card: EncoderCard) -> None:
    streams = RecordedStreams(in_flight=2)
    feed = feed_of(card, Doubling(), streams)
    given = [numbered(n, 4) for n in range(3)]
    pending = [feed.submit(Modality.VISION, batch) for batch in given]
    assert streams.events == ["up 0", "down 0", "up 1", "down 1", "wait 0", "up 2", "down 2"]
    for batch in given:
        batch[:] = 0  # the caller's arrays are the caller's again
    for number in (2, 0, 1):
        wanted = numbered(number, 4) * 2
        assert np.array_equal(pending[number].result(), wanted)
        assert np.array_equal(pending[number].result(), wanted)
    assert streams.most_under_way() == 2
    feed.encode(Modality.VISION, numbered(0, 90))
    assert streams.most_under_way() == 2, "nor by a batch of many pieces"


@pytest.mark.parametrize("streams", [None, RecordedStreams()])
def test_a_batch_that_fails_disturbs_no_other(
    card: EncoderCard, streams: RecordedStreams | None
) -> None:
    feed = feed_of(card, Doubling(), streams)
    late = numbered(0, 20)
    late[18] = -1  # in its second piece, when the first is under way
    broken = numbered(0, 3)
    broken[1] = np.inf
    before = feed.submit(Modality.VISION, numbered(1, 3))
    pending = [feed.submit(Modality.VISION, batch) for batch in (late, broken)]
    beside = feed.submit(Modality.AUDIO, numbered(1, 3))
    after = feed.submit(Modality.VISION, numbered(2, 3))
    for _ in range(2):
        with pytest.raises(InputError, match="-1"):
            pending[0].result()
    with pytest.raises(BrokenWeights):
        pending[1].result()
    with pytest.raises(InputError, match="no tower for audio"):
        beside.result()
    assert np.array_equal(after.result(), numbered(2, 3) * 2)
    assert np.array_equal(before.result(), numbered(1, 3) * 2)


class Drifting(Doubling):
    """Another answer each time, as a graph would give that missed a part of the work."""

    def _doubled(self, batch: Tensor) -> Tensor:
        self.sizes.append(0)
        turned = torch.linspace(-1, 1, WIDTH) * len(self.sizes) ** 3
        return batch + turned


class Refusing(Doubling):
    """What a capture cannot hold: the library says so, and what it would have said next."""

    def _doubled(self, batch: Tensor) -> Tensor:
        if len(batch) == 8:
            raise RuntimeError("operation not permitted when stream is capturing\nmore of it")
        return batch * 2


@pytest.mark.parametrize(
    ("tower", "said"),
    [(Drifting(), "other vectors come of it."), (Refusing(), "stream is capturing.")],
)
def test_what_cannot_be_captured_stays_eager_and_is_said(
    card: EncoderCard, caplog: pytest.LogCaptureFixture, tower: Doubling, said: str
) -> None:
    feed = feed_of(card, tower, RecordedStreams())
    with caplog.at_level(logging.WARNING):
        feed.capture(Modality.VISION, (8,))
    assert feed.captured == {}
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("imagebind-demo: vision is not replayed as a CUDA graph of 8 rows")
    assert line.endswith(said)
    assert feed.encode(Modality.VISION, numbered(0, 3)).shape == (3, WIDTH)


def test_nothing_is_captured_or_filled_up_on_a_cpu(card: EncoderCard) -> None:
    doubling = Doubling()
    feed = feed_of(card, doubling)
    feed.prepare([Modality.VISION], 16)
    assert feed.captured == {}
    assert feed.batches_ahead == 0
    assert RecordedStreams().in_flight
    assert feed_of(card, doubling, RecordedStreams()).batches_ahead == 1
    pending = feed.submit(Modality.VISION, numbered(0, 3))
    assert doubling.sizes == [], "nobody else could begin it"
    pending.result()
    assert doubling.sizes == [3]


def test_a_form_keeps_what_it_was_given_apart() -> None:
    """Two kinds of tensor a row, filled up together."""
    form = CapturedForward(lambda a, b: a + b, (torch.ones(4, 2), torch.full((4, 1), 10.0)))
    first = form((torch.zeros(2, 2), torch.ones(2, 1)))
    second = form((torch.ones(3, 2), torch.ones(3, 1)))
    assert torch.equal(first, torch.ones(2, 2))
    assert torch.equal(second, torch.full((3, 2), 2.0))


@pytest.mark.parametrize("sizes", [TOKEN_SIZES, tuple(range(1, CONTEXT + 1))])
def test_words_are_cut_to_the_length_that_holds_them(sizes: Sequence[int]) -> None:
    texts = ["a dog", "word " * 100, "a dog", "a longer one, of nine or ten tokens", "cat"]
    cut = cut_words(texts, 2, sizes)
    pieces = [ids for (ids,) in cut.pieces]
    ends = token_ids(texts).argmax(1) + 1
    assert [len(ids) for ids in pieces] == [2, 2], "equal texts once"
    assert pieces[1].shape[1] == CONTEXT
    assert pieces[0].shape[1] == min(size for size in sizes if size >= ends[0])
    assert cut.place is not None
    rows = [row for ids in pieces for row in ids]
    for text, place in zip(texts, cut.place, strict=True):
        whole = token_ids([text])[0]
        got = rows[place].numpy()
        assert np.array_equal(got, whole[: len(got)])
        assert not whole[len(got) :].any()


def test_an_encoder_without_a_feed_is_asked_when_its_result_is(card: EncoderCard) -> None:
    class Plain:
        precisions = ()
        asked = 0

        @property
        def card(self) -> EncoderCard:
            return card

        def encode(self, modality: Modality, batch: Any) -> Any:
            assert modality is Modality.TEXT
            self.asked += 1
            return unit_length(torch.ones(len(batch), 2), "it").numpy()

    plain = Plain()
    pending = submitted(plain, Modality.TEXT, lambda: ["a"])
    assert plain.asked == 0
    assert pending.result().shape == (1, 2)
