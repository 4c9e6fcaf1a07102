"""The network of the MNIST benchmarks: LeNet-5 as it is usually built today, in PyTorch. 61,706 weights."""

from torch import nn


def lenet() -> nn.Sequential:
    """(B, 1, 28, 28) to (B, 10)."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )
