"""How what a layer gives is laid out: maps (B, C, H, W), channels-last (B, H, W, C), tokens (B, N, D), vector (B, D).

Shapes alone do not say it, so it is found in order of execution: convolutions, pooling and norms of maps give maps;
others give what fits the shape of the picture and the grids that were met before.
B pictures, C channels, H W rows and columns of a map, N tokens, D their width.
"""

from __future__ import annotations

import math
from typing import Literal

from torch import nn

Layout = Literal["maps", "channels-last", "tokens", "vector", "other"]
Grid = tuple[int, int]

# Always (B, C, H, W) in and out, where there are four axes.
_OF_MAPS = (
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.BatchNorm2d,
    nn.InstanceNorm2d,
    nn.GroupNorm,
    nn.LocalResponseNorm,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.LPPool2d,
    nn.FractionalMaxPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Upsample,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.Dropout2d,
    nn.ZeroPad2d,
    nn.ReflectionPad2d,
    nn.ReplicationPad2d,
)
# Class tokens, distillation tokens and registers that stand before the grid: more than these nobody has.
MOST_EXTRA_TOKENS = 16
# Their tokens are not in the order of rows and columns, so that a map made of them would be scrambled.
_SCRAMBLED = ("Hiera",)


class Layouts:
    """Finds the layout of one output after another, as a forward pass of one picture comes to them."""

    def __init__(self, network: nn.Module, picture: Grid) -> None:
        self.picture = picture
        modules = list(network.modules())
        self.scrambled = any(type(module).__name__ in _SCRAMBLED for module in modules)
        declared = [getattr(module, "num_prefix_tokens", None) for module in modules]  # timm's networks say it
        self.declared_extra: int | None = next((one for one in declared if isinstance(one, int)), None)
        self.grids: list[Grid] = []  # those met so far, the latest last
        self.latest: Layout = "maps"  # of four axes

    def find(self, module: nn.Module, shape: tuple[int, ...]) -> tuple[Layout, Grid | None, int]:
        """(layout, rows and columns where it has them, tokens before the grid) of an output of this shape."""
        if shape[0] != 1:  # of several windows or heads
            return "other", None, 0
        if len(shape) == 2:
            return "vector", None, 0
        if len(shape) == 3:
            return self._of_tokens(shape[1])
        if len(shape) == 4:
            layout = self._of_four(module, shape[1:])
            if layout != "other":
                self.latest = layout
                grid = (shape[2], shape[3]) if layout == "maps" else (shape[1], shape[2])
                self._met(grid)
                return layout, grid, 0
        return "other", None, 0

    def _met(self, grid: Grid) -> None:
        if grid in self.grids:
            self.grids.remove(grid)
        self.grids.append(grid)

    def _of_four(self, module: nn.Module, shape: tuple[int, ...]) -> Layout:
        first, second, third = shape
        if isinstance(module, _OF_MAPS):
            return "maps"
        # Exactly these: subclasses of LayerNorm that norm maps turn them around inside.
        if type(module) in (nn.Linear, nn.LayerNorm):
            return "channels-last" if self._fits((first, second)) else "other"
        as_maps, as_last = self._fits((second, third)), self._fits((first, second))
        if as_maps and as_last:
            return self.latest
        if as_maps:
            return "maps"
        return "channels-last" if as_last else "other"

    def _fits(self, grid: Grid) -> bool:
        """Whether a map of the picture may have this many rows and columns."""
        if grid in self.grids:
            return True
        # One side is each token, and so is the other: attention.
        if grid[0] == grid[1] and any(
            0 <= grid[0] - rows * columns <= MOST_EXTRA_TOKENS for rows, columns in self.grids if rows * columns > 4
        ):
            return False
        rows, columns = self.picture
        if grid[0] > rows or grid[1] > columns:
            return False
        if rows == columns:
            return grid[0] == grid[1]
        # Padding and its absence move the sides apart by a few cells.
        return abs(grid[0] - grid[1] * rows / columns) <= max(1.0, 0.15 * grid[0])

    def _of_tokens(self, count: int) -> tuple[Layout, Grid | None, int]:
        if self.scrambled:
            return "other", None, 0
        # Grids of the maps met before, then what becomes of them where every second token is kept, or every fourth.
        coarser = [
            (math.ceil(rows / step), math.ceil(columns / step))
            for step in (2, 4)
            for rows, columns in reversed(self.grids)
        ]
        for rows, columns in [*reversed(self.grids), *coarser]:
            extra = count - rows * columns
            allowed = {0, self.declared_extra} if self.declared_extra is not None else range(MOST_EXTRA_TOKENS + 1)
            # One cell and its extra tokens could be anything.
            if extra in allowed and rows * columns > max(1, extra):
                self._met((rows, columns))
                return "tokens", (rows, columns), extra
        if not self.grids:
            return self._of_unknown_grid(count)
        return "other", None, 0

    def _of_unknown_grid(self, count: int) -> tuple[Layout, Grid | None, int]:
        """Where patches were cut out without a convolution: the grid is of the shape of the picture."""
        height, width = self.picture
        extras = [self.declared_extra, 0] if self.declared_extra is not None else range(MOST_EXTRA_TOKENS + 1)
        for extra in extras:
            rows = round(math.sqrt(max(0, count - extra) * height / width))
            if rows > 1 and (count - extra) % rows == 0:
                columns = (count - extra) // rows
                if columns > 1 and rows * width == columns * height:
                    self._met((rows, columns))
                    return "tokens", (rows, columns), extra
        return "other", None, 0
