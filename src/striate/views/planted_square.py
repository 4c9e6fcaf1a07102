"""The planted square: a map of a network of which we know what it looks at. method -> share of the map on the square.

A small network learns to tell which pattern a square has: stripes across, stripes down, a chessboard, or none at all.
All of the picture is +1 and -1 in equal numbers, the square differs from the noise around it by its order alone, and it
lies anywhere: nothing but the square can give the answer. A map that says what the network looks at has its mass on the
square; the same method on the same network with the weights that it began with must not.
The idea is that of Yang and Kim 2019, "Benchmarking attribution methods with relative feature importance"
(arXiv:1907.09701), and of Zhou et al. 2022, "Do feature attribution methods correctly attribute features?"
(arXiv:2104.14403): plant what must be found. Limits: one small network; passing here does not carry over to large ones.

Legend: B pictures, K classes, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.data.draws import uniforms
from striate.views.maps import Maps
from striate.views.pointing import covered

SIDE, SQUARE = 48, 20  # pixels
CELL = 2  # pixels of the picture for a cell of the last map
PATTERNS = 3  # stripes across, stripes down, chessboard; the class after them: no square
WIDTH, STEPS, BATCH, RATE = 24, 150, 16, 0.02
SEED = 0  # of the weights and of the training; not from every start all patterns are learned so soon
GOOD = 0.8  # share of a good map's mass on the square
PURPOSE = 0x54A12E  # of the draws; the pictures that are judged have the next one


@dataclass(frozen=True, kw_only=True, eq=False)
class Planted:
    """A network, pictures (B, 1, H, W), and what is known of them: classes (B,) int64; boxes (B, 4) int64 as left, top,
    right, bottom; accuracy, the share of the pictures that the network answers right."""

    network: nn.Module
    pictures: Tensor
    classes: Tensor
    boxes: Tensor
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class PlantedSquare:
    """The mean share of a method's mass on the square: by the trained network, and by the one of random weights.

    area: the square's share of the picture, which is what a map gets that knows nothing.
    """

    trained: float
    random: float
    area: float

    @property
    def passed(self) -> bool:
        """Whether the map finds the square, and only where there is something to be found."""
        return self.trained >= GOOD > self.random

    def sentence(self) -> str:
        """What a reader should know of the method."""
        figures = f"{self.trained:.0%} of the map on it, {self.random:.0%} by a network of random weights"
        if self.passed:
            return f"Finds a planted square ({figures}; it covers {self.area:.0%})."
        if self.trained < GOOD:
            return f"Does not keep to a planted square ({figures}; it covers {self.area:.0%})."
        return f"Marks a planted square whether the network knows it or not ({figures}; it covers {self.area:.0%})."


def planted_square(method: Callable[..., Maps], *, count: int = 16, seed: int = 0) -> PlantedSquare:
    """Try a method that gives maps on `count` pictures with a square, trained and not. The mass is that of the positive
    values. Takes two seconds for the training, once a process, and two runs of the method. seed: of the pictures."""
    shares = []
    for trained in (True, False):
        planted = plant(trained=trained, count=count, seed=seed)
        maps = method(planted.network, planted.pictures, planted.classes[:, None]).values[:, 0]
        shares.append(float(share_on_square(maps, planted.boxes).mean()))
    return PlantedSquare(trained=shares[0], random=shares[1], area=SQUARE**2 / SIDE**2)


def plant(*, trained: bool = True, count: int = 16, seed: int = 0) -> Planted:
    """The network, with the weights that it learned or those that it began with, and fresh pictures with squares."""
    network = _fresh()
    if trained:
        network.load_state_dict(_learned())
    network.eval()
    pictures, classes, boxes = squares(seed, 0, count, purpose=PURPOSE + 1, patterns=PATTERNS)
    with torch.no_grad():
        right = network(pictures).argmax(dim=1) == classes
    return Planted(
        network=network, pictures=pictures, classes=classes, boxes=boxes, accuracy=float(right.double().mean())
    )


def share_on_square(maps: Tensor, boxes: Tensor) -> Tensor:
    """The share of the positive mass of each map (B, H, W) in its box (B, 4): (B,) float64; 0 where there is none."""
    mass = maps.detach().double().clamp(min=0)
    inside = torch.stack([covered(box[None], *mass.shape[1:]) for box in boxes])
    whole = mass.sum(dim=(1, 2))
    return (mass * inside).sum(dim=(1, 2)) / torch.where(whole > 0, whole, 1.0)


def squares(seed: int, epoch: int, count: int, *, purpose: int, patterns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (B, 1, H, W) of -1 and +1 with a square each, classes (B,) below `patterns`, boxes (B, 4).

    Class 3 has a box and no square in it. Everything is a function of (seed, epoch, row).
    """
    drawn = uniforms(seed, epoch, np.arange(count), SIDE * SIDE + 4, purpose=purpose)
    noise = np.where(drawn[:, 4:] < 0.5, -1.0, 1.0).reshape(count, SIDE, SIDE)
    classes = (drawn[:, 0] * patterns).astype(np.int64)
    lefts, tops = ((drawn[:, column] * (SIDE - SQUARE + 1)).astype(np.int64) for column in (1, 2))
    down, across = np.indices((SQUARE, SQUARE))
    for picture, kind, left, top, sign in zip(noise, classes, lefts, tops, drawn[:, 3] < 0.5, strict=True):
        if kind < PATTERNS:
            stripes = (down, across, down + across)[kind]
            picture[top : top + SQUARE, left : left + SQUARE] = np.where((stripes + sign) % 2 == 0, 1.0, -1.0)
    boxes = np.stack([lefts, tops, lefts + SQUARE, tops + SQUARE], axis=1)
    return torch.from_numpy(noise).float()[:, None], torch.from_numpy(classes), torch.from_numpy(boxes)


def _fresh() -> nn.Sequential:
    """The network with the weights that it begins with. Its maps are fine, and each value sees 8x8 pixels, so that the
    mass cannot spread far beyond the square."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        return nn.Sequential(
            nn.Conv2d(1, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(CELL),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(WIDTH, PATTERNS + 1),
        )


@cache
def _learned() -> dict[str, Tensor]:
    """The weights after training: two seconds, kept for the process.

    The network is told where to look: each cell of its last map has to answer for itself too, "no square" off the
    square. As soon as it answers a batch right, what still excites it off the square costs: noise that looks like a
    pattern by chance would be evidence, and a map that shows it would be right to.
    """
    network = _fresh()
    features, answer = network[:-3], network[-1]
    assert isinstance(answer, nn.Linear)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    with torch.enable_grad():
        for step in range(STEPS):
            pictures, classes, boxes = squares(SEED, step, BATCH, purpose=PURPOSE, patterns=PATTERNS + 1)
            side = SIDE // CELL
            inside = torch.stack([covered(box[None] / CELL, side, side) for box in boxes])
            inside &= (classes < PATTERNS)[:, None, None]
            excited = features(pictures)
            cells = functional.conv2d(excited, answer.weight[:, :, None, None], answer.bias)
            scores = answer(excited.mean(dim=(2, 3)))
            loss = functional.cross_entropy(scores, classes)
            loss = loss + functional.cross_entropy(cells, torch.where(inside, classes[:, None, None], PATTERNS))
            if bool((scores.argmax(dim=1) == classes).all()):
                loss = loss + (excited * ~inside[:, None]).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return network.state_dict()
