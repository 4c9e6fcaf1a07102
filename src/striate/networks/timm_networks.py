"""timm's networks by name: built for any channels and, where they can, any size; their published weights."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from striate.errors import InputError
from striate.networks.built import Asked, InputDefaults
from striate.networks.imagenet_names import NUMBER, imagenet_names


@cache
def names() -> tuple[str, ...]:
    """In alphabetical order, without the tags of single sets of weights ("resnet18.a1_in1k" is taken, too)."""
    return tuple(timm.list_models())


def knows(name: str) -> bool:
    """Whether timm itself defines `name`. Names that point into a hub or a folder are none."""
    return ":" not in name and "/" not in name and bool(timm.is_model(name))


@dataclass(frozen=True)
class TimmNetwork:
    """One of them."""

    name: str
    takes_channels = True
    fits_size = False

    def own_input(self) -> InputDefaults | None:
        """Of its default weights; None where it has none."""
        settings = timm.get_pretrained_cfg(self.name, allow_unregistered=False)
        if settings is None:
            return None
        interpolation = settings.interpolation if settings.interpolation in ("bilinear", "bicubic") else "bicubic"
        return InputDefaults(
            size=(int(settings.input_size[1]), int(settings.input_size[2])),
            mean=tuple(settings.mean),
            deviation=tuple(settings.std),
            interpolation=interpolation,
            crop_share=float(settings.crop_pct or 1.0),
        )

    def published_classes(self) -> tuple[str, ...]:
        """ImageNet's names where there are 1,000, numbers for other sets; () where its weights give features alone."""
        settings = timm.get_pretrained_cfg(self.name, allow_unregistered=False)
        if settings is None or not settings.has_weights:
            return ()
        if settings.num_classes == NUMBER:
            return imagenet_names()
        return tuple(f"class {number}" for number in range(settings.num_classes))

    def argument_names(self) -> list[str]:
        """What its class takes besides what Striate sets."""
        plain = timm.create_model(self.name)
        own = inspect.signature(type(plain).__init__).parameters
        return [name for name in own if name not in ("self", "num_classes", "in_chans", "img_size", "cfg")]

    def build(self, asked: Asked) -> nn.Module:
        """With random weights. Raises ValueError, AssertionError or RuntimeError where the size is impossible."""
        return self._create(asked)

    def published(self, asked: Asked, cache: Path | None) -> tuple[nn.Module, list[str]]:
        """The same with its default published weights, fetched over the network; and sentences for the log."""
        settings = timm.get_pretrained_cfg(self.name, allow_unregistered=False)
        if settings is None or not settings.has_weights:
            raise InputError(f"timm has no published weights for {self.name}; without --pretrained it can be trained")
        where: dict[str, Any] = {"pretrained": True} | ({} if cache is None else {"cache_dir": str(cache)})
        try:
            network = self._create(asked, **where)
        except (OSError, RuntimeError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"the weights of timm's {self.name} could not be fetched ({reason}); "
                "give a file with --weights, or use efficientnet-lite0, whose weights are here"
            ) from error
        return network, [f"{self.name} starts from timm's weights, with a fresh head of {asked.num_outputs} outputs"]

    def adapted(self, network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights from a file, as they are."""
        return state

    def _create(self, asked: Asked, **where: Any) -> nn.Module:
        settings = {**asked.arguments, **where}
        own = timm.get_pretrained_cfg(self.name, allow_unregistered=False)
        if own is not None and own.fixed_input_size and asked.size != tuple(own.input_size[1:]):
            settings["img_size"] = asked.size
        return timm.create_model(self.name, num_classes=asked.num_outputs, in_chans=asked.channels, **settings)
