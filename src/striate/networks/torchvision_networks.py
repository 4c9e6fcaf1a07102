"""torchvision's classification networks by name: built, their published weights, the input these want."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn
from torchvision import models

from striate.errors import InputError
from striate.networks.built import Asked, InputDefaults
from striate.networks.heads import find_head
from striate.networks.imagenet_names import imagenet_names
from striate.networks.weights import AUXILIARY, load_into

SET_BY_US = ("image_size", "aux_logits", "init_weights", "transform_input", "block", "blocks", "layers")
WITH_AUXILIARY = ("googlenet", "inception_v3")


@cache
def names() -> tuple[str, ...]:
    """In alphabetical order."""
    return tuple(models.list_models(module=models))


def published_state(name: str, cache: Path | None) -> tuple[dict[str, Tensor], str]:
    """torchvision's best published weights of `name`, fetched over the network into `cache`, and what they are called.

    Raises InputError where they cannot be fetched.
    """
    import http.client

    best = models.get_model_weights(name).DEFAULT
    where = {} if cache is None else {"model_dir": str(cache)}
    try:
        state: dict[str, Tensor] = best.get_state_dict(progress=False, check_hash=True, weights_only=True, **where)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise InputError(
            f"the weights of {name} could not be fetched from {best.url} ({error}); "
            "give a file with --weights, or use efficientnet-lite0, whose weights are here"
        ) from error
    return state, str(best)


@dataclass(frozen=True)
class TorchvisionNetwork:
    """One of them."""

    name: str
    takes_channels = False  # built for three; the stem is fitted afterwards
    fits_size = False

    def own_input(self) -> InputDefaults | None:
        """Of its best published weights."""
        preset = models.get_model_weights(self.name).DEFAULT.transforms()
        if self.name in WITH_AUXILIARY:
            # Trained with these; torchvision hides it behind ImageNet's values and `transform_input`, a switch
            # that no state dict holds.
            mean: tuple[float, ...] = (0.5, 0.5, 0.5)
            deviation = mean
        else:
            mean, deviation = tuple(preset.mean), tuple(preset.std)
        crop, resized = preset.crop_size[0], preset.resize_size[0]
        return InputDefaults(
            size=(crop, crop),
            mean=mean,
            deviation=deviation,
            interpolation=str(preset.interpolation.value),
            crop_share=min(1.0, crop / resized),
        )

    def published_classes(self) -> tuple[str, ...]:
        """ImageNet's: torchvision publishes no others for classification."""
        return imagenet_names()

    def argument_names(self) -> list[str]:
        """What its class takes besides what Striate sets."""
        plain = models.get_model(self.name, **self._fixed())
        own = inspect.signature(type(plain).__init__).parameters
        return [name for name in own if name not in ("self", "num_classes", *SET_BY_US)]

    def build(self, asked: Asked) -> nn.Module:
        """With random weights, for three channels. Raises ValueError where the size is impossible."""
        settings = self._fixed() | dict(asked.arguments)
        if self.name.startswith("vit_") and asked.size != (224, 224):
            if asked.size[0] != asked.size[1]:
                raise ValueError("it takes squares only")
            settings["image_size"] = asked.size[0]
        return cast(nn.Module, models.get_model(self.name, num_classes=asked.num_outputs, **settings))

    def published(self, asked: Asked, cache: Path | None) -> tuple[nn.Module, list[str]]:
        """The same with its best published weights, fetched over the network; and sentences for the log."""
        network = self.build(asked)
        state, best = published_state(self.name, cache)
        head = find_head(network).name
        notes = load_into(network, self.adapted(network, state), head, f"torchvision's {best}", AUXILIARY)
        return network, [f"{self.name} starts from torchvision's weights {best}", *notes]

    def adapted(self, network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a vision transformer with its positions resampled to the size that `network` was built for."""
        positions = "encoder.pos_embedding"
        if isinstance(network, models.VisionTransformer) and positions in state:
            if state[positions].shape == network.state_dict()[positions].shape:
                return state
            from torchvision.models.vision_transformer import interpolate_embeddings

            try:
                return dict(interpolate_embeddings(network.image_size, network.patch_size, dict(state)))
            except (ValueError, RuntimeError, IndexError):
                return state  # the comparison of shapes names what is wrong
        return state

    def _fixed(self) -> dict[str, Any]:
        if self.name in WITH_AUXILIARY:
            return {"aux_logits": False, "init_weights": True}
        return {}
