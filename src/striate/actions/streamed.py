"""Whether pictures are streamed, and what a run then says of those that could not be read."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from striate.actions.held_back import prepare_for
from striate.actions.job import Job, Machine, Material
from striate.data.prepared import PreparedAnew
from striate.data.preparing import PreparedResult, prepare_all
from striate.data.samples import TRAIN, Samples
from striate.data.sources.remote import is_address
from striate.data.store import STORE_SHARE
from striate.data.streaming import Streamed, in_turn
from striate.machine.folders import cache_folder
from striate.machine.threads import available_memory
from striate.models.input_spec import InputSpec
from striate.models.model import PreparedLike
from striate.observer import Observer
from striate.words import counted

if TYPE_CHECKING:
    import torch

HELD_SHARE = 0.25  # of the memory that is free: what the prepared pictures of one split may take
SHOWN = 10  # names in the log


def asked_to_stream(job: Job, samples: Samples) -> tuple[bool, str] | None:
    """Whether the training pictures are streamed, and why; None where that is to be decided by their size."""
    if job.resolved is not None:
        return job.resolved.buffer is not None, "as resolved before"
    if job.recipe.stream is not None:
        return job.recipe.stream, "as asked"
    return (True, "they are behind an address") if is_address(samples.source) else None


def must_stream(samples: Samples, picture_bytes: float, sharers: int = 1) -> tuple[bool, str]:
    """Whether the training pictures, decoded to so many bytes each, are too large for memory and for the disk.

    `sharers`: processes of this machine, of which each holds all of them.
    """
    needed = picture_bytes * len(samples.rows(TRAIN))
    memory = available_memory() * STORE_SHARE / sharers
    if needed <= memory:
        return False, "decoded, they fit into memory"
    disk = shutil.disk_usage(cache_folder("stores")).free
    sizes = f"decoded they would take {needed / 2**30:,.1f} GiB, there are {memory / 2**30:,.1f} GiB of memory for them"
    return needed > disk, f"{sizes} and {disk / 2**30:,.1f} GiB of disk"


def identities(samples: Samples, rows: np.ndarray) -> np.ndarray:
    """(n,) uint64 for rows whose pictures are not decoded beforehand: of their names, and of their sizes if known."""
    places = getattr(samples.pictures, "places", None)
    numbers = []
    for row in rows.tolist():
        size = "" if places is None else int(places[samples.index[row], 2])
        text = f"{samples.names[row]}\0{size}".encode("utf-8", "surrogatepass")
        numbers.append(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little"))
    return np.array(numbers, dtype=np.uint64)


def without_failures(material: Material, failures: Mapping[int, str]) -> Material:
    """The material without the training pictures that could not be read while they were streamed."""
    kept = np.ones(len(material.samples), dtype=bool)
    kept[list(failures)] = False
    samples = material.samples.without(list(failures.items()))
    return replace(material, samples=samples, checksums=material.checksums[kept])


def prepare_split(
    job: Job, samples: Samples, split: str, spec: InputSpec, machine: Machine
) -> tuple[PreparedResult, PreparedLike]:
    """What could be read of a held-back split, and its pictures as the network takes them.

    Where these would take more than HELD_SHARE of the memory that is free they are not kept, but decoded for every use.
    """
    rows = samples.rows(split)
    shape = (spec.channels, spec.height, spec.width)
    room = available_memory() * HELD_SHARE / job.ranks.local_count
    what, observer = f"reading {split}", job.observer
    if len(rows) * math.prod(shape) <= room:
        keep = not is_address(samples.source)
        result = prepare_for(spec, samples, rows, machine, observer, what, keep=keep)
        return result, result.pictures

    def prepare(pixels: np.ndarray) -> torch.Tensor:
        return spec.prepare(pixels).new_empty(0)

    with in_turn(samples, rows) as turned:
        result = prepare_all(turned, rows, prepare, threads=machine.threads, observer=observer, what=what)
    job.observer.say(f"{split} pictures are decoded anew for every use: prepared, they are too large for memory")
    return result, PreparedAnew(samples, result.rows, spec.prepare, shape, machine.threads)


class Telling(Observer):
    """Warns, after each epoch, of the pictures that could not be read in it for the first time."""

    def __init__(self, pictures: Streamed, to: Observer) -> None:
        self.pictures, self.to = pictures, to
        self.told = 0

    def on_epoch(self, record: Mapping[str, float]) -> None:
        rows = list(self.pictures.failures.items())[self.told :]
        self.told += len(rows)
        if not rows:
            return
        self.to.warn(f"{counted(len(rows), 'training picture')} could not be read, and left out:")
        for row, reason in rows[:SHOWN]:
            self.to.warn(f"  {self.pictures.samples.names[row]}: {reason}")
        if len(rows) > SHOWN:
            self.to.warn(f"  and {len(rows) - SHOWN:,} more; all are in metrics.json and in the report")
