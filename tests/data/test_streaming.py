"""Streamed pictures against the same pictures from a store: equal pixels and draws, bounded memory, damage named."""

from __future__ import annotations

import gc
import io
import threading
import weakref
from contextlib import closing

import numpy as np
import pytest
import torch
from PIL import Image

from kept_pictures import Classes
from shards import CLASSES, encoded, picture, tar_of, write_shards
from striate.data.augmentation import Augmentation
from striate.data.batches import Batches
from striate.data.reading import decoded
from striate.data.samples import Samples
from striate.data.shard_order import LANES
from striate.data.sources import open_dataset
from striate.data.store import build_store
from striate.data.streaming import TASK, Streamed, buffer_for, first_rows, in_turn
from striate.errors import InputError
from striate.models.input_spec import InputSpec

FRAME = InputSpec(channels=1, height=12, width=12, mean=(0.4,), deviation=(0.2,))
VARIED = Augmentation(rotation=20.0, scale=1.2, flip_horizontal=True, contrast=0.4, erasing=0.5)


def streamed(samples, rows=None, buffer=30, threads=2, **options) -> Streamed:
    rows = np.arange(len(samples)) if rows is None else rows
    return Streamed(samples, rows, buffer=buffer, threads=threads, **options)


def batches(pictures, **options) -> Batches:
    settings = {"task": Classes(), "frame": FRAME, "batch_size": 8, "seed": 3, "augmentation": VARIED} | options
    return Batches(pictures, **settings)


def by_row(made) -> dict[int, tuple[bytes, bytes]]:
    rows = {}
    for batch in made:
        for row, pixels, target in zip(batch.rows, batch.pictures, batch.targets, strict=True):
            assert int(row) not in rows
            rows[int(row)] = (pixels.contiguous().numpy().tobytes(), target.numpy().tobytes())
    return rows


def same(one, other) -> bool:
    return (
        torch.equal(one.pictures, other.pictures)
        and torch.equal(one.targets, other.targets)
        and (one.rows == other.rows).all()
    )


KINDS = pytest.mark.parametrize(
    "kind", [{}, {"compressed": True}, {"ragged": True}], ids=["plain", "compressed", "ragged"]
)


@KINDS
# The second is done in another way where all pictures are of one small size.
@pytest.mark.parametrize("varied", [VARIED, Augmentation(random_resized_crop=0.4)], ids=["turned", "cropped"])
def test_streamed_pictures_are_those_of_a_store_varied_in_the_same_way(tmp_path, kind, varied):
    write_shards(tmp_path, **kind)
    samples = open_dataset(tmp_path, stream=True)
    # Every third picture is held back: what is streamed is not all that lies in a shard.
    rows = np.array([row for row in range(len(samples)) if row % 3])
    store = build_store(open_dataset(tmp_path), rows).store
    like = tuple(store.shapes[0].tolist()) if store.uniform else None
    assert (like is None) == ("ragged" in kind)
    for epoch in range(2):
        kept = by_row(batches(store, drop_last=False, augmentation=varied).epoch(epoch))
        pictures = streamed(samples, rows, like=like)
        read = by_row(batches(pictures, drop_last=False, augmentation=varied).epoch(epoch))
        assert len(kept) == len(rows)
        assert read == kept


