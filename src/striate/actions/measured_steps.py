"""Which of several ways to compute training steps is the quickest here: each is tried on a real batch.

One thing is changed at a time, on copies of the network, in turns of the one way and the other. The network, its
weights and all random numbers are left as they are.
"""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from striate.data.batches import Batch, Batches
from striate.errors import InputError
from striate.machine.choices import Choice
from striate.machine.precision import CHANNELS_LAST, memory_format
from striate.models.model import Model
from striate.training.loop import Loop
from striate.training.optimizers import set_rate
from striate.training.resolved import Resolved

# Seconds of a run below which measuring costs more than it brings: a step of a ResNet-18 is repeated for two seconds.
LEAST_RUN = 30.0
# Measuring takes this share of the run, and not more than so many seconds.
SHARE, MOST_SECONDS = 0.02, 3.0
# How many times as fast another way must be. More threads gain less in the run than here, where no other thread
# prepares batches.
MARGINS = {"precision": 1.05, "layout": 1.05, "threads": 1.15, "compile": 1.05}
FEWEST_TURNS, MOST_TURNS = 2, 8
TURN, MOST_STEPS = 0.03, 16  # seconds of a turn, in not more than so many steps
CLEARLY_SLOWER, FAR_SLOWER = 0.9, 0.5
# A typical turn that takes so many times the quickest: another program works here, and what is best beside it may not
# be best without it.
STEADY = 1.5
PROBED = 4  # pictures that tell how long a step is about
LONGEST_STEP = 0.3  # seconds: of a slower step a part of the batch is measured
COMPILING = 60.0  # seconds that it takes, for a network of middle size


@dataclass(frozen=True)
class Measured:
    """What was chosen (None: nothing was), why, and whether the machine was so quiet that it is worth keeping."""

    choice: Choice | None
    words: str
    steady: bool = True


