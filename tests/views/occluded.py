"""Networks of every kind of layer, small, with weights that are not the first ones; and the slow way to occlude."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional


class Residual(nn.Module):
    """Two branches, in place where it can be."""

    def __init__(self, channels: int, outgoing: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, outgoing, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outgoing)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outgoing, outgoing, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outgoing)
        self.short = nn.Sequential(nn.Conv2d(channels, outgoing, 1, stride, bias=False), nn.BatchNorm2d(outgoing))

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(maps)))))
        branch += self.short(maps)
        return self.relu(branch)


class Parallel(nn.Module):
    """Branches joined along the channels, as Inception and SqueezeNet have them; kernels that are not square."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(channels, 3, 1)
        self.three = nn.Conv2d(channels, 4, (1, 3), (1, 1), (0, 1))
        self.wide = nn.Conv2d(channels, 4, 3, 1, 2, dilation=2)
        self.pool = nn.AvgPool2d(3, 1, 1)

    def forward(self, maps: Tensor) -> Tensor:
        parts = [self.one(maps), functional.relu(self.three(maps)), torch.sigmoid(self.wide(maps)), self.pool(maps)]
        return torch.cat(parts, dim=1)


class Excited(nn.Module):
    """Squeeze and excitation: every cell depends on the whole map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.scale = nn.Conv2d(channels, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return maps * torch.sigmoid(self.scale(self.squeeze(maps)))


class Attention(nn.Module):
    """Each cell looks at all others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.look = nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, maps: Tensor) -> Tensor:
        tokens = maps.flatten(2).transpose(1, 2)
        looked, _ = self.look(tokens, tokens, tokens)
        return (tokens + looked).transpose(1, 2).reshape(maps.shape)


class Written(nn.Module):
    """No module but the convolutions: functions, methods, views written to in place, numbers and constants."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, 2)
        self.second = nn.Conv2d(6, 8, 3, padding="same", groups=2)
        self.register_buffer("mean", torch.tensor([0.1, 0.2, -0.1]).view(3, 1, 1))
        self.head = nn.Linear(8, 4)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = functional.pad((pictures - self.mean) / 0.5, (0, 1, 2, 0))
        maps = self.first(maps).clamp(min=0)
        kept = maps.clone()
        maps.mul_(0.5).add_(1)
        maps = functional.max_pool2d(functional.relu6(self.second(maps)), 3, 2, ceil_mode=True)
        maps = 1 - maps * 2
        return self.head(maps.mean((2, 3)) + kept.amax((2, 3)).mean(1, keepdim=True))


class WritesIntoViews(nn.Module):
    """A view of a map is changed in place after both were used."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.after = nn.Conv2d(6, 4, 3, padding=1)
        self.head = nn.Linear(4, 4)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.conv(pictures)
        half = maps[:, :3]
        maps.relu_()
        half.mul_(3)
        return self.head(self.after(maps).amax((2, 3)))


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(channels, 4)]


def _plain() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 7 * 8, 4)),
    )


def _depthwise() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish()),
        *(nn.Conv2d(8, 8, 5, 1, 2, groups=8), nn.GELU(), nn.BatchNorm2d(8), nn.ZeroPad2d((1, 0, 0, 2))),
        *(nn.Conv2d(8, 12, 1, 2), nn.SiLU(), *head(12)),
    )


# name -> (how to make it, whether it is local up to its head)
NETWORKS = {
    "plain": (_plain, True),
    "depthwise": (_depthwise, True),
    "residual": (
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 6, 7, 2, 3), nn.MaxPool2d(3, 2, 1), Residual(6, 8), Residual(8, 10, 2), *head(10))
        ),
        True,
    ),
    "parallel": (
        lambda: nn.Sequential(nn.Conv2d(3, 5, 3, 1, 1), nn.ELU(), Parallel(5), nn.LeakyReLU(), Parallel(16), *head(27)),
        True,
    ),
    "written": (Written, True),
    "excited": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), Excited(6), Residual(6, 8), *head(8)),
        False,
    ),
    "attention": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 4, 4), Attention(8), nn.Conv2d(8, 30, 3, 1, 1), nn.ReLU(), *head(30)),
        False,
    ),
    "views": (WritesIntoViews, False),
}
HEIGHT, WIDTH = 34, 38


def network(name: str, seed: int = 3) -> nn.Module:
    """One of NETWORKS with drawn weights, and norms that do something."""
    made = NETWORKS[name][0]()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in made.parameters():
            bound = 1.5 / max(1, weight[0].numel()) ** 0.5
            weight.copy_((torch.rand(weight.shape, generator=generator) * 2 - 1) * bound)
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.3)
                module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.3)
                module.weight.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return made.eval()


def pictures(count: int = 1, height: int = HEIGHT, width: int = WIDTH, seed: int = 5) -> Tensor:
    """Drawn pictures (count, 3, height, width)."""
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def edges(length: int, size: int, stride: int) -> list[int]:
    """Where squares begin along a side: every `stride` pixels, and flush with the end."""
    found = [edge for edge in range(length) if edge % stride == 0 and edge + size <= length]
    return found if found[-1] + size == length else [*found, length - size]


def slowly(module: nn.Module, picture: Tensor, cover: Tensor, size: int, stride: int) -> Tensor:
    """Scores (rows, columns, N), float64, one covered picture (C, H, W) at a time."""
    exact = copy.deepcopy(module).double().eval()
    rows = []
    for top in edges(picture.shape[1], size, stride):
        row = []
        for left in edges(picture.shape[2], size, stride):
            covered = picture.double().clone()
            covered[:, top : top + size, left : left + size] = cover.double()[:, top : top + size, left : left + size]
            with torch.no_grad():
                row.append(exact(covered[None])[0])
        rows.append(torch.stack(row))
    return torch.stack(rows)
