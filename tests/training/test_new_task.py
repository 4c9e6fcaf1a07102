"""A task that the library does not know, written here, trains through the same loop: where are the discs?

Masks move with their pictures by `Placement`. Nothing of the loop or of the batches is touched: if this test
needs a change there, the design is wrong there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from striate.data.augmentation import Augmentation
from striate.data.batches import Batches
from striate.data.placement import Placement
from striate.models.input_spec import InputSpec
from striate.models.model import Model
from striate.training.loop import Loop, Validation
from striate.training.part_settings import OptimizerSettings
from striate.training.resolved import Resolved

SIDE = 16
SPEC = InputSpec(channels=1, height=SIDE, width=SIDE, mean=(0.4,), deviation=(0.25,))


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One class for each pixel. `masks` (N, H, W) int64 is the table; -1 is not counted."""

    masks: np.ndarray
    name: str = "segmentation"
    num_outputs: int = 2
    monitor: str = "overlap"
    larger_is_better: bool = True

    def targets(self, rows: np.ndarray, placement: Placement | None) -> torch.Tensor:
        masks = self.masks[rows]
        return torch.from_numpy(masks if placement is None else placement.move_masks(masks, outside=-1))

    def mix(self, targets: torch.Tensor, partners: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("masks are not mixed")

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs, targets, reduction="none", ignore_index=-1).mean(dim=(1, 2))

    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs.float().softmax(dim=1)[:, 1]

    def metrics(self, answers: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        found, wanted = answers > 0.5, targets == 1
        return {"overlap": float((found & wanted).sum() / max(1, (found | wanted).sum()))}

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Segmentation:
        return cls(np.zeros((0, SIDE, SIDE), dtype=np.int64))


class Block:
    uniform = True

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shapes = values, np.array([values.shape[1:]] * len(values))

    def __len__(self) -> int:
        return len(self.values)

    def pixels(self, index: int) -> np.ndarray:
        return self.values[index]

    def block(self, indices: np.ndarray) -> np.ndarray:
        return self.values[indices]


def discs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (count, 16, 16, 1) of one disc that differs from its surroundings by its texture alone, and masks."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    centres, radii = rng.uniform(5, 11, (count, 2)), rng.uniform(3, 5, count)
    inside = (y - centres[:, :1, None]) ** 2 + (x - centres[:, 1:, None]) ** 2 < radii[:, None, None] ** 2
    values = np.where(inside, rng.uniform(0, 255, inside.shape), rng.uniform(90, 165, inside.shape))
    return values[..., None].astype(np.uint8), inside.astype(np.int64)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 2, 1),
    )


@pytest.mark.parametrize(
    "augmentation",
    [Augmentation(flip_horizontal=True, pad_crop=2), Augmentation(rotation=30.0, scale=1.2)],
    ids=lambda options: options.in_words(),
)
def test_masks_that_move_with_their_pictures_are_learned(augmentation, tmp_path):
    pictures, masks = discs(64, seed=0)
    held, held_masks = discs(16, seed=1)
    plan = Resolved(
        network="own",
        channels=1,
        height=SIDE,
        width=SIDE,
        epochs=12,
        steps=96,
        batch_size=8,
        learning_rate=0.01,
        optimizer=OptimizerSettings(name="adamw", weight_decay=0.0),
        averaging=0.9,
    )
    task = Segmentation(masks)
    batches = Batches(Block(pictures), task=task, frame=SPEC, batch_size=8, seed=0, augmentation=augmentation)
    model = Model(network(), SPEC, task)
    validation = Validation(torch.stack([SPEC.prepare(one) for one in held]), held_masks)
    progress = Loop(model, batches, validation, plan, checkpoints=tmp_path).run()
    assert progress.history[0]["validation_overlap"] < 0.5
    assert progress.best_value == max(row["validation_overlap"] for row in progress.history)
    # Everything a disc would overlap by about 0.2.
    assert progress.best_value > 0.6


def test_masks_that_did_not_move_would_not_be_learned():
    """The oracle of the test above: it can tell whether masks follow."""
    _, masks = discs(8, seed=0)
    task = Segmentation(masks)
    moving = Augmentation(flip_horizontal=True, flip_vertical=True, pad_crop=2)
    bare = Block(np.where(masks[..., None] == 1, 255, 0).astype(np.uint8))
    batch = next(Batches(bare, task=task, frame=SPEC, batch_size=8, seed=0, augmentation=moving, ahead=False).epoch(0))
    shown = batch.pictures[:, 0] > 127
    assert torch.equal(shown, batch.targets == 1)
    assert not np.array_equal(batch.targets.numpy(), masks[batch.rows])
