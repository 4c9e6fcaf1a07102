"""A training small enough to run many times a second: 48 pictures of 8x8, a network of 500 weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from striate.data.augmentation import Augmentation
from striate.data.batches import Batches
from striate.models.input_spec import InputSpec
from striate.models.model import Model
from striate.tasks.classification import Classification
from striate.training.loop import Loop, Validation
from striate.training.part_settings import OptimizerSettings
from striate.training.resolved import Resolved

SPEC = InputSpec(channels=1, height=8, width=8, mean=(0.5,), deviation=(0.25,))


class Block:
    """Pictures (N, H, W, C) in memory, as `data.batches.Pixels`."""

    uniform = True

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shapes = np.array([values.shape[1:]] * len(values))

    def __len__(self) -> int:
        return len(self.values)

    def pixels(self, index: int) -> np.ndarray:
        return self.values[index]

    def block(self, indices: np.ndarray) -> np.ndarray:
        return self.values[indices]


def striped(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (count, 8, 8, 1) uint8 of three classes (bright top, bright left, dark) in noise, and the classes."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 3
    values = rng.uniform(40, 140, (count, 8, 8, 1))
    values[targets == 0, :4] += 90
    values[targets == 1, :, :4] += 90
    return values.astype(np.uint8), targets


def tiny_network(seed: int = 0, dropout: float = 0.2) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(24, 3),
    )


PLAN = Resolved(
    network="own",
    channels=1,
    height=8,
    width=8,
    epochs=4,
    steps=24,
    batch_size=8,
    learning_rate=0.1,
    optimizer=OptimizerSettings(name="sgd", weight_decay=5e-4),
    averaging=0.9,
    seed=3,
)


@pytest.fixture
def make_loop() -> Callable[..., Loop]:
    """A factory of loops; what is not an argument of its own is a field of the plan."""

    def make(
        *,
        network: nn.Module | None = None,
        pictures: int = 48,
        ahead: bool = True,
        channels_last: bool = True,
        weights: np.ndarray | None = None,
        validation: bool = True,
        task: dict[str, Any] | None = None,
        augmentation: Augmentation | None = None,
        loop: dict[str, Any] | None = None,
        made_on: str | None = None,
        **plan: Any,
    ) -> Loop:
        resolved = replace(PLAN, **plan)
        values, targets = striped(pictures)
        question = Classification(("top", "left", "dark"), **(task or {})).bound_to(targets)
        batches = Batches(
            Block(values),
            task=question,
            frame=SPEC,
            batch_size=resolved.pictures_a_step,
            seed=resolved.seed,
            augmentation=Augmentation(pad_crop=1, rotation=10.0) if augmentation is None else augmentation,
            weights=weights,
            classes=targets if resolved.balance else None,
            ahead=ahead,
            device=made_on,
        )
        module = tiny_network() if network is None else network
        module.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        model = Model(module, SPEC, question, channels_last=channels_last)
        held_values, held_targets = striped(15, seed=9)
        held = torch.stack([SPEC.prepare(one) for one in held_values])
        if "steps" not in plan:
            resolved = replace(resolved, steps=resolved.epochs * batches.steps_per_epoch)
        return Loop(model, batches, Validation(held, held_targets) if validation else None, resolved, **(loop or {}))

    return make


@pytest.fixture
def small_network() -> Callable[..., nn.Module]:
    return tiny_network