def measured(
    model: Model,
    batches: Batches,
    resolved: Resolved,
    rule: Choice,
    others: Mapping[str, Mapping[str, Any]],
    *,
    seconds: float | None,
    may_compile: bool,
) -> Measured:
    """The best of what was tried, and how the others compared; nothing where it would not pay, and why.

    model: around the network that is to be trained. rule: what is chosen where nothing is quicker. others: what to
    change of it, by what is changed. seconds: of the whole run where they are known; otherwise they are those of
    `resolved.steps`.
    """

    def steps_of(choice: Choice) -> _Steps:
        return _Steps(model, batches, resolved, choice)

    with _undisturbed(), closing(batches.epoch(0)) as epoch:
        batch = next(epoch)
    with _undisturbed():
        return _best(rule, others, steps_of, batch, resolved.steps, seconds, may_compile)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Random numbers and threads of this process are as before afterwards."""
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Compared:
    """How many times as fast another way is, and whether its turns agreed with each other."""

    gain: float
    steady: bool


class _Steps:
    """Training steps in one way, on a copy of the network. The rate is 0: they cost as much, and lead nowhere."""

    def __init__(self, model: Model, batches: Batches, resolved: Resolved, choice: Choice) -> None:
        self.choice = choice
        plan = replace(resolved, **asdict(choice))
        network = copy.deepcopy(model.network).to(model.device).to(memory_format=memory_format(plan.layout))
        copied = replace(model, network=network, channels_last=plan.layout == CHANNELS_LAST)
        self.loop = Loop(copied, batches, None, plan)
        set_rate(self.loop.optimizer, 0.0)
        network.train()

    def seconds(self, batch: Batch, count: int = 1) -> float:
        """Of one step, as the mean of `count`."""
        torch.set_num_threads(self.choice.threads)
        began = time.perf_counter()
        for _ in range(count):
            loss = self.loop.step(batch)
        float(loss)  # so that an accelerator has come to the end of it
        return (time.perf_counter() - began) / count


def _best(
    rule: Choice,
    others: Mapping[str, Mapping[str, Any]],
    steps_of: Callable[[Choice], _Steps],
    batch: Batch,
    steps: int,
    seconds: float | None,
    may_compile: bool,
) -> Measured:
    """`measured`, of the steps that `steps_of` a choice takes on the batch; steps: of the whole run."""
    began = time.perf_counter()
    best = steps_of(rule)
    few = _part(batch, PROBED)
    best.seconds(few)  # the first pays for memory, threads and kernels
    some, step = few, best.seconds(few)
    expected = _expected(steps, step, batch, some, seconds)
    # Few pictures take as long each as many do, or longer: a run that is short by them is short.
    if expected >= LEAST_RUN:
        some, step = _some(best, batch, few, step)
        expected = _expected(steps, step, batch, some, seconds)
    if expected < LEAST_RUN:
        return Measured(None, f"not measured, the run takes about {expected:.1f} s")
    until = began + min(MOST_SECONDS, SHARE * expected)
    count = max(1, min(MOST_STEPS, math.ceil(TURN / step)))
    said, steady = [], True
    for number, (name, change) in enumerate(others.items()):
        left = until - time.perf_counter()
        if number and left <= 0:
            said.append(f"{name} not measured")
            continue
        other = steps_of(replace(best.choice, **change))
        found = _times_as_fast(best, other, some, count, left / (len(others) - number))
        said.append(f"{_value(name, other.choice)} {found.gain:.2f} times as fast")
        steady = steady and found.steady
        if found.gain >= MARGINS[name]:
            best = other
            expected = expected / found.gain if seconds is None else seconds
    if may_compile and SHARE * expected >= COMPILING:
        gain, cost = _compiled(best, steps_of, some, count)
        said.append(f"compiled {gain:.2f} times as fast" if gain else "it cannot be compiled here")
        if gain >= MARGINS["compile"] and expected * (1 - 1 / gain) > cost:
            best = steps_of(replace(best.choice, compile=True))
    if not said:
        return Measured(None, "there is no other way to try")
    words = f"measured in {time.perf_counter() - began:.1f} s: {', '.join(said)}"
    return Measured(best.choice, words if steady else f"{words}; not remembered, the machine was busy", steady)


def _compiled(best: _Steps, steps_of: Callable[[Choice], _Steps], some: Batch, count: int) -> tuple[float, float]:
    """How many times as fast a compiled step is (0 where there is none), and the seconds until there is one."""
    began = time.perf_counter()
    other = steps_of(replace(best.choice, compile=True))
    try:
        other.seconds(some)
    except InputError:
        return 0.0, 0.0
    cost = time.perf_counter() - began
    return _times_as_fast(best, other, some, count, TURN).gain, cost


def _expected(steps: int, step: float, batch: Batch, some: Batch, seconds: float | None) -> float:
    """Seconds of the run, by those of a step on some of the batch where they are not known."""
    return steps * step * len(batch) / len(some) if seconds is None else seconds


def _some(steps: _Steps, batch: Batch, few: Batch, step: float) -> tuple[Batch, float]:
    """As much of the batch as is measured, and the seconds of a step on it; `step`: those of `few`."""
    count = max(len(few), int(len(few) * LONGEST_STEP / step))
    if count >= len(batch) or steps.loop.model.device != "cpu":
        count = len(batch)  # an accelerator is filled by the whole batch alone
    if count == len(few):
        return few, step
    some = _part(batch, count)
    steps.seconds(some)
    return some, steps.seconds(some)


def _part(batch: Batch, count: int) -> Batch:
    weights = None if batch.weights is None else batch.weights[:count]
    return Batch(batch.pictures[:count], batch.targets[:count], batch.rows[:count], weights)


def _times_as_fast(one: _Steps, other: _Steps, batch: Batch, count: int, seconds: float) -> _Compared:
    """How many times as fast as `one` the other is, in turns: of the quickest and of the typical pair, the lesser."""
    other.seconds(batch)
    gain = one.seconds(batch) / other.seconds(batch)
    if gain < FAR_SLOWER:
        return _Compared(gain, steady=True)  # threads that wait for each other on a busy machine: no turns of those
    began = time.perf_counter()
    firsts: list[float] = []
    others: list[float] = []
    while len(firsts) < FEWEST_TURNS or (len(firsts) < MOST_TURNS and time.perf_counter() - began < seconds):
        firsts.append(one.seconds(batch, count))
        others.append(other.seconds(batch, count))
        pairs = [first / second for first, second in zip(firsts, others, strict=True)]
        gain = min(min(firsts) / min(others), statistics.median(pairs))
        if len(pairs) >= FEWEST_TURNS and gain < CLEARLY_SLOWER:
            break
    steady = all(statistics.median(times) <= STEADY * min(times) for times in (firsts, others))
    return _Compared(gain, steady)


def _value(name: str, choice: Choice) -> str:
    value = getattr(choice, name)
    return f"{value} thread{'s' * (value != 1)}" if name == "threads" else str(value)
