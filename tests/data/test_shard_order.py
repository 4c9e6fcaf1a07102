"""The order of streamed epochs: every picture once, well mixed, within the buffer, shared among ranks."""

from __future__ import annotations

import numpy as np
import pytest

from striate.data.shard_order import LANES, STRETCH, epoch_order, stretches

SIZES = [np.full(40, 25), np.array([1000]), np.array([1, 700, 3, 256, 40]), np.ones(300, dtype=int)]


def order_of(lengths, buffer=100, seed=3, epoch=0, **options):
    return epoch_order(np.asarray(lengths), seed=seed, epoch=epoch, buffer=buffer, **options)


@pytest.mark.parametrize("lengths", SIZES)
@pytest.mark.parametrize("buffer", [1, 7, 100, 5000])
def test_every_picture_once_and_never_further_ahead_than_the_buffer(lengths, buffer):
    count = int(lengths.sum())
    for epoch in range(3):
        order = order_of(lengths, buffer, epoch=epoch)
        assert sorted(order.learning.tolist()) == sorted(order.reading.tolist()) == list(range(count))
        read_at = np.empty(count, dtype=int)
        read_at[order.reading] = np.arange(count)
        ahead = read_at[order.learning] - np.arange(count)
        assert ahead.max() < buffer


def test_seeds_and_epochs_give_other_orders_and_the_same_gives_the_same():
    orders = [order_of(SIZES[0], seed=seed, epoch=epoch).learning.tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert order_of(SIZES[0], seed=1, epoch=1).learning.tolist() == orders[3]


def test_a_stretch_is_read_from_its_beginning_on_by_one_lane():
    lengths = SIZES[2]
    order = order_of(lengths)
    starts = np.cumsum(lengths) - lengths
    for start, length in zip(starts, lengths, strict=True):
        places = np.flatnonzero((order.reading >= start) & (order.reading < start + length))
        assert order.reading[places].tolist() == list(range(start, start + length))
        assert len(set(order.lanes[places].tolist())) == 1
        lane = order.reading[order.lanes == order.lanes[places[0]]]
        at = int(np.flatnonzero(lane == start)[0])
        assert lane[at : at + length].tolist() == list(range(start, start + length))


def test_pictures_that_are_sorted_by_class_are_mixed():
    # 40 shards of 100 pictures, 10 classes one after another: in each batch nearly all classes, in nearly equal parts.
    lengths = stretches(np.full(40, 100), np.zeros(40, dtype=bool))
    classes = np.arange(4000) // 400
    order = order_of(lengths, buffer=800, seed=0)
    batches = classes[order.learning].reshape(-1, 100)
    assert min(len(set(batch)) for batch in batches) >= 6
    # the place in the file tells nearly nothing of the place in the epoch
    for epoch in range(4):
        learning = order_of(lengths, buffer=800, epoch=epoch).learning
        assert abs(np.corrcoef(learning, np.arange(4000))[0, 1]) < 0.35
    places = np.mean([np.argsort(order_of(lengths, buffer=800, epoch=e).learning) for e in range(40)], axis=0)
    assert abs(np.corrcoef(places, np.arange(4000))[0, 1]) < 0.3


def test_with_a_buffer_for_all_every_order_is_as_likely():
    seen = [tuple(order_of([2, 2], buffer=4, seed=seed).learning.tolist()) for seed in range(4800)]
    counts = np.unique(seen, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 200) ** 2 / 200).sum() < 50  # chi-square with 23 degrees: 1 in 1,000


@pytest.mark.parametrize("lengths", SIZES)
@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_ranks_share_the_pictures_in_equal_parts(lengths, ranks):
    count = int(lengths.sum())
    parts = [order_of(lengths, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert sorted(np.concatenate([part.learning for part in parts]).tolist()) == list(range(count))
    for part in parts:
        assert sorted(part.learning.tolist()) == sorted(part.reading.tolist())
        assert count // ranks <= len(part.learning) <= -(-count // ranks)


def test_ranks_read_shards_of_their_own():
    lengths = np.full(40, 25)
    owners = np.repeat(np.arange(40), 25)
    shards = [set(owners[order_of(lengths, rank=rank, ranks=4).reading].tolist()) for rank in range(4)]
    assert sum(len(mine) for mine in shards) == 40  # 250 pictures are ten shards, whole
    uneven = [set(owners[order_of(lengths, rank=rank, ranks=3).reading].tolist()) for rank in range(3)]
    assert sum(len(mine) for mine in uneven) <= 40 + 2


def test_lanes_go_side_by_side():
    order = order_of(np.full(LANES * 3, 50))
    for part in order.lanes.reshape(-1, LANES):
        assert sorted(part.tolist()) == list(range(LANES))


def test_stretches_cover_the_shards_and_compressed_ones_stay_whole():
    counts, whole = np.array([10, 0, STRETCH, 3 * STRETCH + 1, 5000]), np.array([False, False, False, False, True])
    lengths = stretches(counts, whole)
    assert lengths.sum() == counts.sum()
    assert lengths.max() == 5000
    assert (lengths[:-1] <= STRETCH).all()
    assert lengths.tolist()[:2] == [10, STRETCH]
    assert set(np.cumsum(counts)) - {0} <= set(np.cumsum(lengths))
