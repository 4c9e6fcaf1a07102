"""Batches are the same bits however they are made: with the thread and without, from any step, in any division."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Sequence
from contextlib import closing

import numpy as np
import pytest
import torch

from kept_pictures import Classes, Kept
from striate.data.augmentation import Augmentation
from striate.data.batches import Batch, Batches
from striate.errors import InputError
from striate.models.input_spec import InputSpec


def pictures(count: int = 23, ragged: bool = False) -> Kept:
    chance = np.random.default_rng(0)
    sizes = [(20 + 3 * (i % 4), 16 + 5 * (i % 3)) if ragged else (16, 16) for i in range(count)]
    return Kept([chance.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes])


FRAME = InputSpec(channels=3, height=16, width=16, mean=(0.4,) * 3, deviation=(0.2,) * 3)
MUCH = Augmentation(
    rotation=20.0, scale=1.2, flip_horizontal=True, contrast=0.4, hue=0.1, erasing=0.5, mixup=0.5, cutmix=1.0
)


def batches(kept: Kept | None = None, **options) -> Batches:
    settings = {"task": Classes(), "frame": FRAME, "batch_size": 4, "seed": 3, "augmentation": MUCH} | options
    return Batches(pictures() if kept is None else kept, **settings)


def by_row(made: Sequence[Batch]) -> dict[int, tuple[bytes, bytes]]:
    rows = {}
    for batch in made:
        for row, picture, target in zip(batch.rows, batch.pictures, batch.targets, strict=True):
            assert int(row) not in rows
            rows[int(row)] = (picture.contiguous().numpy().tobytes(), target.numpy().tobytes())
    return rows


@pytest.mark.parametrize("ragged", [False, True])
def test_batches_are_equal_however_they_are_divided(ragged):
    kept = pictures(ragged=ragged)
    whole = by_row(list(batches(kept, batch_size=23, drop_last=False).epoch(2)))
    assert len(whole) == 23
    for size in (1, 4, 7):
        assert by_row(list(batches(kept, batch_size=size, drop_last=False).epoch(2))) == whole
    halves = [list(batches(kept, batch_size=4, drop_last=False, rank=rank, ranks=2).epoch(2)) for rank in range(2)]
    assert len(halves[0]) == len(halves[1]) == 6
    assert by_row([*halves[0], *halves[1]]) == whole


def test_the_thread_changes_nothing_and_an_epoch_can_be_entered_anywhere():
    alone = list(batches(ahead=False).epoch(1))
    ahead = list(batches(ahead=True).epoch(1))
    late = list(batches(ahead=True).epoch(1, start=2))
    assert len(alone) == len(ahead) == batches().steps_per_epoch == 5
    assert [batch.rows.tolist() for batch in alone] == [batch.rows.tolist() for batch in ahead]
    assert by_row(alone) == by_row(ahead)
    assert by_row(late) == by_row(alone[2:])


def test_epochs_and_seeds_differ():
    first, second = by_row(list(batches().epoch(0))), by_row(list(batches().epoch(1)))
    other = by_row(list(batches(seed=4).epoch(0)))
    assert list(first) != list(second) != list(other)
    assert all(first[row] != second[row] for row in first.keys() & second.keys())


def test_without_augmentation_batches_hold_the_pictures():
    kept = pictures()
    for batch in batches(kept, augmentation=None, drop_last=False).epoch(0):
        assert batch.pictures.dtype == torch.uint8
        assert batch.pictures.is_contiguous(memory_format=torch.channels_last)
        assert batch.weights is None
        for row, picture in zip(batch.rows, batch.pictures, strict=True):
            assert (picture.permute(1, 2, 0).numpy() == kept.list[row]).all()


def test_the_order_tells_nothing_of_the_draws():
    # Order and flips come from the same hash: they must not be the same numbers.
    kept = Kept([np.tile(np.arange(8, dtype=np.uint8)[None, :, None], (8, 1, 1)) for _ in range(600)])
    frame = InputSpec(channels=1, height=8, width=8, mean=(0.4,), deviation=(0.2,))
    options = Augmentation(flip_horizontal=True)
    made = batches(kept, frame=frame, batch_size=100, augmentation=options)
    flipped = [float((batch.pictures[:, 0, 0, 0] == 7).float().mean()) for batch in made.epoch(0)]
    assert min(flipped) > 0.3
    assert max(flipped) < 0.7


def test_rows_and_weights_follow_their_pictures():
    kept = pictures(10)
    rows, weights = np.arange(100, 110), np.linspace(0.5, 1.5, 10, dtype=np.float32)
    made = batches(kept, rows=rows, weights=weights, augmentation=None, batch_size=5)
    for batch in made.epoch(0):
        assert (batch.rows >= 100).all()
        assert (batch.weights.numpy() == weights[batch.rows - 100]).all()
        assert (batch.targets.argmax(1).numpy() == batch.rows % 5).all()
        assert (batch.pictures[0].permute(1, 2, 0).numpy() == kept.list[batch.rows[0] - 100]).all()


def test_mixed_targets_are_those_of_the_mixed_pixels():
    # Pictures of one level each, so that the share of the partner can be read from the pixels.
    kept = Kept([np.full((16, 16, 3), 10 * i, dtype=np.uint8) for i in range(20)])
    weights = np.arange(20, dtype=np.float32)
    for options in (Augmentation(mixup=1.0), Augmentation(cutmix=1.0)):
        made = list(batches(kept, augmentation=options, batch_size=5, weights=weights).epoch(0))
        order = np.concatenate([batch.rows for batch in made])
        levels = torch.cat([batch.pictures for batch in made]).float().mean((1, 2, 3)).numpy()
        targets = torch.cat([batch.targets for batch in made]).numpy()
        heavy = torch.cat([batch.weights for batch in made]).numpy()
        partners = np.roll(order, -1)
        shares = (levels - 10 * partners) / (10 * order - 10 * partners)
        expected = shares[:, None] * np.eye(5)[order % 5] + (1 - shares)[:, None] * np.eye(5)[partners % 5]
        assert np.abs(targets - expected).max() < 0.06  # a level is rounded, and ten lie between two pictures
        assert np.abs(heavy - levels / 10).max() < 0.06
        assert shares.std() > 0.1


@pytest.mark.parametrize(
    ("count", "size", "drop", "sizes"),
    [(10, 4, True, [4, 4]), (10, 4, False, [4, 4, 2]), (3, 8, True, [3]), (8, 4, True, [4, 4]), (1, 1, True, [1])],
)
def test_the_rest_is_left_out_where_there_is_a_whole_batch(count, size, drop, sizes):
    made = batches(pictures(count), batch_size=size, drop_last=drop)
    assert [len(batch) for batch in made.epoch(0)] == sizes
    assert made.steps_per_epoch == len(sizes)


def test_ranks_share_every_batch():
    parts = [list(batches(batch_size=6, rank=rank, ranks=3, drop_last=False).epoch(0)) for rank in range(3)]
    whole = list(batches(batch_size=6, drop_last=False).epoch(0))
    for step, batch in enumerate(whole):
        assert np.concatenate([part[step].rows for part in parts]).tolist() == batch.rows.tolist()
    with pytest.raises(InputError, match="at least 7"):
        batches(batch_size=6, ranks=7)


def test_ranks_share_batches_that_do_not_divide_evenly():
    parts = [list(batches(batch_size=7, rank=rank, ranks=3).epoch(1)) for rank in range(3)]
    whole = list(batches(batch_size=7).epoch(1))
    for step, batch in enumerate(whole):
        shares = [part[step] for part in parts]
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert np.concatenate([share.rows for share in shares]).tolist() == batch.rows.tolist()
        assert torch.equal(torch.cat([share.pictures for share in shares]), batch.pictures)


def threads() -> int:
    return sum(thread.name == "striate-batches" for thread in threading.enumerate())


def test_the_thread_ends_when_the_reader_leaves():
    before = threads()
    with closing(batches(batch_size=1).epoch(0)) as made:
        next(made)
        assert threads() == before + 1
    assert threads() == before
    list(batches().epoch(0))
    assert threads() == before


def test_what_fails_in_the_thread_is_raised_where_batches_are_read():
    class Broken(Classes):
        def targets(self, rows, placement):
            if 7 in rows:
                raise ZeroDivisionError("row 7")
            return super().targets(rows, placement)

    with pytest.raises(ZeroDivisionError, match="row 7") as caught:
        list(batches(task=Broken(), batch_size=1).epoch(0))
    assert any(frame.name == "targets" for frame in traceback.extract_tb(caught.value.__traceback__))
    assert threads() == 0


def test_no_pictures_are_refused():
    with pytest.raises(InputError, match="no training pictures"):
        Batches(Kept([]), task=Classes(), frame=FRAME, batch_size=4, seed=0)


@pytest.mark.parametrize("ranks", [1, 3])
def test_steps_that_are_made_together_are_those_made_singly(monkeypatch, ranks):
    import striate.data.batches

    varied = Augmentation(rotation=20.0, scale=1.2, contrast=0.4, erasing=0.5)

    def epoch(start: int = 0) -> list[Batch]:
        batches = Batches(
            pictures(),
            task=Classes(),
            frame=FRAME,
            batch_size=4,
            seed=3,
            augmentation=varied,
            weights=np.arange(23),
            drop_last=False,
            ahead=False,
            rank=ranks - 1,
            ranks=ranks,
        )
        return list(batches.epoch(1, start))

    together = epoch()
    monkeypatch.setattr(striate.data.batches, "VALUES_TOGETHER", 1)
    singly = epoch()
    assert len(together) == len(singly) == 23 // 4 + (ranks == 1 or ranks <= 23 % 4)
    assert [len(batch) for batch in together] == [len(batch) for batch in singly]
    for one, other in zip(together + epoch(2), singly + singly[2:], strict=True):
        assert torch.equal(one.pictures, other.pictures)
        assert torch.equal(one.targets, other.targets)
        assert np.array_equal(one.rows, other.rows)
        assert one.weights is not None
        assert torch.equal(one.weights, other.weights)
