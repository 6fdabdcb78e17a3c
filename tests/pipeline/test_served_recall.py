"""How recall is counted, what is tried where it falls short, and what a person is told of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipeline.served_recall import (
    GOOD_RECALL,
    Looking,
    Proposal,
    ServedRecall,
    VectorRecall,
    can_reach,
    ladder,
    propose,
    recall_sentences,
    share_found,
)

USUAL = Looking(None, 2.0)
SHORT = ServedRecall(looking=USUAL, server_ef=100, vectors=(VectorRecall("vision", 50, 0.9),))


@pytest.mark.parametrize(
    ("nearest", "found", "share"),
    [
        ([0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0.7, 0.6], 1.0),
        ([0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0.7, 0.5], 0.75),
        ([0.9, 0.8, 0.7, 0.6], [], 0.0),
        ([0.9, 0.5, 0.5, 0.5], [0.9, 0.5, 0.5, 0.5 - 1e-6], 1.0),  # other ones of the same score
        ([0.5], [0.5, 0.5, 0.5], 1.0),
        ([], [], 1.0),
    ],
)
def test_what_is_as_near_is_found(nearest: list[float], found: list[float], share: float) -> None:
    assert share_found(nearest, found) == share


def test_it_is_known_early_that_too_little_is_found() -> None:
    assert can_reach([1.0] * 10, 50)
    assert can_reach([0.0], 50), "0.98 of 50 may miss one"
    assert not can_reach([0.0, 0.9], 50)


def test_without_quantization_only_the_graph_is_looked_at_further() -> None:
    assert ladder(USUAL, 100, quantized=False) == tuple(Looking(n, 2.0) for n in (200, 400, 800))
    assert ladder(Looking(32, 1.0), 100, quantized=False)[0] == Looking(64, 1.0)


def test_the_rungs_grow_in_cost_and_never_look_less_far() -> None:
    rungs = ladder(USUAL, 100, quantized=True)
    assert len(rungs) == len(set(rungs)) == 15
    assert rungs[0] == Looking(None, 4.0), "it costs less than twice the candidates"
    assert rungs[-1] == Looking(800, 16.0)
    costs = [(rung.hnsw_ef or 100) + 10 * rung.oversampling for rung in rungs]
    assert costs == sorted(costs)
    assert USUAL not in rungs
    # No setting is proposed that the settings would not take.
    assert max(r.oversampling for r in ladder(Looking(None, 60.0), 100, quantized=True)) == 100


class Finds:
    """An index that finds all of both vectors from some ef on; the time is up after `patience`."""

    def __init__(self, *, vision: int, audio: int = 0, patience: int = 100) -> None:
        self.needs = {"vision": vision, "audio": audio}
        self.patience = patience
        self.asked: list[Looking] = []

    def __call__(self, looking: Looking) -> Mapping[str, float] | None:
        self.asked.append(looking)
        if len(self.asked) > self.patience:
            return None
        ef = looking.hnsw_ef or 100
        return {name: 1.0 if ef >= need else 0.9 for name, need in self.needs.items()}


RUNGS = ladder(USUAL, 100, quantized=False)


def test_the_smallest_that_is_good_for_every_vector_is_proposed() -> None:
    for needs, ef in (((150, 0), 200), ((150, 300), 400), ((500, 500), 800)):
        found = propose(RUNGS, Finds(vision=needs[0], audio=needs[1]))
        shares = {"vision": 1.0, "audio": 1.0}
        assert found == Proposal(Looking(ef, 2.0), shares, reaches=True, smallest=True)


def test_where_the_largest_does_not_reach_it_no_other_is_asked() -> None:
    index = Finds(vision=10_000)
    found = propose(RUNGS, index)
    assert found is not None
    assert (found.reaches, found.looking, found.shares["vision"]) == (False, RUNGS[-1], 0.9)
    assert index.asked == [RUNGS[-1]]


def test_when_the_time_is_up_the_largest_stands() -> None:
    found = propose(RUNGS, Finds(vision=300, patience=2))
    assert found is not None
    assert (found.looking, found.reaches, found.smallest) == (RUNGS[-1], True, False)
    assert propose(RUNGS, Finds(vision=300, patience=0)) is None


def told(recall: ServedRecall) -> str:
    return " ".join(recall_sentences(recall))


def test_a_good_index_is_told_in_one_sentence() -> None:
    good = ServedRecall(
        looking=Looking(64, 2.0), vectors=(VectorRecall("vision", 50, GOOD_RECALL),)
    )
    assert not good.short
    [sentence] = recall_sentences(good)
    for part in ("recall@10", "vision 0.980 (50)", "hnsw_ef 64", "quantization none"):
        assert part in sentence


def test_the_proposal_is_what_to_set() -> None:
    shares = {"vision": 0.991}
    said = told(
        ServedRecall(
            looking=USUAL,
            server_ef=100,
            quantization="binary",
            vectors=(VectorRecall("vision", 50, 0.9), VectorRecall("audio", 50, 1.0)),
            proposal=Proposal(Looking(200, 4.0), shares, reaches=True, smallest=True),
            building=True,
        )
    )
    for part in ("vision 0.900 (50), audio 1.000 (50)", "the server's own, 100", "below 0.98",
                 "index.hnsw_ef = 200 and index.oversampling = 4 reaches it",
                 "the least that does", "vision 0.991", "still being built"):  # fmt: skip
        assert part in said


def test_that_nothing_helps_or_was_tried_is_said() -> None:
    largest = Proposal(Looking(800, 2.0), {"vision": 0.95}, reaches=False, smallest=False)
    from_none = told(ServedRecall(vectors=SHORT.vectors, proposal=largest))
    assert "nothing that was tried reaches it" in from_none
    assert "index.hnsw_m" in from_none
    assert "no time" in told(SHORT)
    assert recall_sentences(ServedRecall(unmeasured="it is away.")) == (
        "Recall of the index against exact search: it is away.",
    )
