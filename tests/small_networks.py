"""Small networks that views are tested on, each written in another way; one of them can be worked out by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class OneConvolution(nn.Module):
    """captum's test network of one convolution, whose attributions are published with captum's tests.

    3x3 filters of ones with biases -50 and -75, a rectifier, four equal linear units (five weights 1, three -1), a
    rectifier. (B, 1, 4, 4) -> (B, 4).
    """

    def __init__(self, *, inplace: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.relu1 = nn.ReLU(inplace)
        self.fc1 = nn.Linear(8, 4)
        self.relu2 = nn.ReLU(inplace)
        with torch.no_grad():
            self.conv1.weight.fill_(1)
            self.conv1.bias.copy_(torch.tensor([-50.0, -75.0]))
            self.fc1.weight.copy_(torch.cat([torch.ones(4, 5), -torch.ones(4, 3)], dim=1))
            self.fc1.bias.zero_()

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.relu1(self.conv1(pictures)).view(-1, 8)
        return self.relu2(self.fc1(maps))


class Modules(nn.Module):
    """Two convolutions, rectifiers as modules (one used twice, in place), norm, dropout. (B, 3, H, W) -> (B, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8, 5)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.pool(self.relu(self.norm(self.conv1(pictures))))
        maps = self.relu(self.conv2(maps))
        return self.head(self.dropout(maps.mean(dim=(2, 3))))


class Functions(Modules):
    """The same, with the rectifiers as calls of four kinds and a residual sum."""

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.pool(functional.relu(self.norm(self.conv1(pictures)), inplace=True))
        branch = torch.relu(self.conv2(maps))
        branch = branch - 0.1
        branch += functional.pad(maps, (0, 0, 0, 0, 0, 2))
        branch = branch.relu()
        return self.head(self.dropout(branch.clamp(min=0).mean(dim=(2, 3))))


class Broken(Modules):
    """Fails in the forward pass of call number `at`."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.calls, self.at = 0, at

    def forward(self, pictures: Tensor) -> Tensor:
        self.calls += 1
        found = super().forward(pictures)
        if self.calls >= self.at:
            raise ArithmeticError("a network that fails")
        return found


def made(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """The network with weights and norms drawn from `seed`; torch's generator is left as it was."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / max(1, parameter[0].numel()) ** 0.5)
        for name, buffer in network.named_buffers():
            if buffer.is_floating_point():
                drawn = torch.rand(buffer.shape, generator=generator) + 0.5
                buffer.copy_(drawn if name.endswith("var") else drawn - 1)
    return network


def noise(*shape: int, seed: int = 1) -> Tensor:
    """Normal numbers (shape)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