def test_grey_among_colour_is_as_in_a_store(tmp_path):
    members = []
    for number in range(12):
        pixels = picture(number % 2, number, (12, 12))
        colour = np.stack([pixels, pixels // 2, pixels], axis=2) if number % 3 == 0 else pixels
        members += [(f"{number}.png", encoded(colour)), (f"{number}.cls", b"ab"[number % 2 :][:1])]
    (tmp_path / "a.tar").write_bytes(tar_of(members))
    samples = open_dataset(tmp_path)
    store = build_store(samples, np.arange(12)).store
    assert store.uniform
    frame = InputSpec(channels=3, height=12, width=12, mean=(0.4,) * 3, deviation=(0.2,) * 3)
    like = tuple(store.shapes[0].tolist())
    kept = by_row(batches(store, frame=frame, batch_size=4).epoch(0))
    assert by_row(batches(streamed(samples, like=like), frame=frame, batch_size=4).epoch(0)) == kept


@pytest.mark.parametrize("scaled", [False, True])
def test_large_photographs_are_reduced_as_for_a_store(tmp_path, scaled):
    members = []
    for number in range(4):
        file = io.BytesIO()
        pixels = np.tile(picture(2, number, (60, 50)), (30, 30))
        Image.fromarray(np.stack([pixels, pixels // 2, 255 - pixels], axis=2)).save(file, format="JPEG")
        members += [(f"{number}.jpg", file.getvalue()), (f"{number}.cls", b"ab"[number % 2 :][:1])]
    (tmp_path / "a.tar").write_bytes(tar_of(members))
    samples = open_dataset(tmp_path)
    store = build_store(samples, np.arange(4), shrink=100, scaled=scaled).store
    assert store.shapes[0].max() < 300
    read = streamed(samples, shrink=100, scaled=scaled)
    for place, pixels in read.pictures(read.order(0, 0)):
        assert (pixels == store.pixels(place)).all()


@KINDS
@pytest.mark.parametrize("mixes", [False, True])
def test_an_epoch_can_be_entered_at_any_step_with_and_without_the_thread(tmp_path, kind, mixes):
    write_shards(tmp_path, **kind)
    samples = open_dataset(tmp_path, stream=True)
    options = {"augmentation": Augmentation(flip_horizontal=True, mixup=0.5 * mixes)}
    whole = list(batches(streamed(samples), ahead=False, **options).epoch(1))
    assert len(whole) == 15
    for start in (0, 1, 7, 14):
        late = list(batches(streamed(samples, threads=3), ahead=True, **options).epoch(1, start))
        assert len(late) == 15 - start
        assert all(same(one, other) for one, other in zip(late, whole[start:], strict=True))


def test_mixed_targets_are_those_of_the_next_picture(tmp_path):
    write_shards(tmp_path)
    pictures = streamed(open_dataset(tmp_path))
    order = pictures.order(3, 0).learning
    made = list(batches(pictures, augmentation=Augmentation(mixup=1.0), batch_size=8).epoch(0))
    assert [len(batch) for batch in made] == [8] * 15
    assert np.concatenate([batch.rows for batch in made]).tolist() == order.tolist()
    partners = np.append(order[1:], order[112])  # nothing comes after the last: the first of its batch
    targets = torch.cat([batch.targets for batch in made]).numpy()
    for row, partner, target in zip(order, partners, targets, strict=True):
        assert set(np.flatnonzero(target).tolist()) <= {row % 5, partner % 5}
        assert target.sum() == pytest.approx(1, abs=1e-6)
    assert np.count_nonzero(targets.max(axis=1) < 0.99) > 40


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_have_pictures_of_their_own_and_as_many_steps(tmp_path, ranks):
    write_shards(tmp_path, count=7, each=17)
    pictures = streamed(open_dataset(tmp_path))
    parts = [batches(pictures, batch_size=6, rank=rank, ranks=ranks, drop_last=False) for rank in range(ranks)]
    assert len({part.steps_per_epoch for part in parts}) == 1
    made = [list(part.epoch(0)) for part in parts]
    assert [len(steps) for steps in made] == [parts[0].steps_per_epoch] * ranks
    assert len(by_row([batch for steps in made for batch in steps])) == 7 * 17


def test_rows_and_weights_follow_their_pictures(tmp_path):
    write_shards(tmp_path)
    samples = open_dataset(tmp_path)
    rows, weights = np.arange(500, 620), np.linspace(0.5, 1.5, 120, dtype=np.float32)
    store = build_store(samples, np.arange(120)).store
    for batch in batches(streamed(samples), rows=rows, weights=weights, augmentation=None).epoch(0):
        assert (batch.weights.numpy() == weights[batch.rows - 500]).all()
        assert (batch.pictures[0, 0].numpy() == store.pixels(int(batch.rows[0]) - 500)[..., 0]).all()


def test_a_folder_of_pictures_is_streamed_in_random_order(tmp_path):
    for label in range(3):
        (tmp_path / CLASSES[label]).mkdir()
        for number in range(20):
            (tmp_path / CLASSES[label] / f"{number}.png").write_bytes(encoded(picture(label, number, (12, 12))))
    samples = open_dataset(tmp_path)
    rows = np.arange(60)
    assert buffer_for(samples, rows) == 1
    pictures = streamed(samples, buffer=1, like=(12, 12, 1))
    orders = [pictures.order(seed, 0).learning for seed in range(20)]
    assert all(sorted(order.tolist()) == rows.tolist() for order in orders)
    assert np.mean([abs(np.corrcoef(order, rows)[0, 1]) for order in orders]) < 0.2
    store = build_store(samples, rows).store
    assert by_row(batches(pictures, drop_last=False).epoch(0)) == by_row(batches(store, drop_last=False).epoch(0))


# -- memory -------------------------------------------------------------------------------------


class Counted(np.ndarray):
    """Pixels that can be counted while they live."""


class Numbered:
    """`Sharded` pictures of one level each, in files of 100, which count what is read and what lives."""

    def __init__(self, count: int) -> None:
        self.places = np.stack([np.arange(count) // 100, np.arange(count) % 100, np.full(count, 16)], axis=1)
        self.compressed = np.zeros(-(-count // 100), dtype=bool)
        self.lock = threading.Lock()
        self.read = self.alive = self.most = 0

    def load(self, index: int) -> np.ndarray:
        with self.lock:
            self.read += 1
            self.alive += 1
            self.most = max(self.most, self.alive)
        made = np.full((4, 4, 1), index % 256, dtype=np.uint8).view(Counted)
        weakref.finalize(made, self._gone)
        return made

    def _gone(self) -> None:
        with self.lock:
            self.alive -= 1

    def forward(self) -> Numbered:
        return self

    def close(self) -> None:
        pass


def numbered(count: int):
    return Samples(
        source="numbered",
        how="",
        pictures=Numbered(count),
        index=np.arange(count),
        names=tuple(f"{row}" for row in range(count)),
        targets=np.arange(count) % 5,
        class_names=tuple("abcde"),
        splits=np.full(count, "train"),
    )


def test_memory_is_bounded_by_the_buffer_and_what_is_in_the_works():
    samples = numbered(3000)
    pictures = streamed(samples, buffer=100, threads=2)
    bound = 100 + 2 * LANES * TASK + pictures.window
    assert bound < 600  # of 3,000
    with closing(pictures.pictures(pictures.order(0, 0))) as coming:
        for number, (place, pixels) in enumerate(coming):
            assert pixels[0, 0, 0] == place % 256
            assert samples.pictures.read <= number + 1 + bound
            del pixels
    gc.collect()
    assert samples.pictures.read == 3000
    assert samples.pictures.most <= bound + 1


def test_what_is_not_wanted_is_not_read():
    samples = numbered(1000)
    pictures = streamed(samples, buffer=50)
    order = pictures.order(0, 0)
    late = [place for place, _ in pictures.pictures(order, 900)]
    assert late == order.learning[900:].tolist()
    assert samples.pictures.read == 100


def test_threads_and_files_are_closed_when_the_reader_leaves(tmp_path):
    write_shards(tmp_path)
    before = threading.active_count()
    with closing(batches(streamed(open_dataset(tmp_path)), batch_size=4).epoch(0)) as made:
        next(made)
        assert threading.active_count() > before
    assert threading.active_count() == before
    gc.collect()  # an open file would warn here


# -- damage -------------------------------------------------------------------------------------


def damaged(folder, count=6):
    """Shards, one of which cannot be read any more from its 6th picture on, and one with a broken picture."""
    samples = open_dataset(write_shards(folder, count=count), stream=True)
    path = folder / "part-001.tar"
    offset = int(samples.pictures.places[25, 1])
    path.write_bytes(path.read_bytes()[:offset])
    other = folder / "part-002.tar"
    data = bytearray(other.read_bytes())
    offset, size = samples.pictures.places[43, 1:].tolist()
    data[offset : offset + size] = bytes(size)
    other.write_bytes(data)
    return samples


def test_what_cannot_be_read_is_left_out_of_its_batch_and_named_once(tmp_path):
    samples = damaged(tmp_path)
    pictures = streamed(samples)
    lost = {*range(25, 40), 43}
    for epoch in range(2):
        made = list(batches(pictures, batch_size=12).epoch(epoch))
        assert len(made) == 10
        assert sum(len(batch) for batch in made) == 120 - 16
        assert set(by_row(made)) == set(range(120)) - lost
        for start in (3, 9):
            late = list(batches(streamed(samples), batch_size=12).epoch(epoch, start))
            assert all(same(one, other) for one, other in zip(late, made[start:], strict=True))
    assert set(pictures.failures) == lost
    assert pictures.failures[30] == "its archive ends before it does"
    assert "picture" in pictures.failures[43]


def test_mixing_passes_over_what_cannot_be_read(tmp_path):
    pictures = streamed(damaged(tmp_path))
    made = list(batches(pictures, batch_size=6, augmentation=Augmentation(mixup=1.0)).epoch(0))
    assert sum(len(batch) for batch in made) == 120 - 16
    for batch in made:
        assert torch.isfinite(batch.pictures.float()).all()
        assert (np.abs(batch.targets.sum(1).numpy() - 1) < 1e-6).all()


def test_strict_refuses_at_the_first(tmp_path):
    pictures = streamed(damaged(tmp_path), strict=True)
    with pytest.raises(InputError, match=r"part-00[12].tar/.* cannot be used .*; mend it, or leave --strict away"):
        list(batches(pictures).epoch(0))


def test_a_batch_of_nothing_is_an_error(tmp_path):
    samples = open_dataset(write_shards(tmp_path, count=3), stream=True)
    for path in tmp_path.glob("*.tar"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match="no picture of a batch of 8 can be read"):
        list(batches(streamed(samples)).epoch(0))


def test_damaged_compression_is_said_for_all_that_lies_behind(tmp_path):
    samples = open_dataset(write_shards(tmp_path, count=3, compressed=True), stream=True)
    path = tmp_path / "part-001.tar.gz"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(64) + data[len(data) // 2 + 64 :])
    pictures = streamed(samples)
    made = by_row(batches(pictures, batch_size=4, augmentation=None).epoch(0))
    assert set(made) | set(pictures.failures) == set(range(60))
    assert set(pictures.failures) <= set(range(20, 40))
    assert 5 <= len(pictures.failures) <= 15


# -- reading once -------------------------------------------------------------------------------


@KINDS
def test_in_turn_gives_what_looking_up_gives(tmp_path, kind):
    write_shards(tmp_path, **kind)
    samples = open_dataset(tmp_path, stream=True)
    rows = np.arange(1, 120, 3)
    wanted = build_store(samples, rows, threads=1).store
    with in_turn(samples, rows) as turned:
        got = build_store(turned, rows, threads=3).store
    assert len(got) == len(rows)
    for index in range(len(rows)):
        assert (got.pixels(index) == wanted.pixels(index)).all()
    with in_turn(samples, rows) as turned, pytest.raises(ValueError, match="was not to be read"):
        turned.pictures.load(0)


def test_the_first_rows_are_of_many_shards(tmp_path):
    write_shards(tmp_path, count=12)
    samples = open_dataset(tmp_path)
    some = first_rows(samples, np.arange(240), 0, 16)
    assert len(set((some // 20).tolist())) == LANES
    assert some.tolist() == sorted(some.tolist())
    assert len(first_rows(samples, np.arange(240), 0, 1000)) == 240


def test_the_buffer_fits_its_bytes(tmp_path, monkeypatch):
    samples = open_dataset(write_shards(tmp_path))
    assert buffer_for(samples, np.arange(120)) == 120
    monkeypatch.setattr("striate.data.streaming.BUFFER_BYTES", 4000)
    sizes = samples.pictures.places[:, 2]
    assert buffer_for(samples, np.arange(120)) == int(4000 // sizes.mean())


def test_compressed_shards_that_are_streamed_are_not_kept(tmp_path):
    write_shards(tmp_path, compressed=True)
    kept, read = open_dataset(tmp_path), open_dataset(tmp_path, stream=True)
    assert kept.names == read.names
    assert len(kept.pictures.kept) == 120
    assert not read.pictures.kept
    for row in (3, 50, 2, 119):
        assert (decoded(read.pictures.load(row)) == decoded(kept.pictures.load(row))).all()
