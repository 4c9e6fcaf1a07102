"""What a network takes: size, channels, how a picture is brought to the size, mean and deviation.

Fitted on the training split only, stored with the model, applied by the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.data.resample import resize, to_channels, to_tensor
from striate.errors import InputError, require

if TYPE_CHECKING:
    import torch

FITS = ("squash", "crop", "pad")
INTERPOLATIONS = ("bilinear", "bicubic")
LARGEST_SIDE = 4096


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """How pictures enter a network.

    `fit`: "squash" (both sides to the size, the aspect ratio is given up), "crop" (the shorter side
    to size / `crop_share`, then the centre), "pad" (the longer side to the size, the rest filled with
    the mean). `mean` and `deviation` are in [0, 1] units, one a channel.
    """

    channels: int
    height: int
    width: int
    fit: str = "squash"
    crop_share: float = 1.0
    interpolation: str = "bilinear"
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __post_init__(self) -> None:
        require(self.channels in (1, 3), f"input channels must be 1 or 3, got {self.channels!r}")
        for side in (self.height, self.width):
            require(
                isinstance(side, int) and 1 <= side <= LARGEST_SIDE,
                f"input size must be 1 to {LARGEST_SIDE} pixels, got {side!r}",
            )
        require(self.fit in FITS, f"fit must be one of {', '.join(FITS)}, got {self.fit!r}")
        require(
            self.interpolation in INTERPOLATIONS,
            f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {self.interpolation!r}",
        )
        require(0.1 <= self.crop_share <= 1.0, f"crop_share must be in [0.1, 1], got {self.crop_share!r}")
        for name, values in (("mean", self.mean), ("deviation", self.deviation)):
            require(len(values) == self.channels, f"{name} needs {self.channels} values, got {len(values)}")
            require(bool(np.isfinite(values).all()), f"{name} must be finite, got {values}")
        require(min(self.deviation) > 0, f"deviation must be positive, got {self.deviation}")

    def prepare(self, pixels: np.ndarray) -> torch.Tensor:
        """(H, W, C) pixels, `uint8` or `float32` in [0, 255] -> (channels, height, width), same type."""
        picture = to_tensor(to_channels(pixels, self.channels))
        have_height, have_width = int(picture.shape[1]), int(picture.shape[2])
        if (have_height, have_width) == (self.height, self.width) and self.crop_share == 1.0:
            return picture.contiguous()
        if self.fit == "squash":
            return resize(picture, self.height, self.width, self.interpolation).contiguous()
        if self.fit == "crop":
            return self._crop(picture).contiguous()
        return self._pad(picture).contiguous()

    def _crop(self, picture: torch.Tensor) -> torch.Tensor:
        _, have_height, have_width = picture.shape
        scale = max(self.height / have_height, self.width / have_width) / self.crop_share
        height = max(self.height, round(have_height * scale))
        width = max(self.width, round(have_width * scale))
        resized = resize(picture, height, width, self.interpolation)
        top, left = (height - self.height) // 2, (width - self.width) // 2
        return resized[:, top : top + self.height, left : left + self.width]

    def _pad(self, picture: torch.Tensor) -> torch.Tensor:
        import torch

        _, have_height, have_width = picture.shape
        scale = min(self.height / have_height, self.width / have_width)
        height = min(self.height, max(1, round(have_height * scale)))
        width = min(self.width, max(1, round(have_width * scale)))
        fill = torch.tensor([255 * value for value in self.mean]).round().to(picture.dtype)
        padded = fill[:, None, None].expand(-1, self.height, self.width).clone()
        top, left = (self.height - height) // 2, (self.width - width) // 2
        padded[:, top : top + height, left : left + width] = resize(picture, height, width, self.interpolation)
        return padded

    def normalize(self, prepared: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) in [0, 255], any type -> `float32`, (value / 255 - mean) / deviation."""
        import torch

        shape = (1, self.channels, 1, 1)
        deviation = 255 * torch.tensor(self.deviation, device=prepared.device)
        shift = torch.tensor(self.mean, device=prepared.device) * 255 / deviation
        return prepared.float() * (1 / deviation).view(shape) - shift.view(shape)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `config.json`."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> InputSpec:
        """What `to_json` wrote. Raises InputError where it is none."""
        try:
            fields = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
            return cls(**fields)
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"the input specification cannot be read: {error}") from error
