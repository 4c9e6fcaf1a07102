"""A network of ours as it answers fastest on a processor. (B, C, H, W) -> what the network gives, to 1e-5 of it.

Idea: in evaluation mode a batch normalisation scales and shifts each channel, so that it goes into the weights of the
convolution before it (Jacob et al. 2018, arXiv:1712.05877, section 3.2). oneDNN then convolves, adds and rectifies in
one call that writes each value once, where a plain network passes over its maps for each of them, and the weights are
packed once for all batches. torch's compiler does the same when it freezes a network, after seconds of compiling.

Known are the networks in this room and what they are made of. Any other network answers by itself, and so do all of
them where somebody watches them (hooks), in training, and where oneDNN's calls are not: on accelerators, on ARM.
Legend: B batch, C channels, H W rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.networks.efficientnet_lite import (
    EfficientNetLite0,
    EfficientNetLite0Features,
    InvertedResidual,
    SameConvolution,
)
from striate.networks.feature_normalizer import FeatureNormalizer
from striate.networks.heads import HeadWithDropout
from striate.networks.hooks import all_are_watched, is_watched
from striate.networks.lenet5 import LeNet5
from striate.networks.resnet import BasicBlock, Bottleneck, ResNet
from striate.networks.small_conv import ResidualConv, SmallConv
from striate.networks.small_resnet import (
    ConvPoolNormReLU,
    LargestOfEachChannel,
    ResidualConvs,
    SmallResNet,
    WhiteningStem,
)

Step = Callable[[Tensor], Tensor]

NUMBERS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# oneDNN's names of what may follow a convolution in the same call, and their numbers.
RECTIFIERS: dict[type[nn.Module], tuple[str, list[float]]] = {nn.ReLU: ("relu", []), nn.ReLU6: ("hardtanh", [0.0, 6.0])}
CONVOLUTIONS = (nn.Conv2d, SameConvolution)
# What does nothing when it answers.
NOTHING = (nn.Identity, nn.Dropout)
# What runs as it is, whatever the layout of the maps in memory.
AS_THEY_ARE = (
    nn.AdaptiveAvgPool2d,
    nn.BatchNorm2d,
    nn.Flatten,
    nn.Linear,
    nn.MaxPool2d,
    nn.ReLU,
    nn.ReLU6,
    FeatureNormalizer,
    HeadWithDropout,
    LargestOfEachChannel,
)


def fused(network: nn.Module, *, device: str, precision: str) -> Step | None:
    """What gives the answers of `network`, in evaluation mode on `device`, in fewer passes over memory; None where the
    network is best asked itself. To be called under `machine.precision.autocast` for `precision`.

    It keeps a copy of the weights from its first call on, made for the size of that batch (others are as right, and
    slower). Of weights that change afterwards it knows nothing: make it anew. It may overwrite the pictures it is
    given. Values are equal to the network's within 1e-5 of the largest in float32; in bfloat16 weights are rounded
    after the normalisation has gone into them, not before.
    """
    number = NUMBERS.get(precision)
    if number is None or not _has_calls(device, number):
        return None
    if not any(isinstance(module, nn.Conv2d) for module in network.modules()) or not _is_plain(network):
        return None
    try:
        step = _step(network)
    except _UnknownPartError:
        return None
    return partial(_begun, step, number)


class _UnknownPartError(Exception):
    """A part whose fused form is not known to be equal."""


def _begun(step: Step, number: torch.dtype, pictures: Tensor) -> Tensor:
    return step(pictures.to(number))


def _has_calls(device: str, number: torch.dtype) -> bool:
    """Whether oneDNN's calls are there. On ARM they hand over to a library that cannot add or rectify."""
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if device != "cpu" or not there or not torch.backends.mkldnn.enabled:
        return False
    calls = torch.ops.mkldnn
    if calls._is_mkldnn_acl_supported():
        return False
    return number == torch.float32 or bool(calls._is_mkldnn_bf16_supported())


def _is_plain(network: nn.Module) -> bool:
    """Whether all that the network does is what its classes say, in numbers that can be folded."""
    if all_are_watched():
        return False
    for part in network.modules():
        if is_watched(part) or part.training or "forward" in vars(part):
            return False
    return all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in network.parameters())


# -- the parts --------------------------------------------------------------------------------------


def _step(module: nn.Module) -> Step:
    """The fused form of a part. Raises _UnknownPartError."""
    kind = type(module)
    if kind in PARTS:
        return PARTS[kind](module)
    if isinstance(module, nn.Sequential) and kind.forward is nn.Sequential.forward:
        return _chain(module)
    if kind in AS_THEY_ARE:
        return module
    if kind in CONVOLUTIONS:
        return _Convolution(module)
    raise _UnknownPartError(kind.__name__)


def _chain(modules: Iterable[nn.Module]) -> Step:
    """One after the other; a convolution takes the normalisation and the rectifier that follow it along."""
    left = [module for module in modules if type(module) not in NOTHING]
    steps: list[Step] = []
    while left:
        first = left.pop(0)
        if type(first) not in CONVOLUTIONS:
            steps.append(_step(first))
            continue
        norm = left.pop(0) if left and type(left[0]) is nn.BatchNorm2d else None
        rectifier = left.pop(0) if left and type(left[0]) in RECTIFIERS else None
        steps.append(_Convolution(first, norm, rectifier))

    def run(maps: Tensor) -> Tensor:
        for step in steps:
            maps = step(maps)
        return maps

    return run


class _Convolution:
    """A convolution with what follows it, in one call: (B, C, H, W) -> (B, D, h, w), channels last in memory."""

    def __init__(
        self, convolution: nn.Module, norm: nn.Module | None = None, rectifier: nn.Module | None = None
    ) -> None:
        if not isinstance(convolution, nn.Conv2d) or type(convolution) not in CONVOLUTIONS:
            raise _UnknownPartError(type(convolution).__name__)
        if convolution.padding_mode != "zeros" or isinstance(convolution.padding, str):
            raise _UnknownPartError("padding")
        if norm is not None and not _is_foldable(norm):
            raise _UnknownPartError(type(norm).__name__)
        if rectifier is not None and type(rectifier) not in RECTIFIERS:
            raise _UnknownPartError(type(rectifier).__name__)
        self.convolution, self.norm = convolution, norm if isinstance(norm, nn.BatchNorm2d) else None
        self.after = None if rectifier is None else RECTIFIERS[type(rectifier)]
        self.packed: tuple[Tensor, Tensor | None] | None = None

    def __call__(self, maps: Tensor, add_to: Tensor | None = None) -> Tensor:
        """What follows the convolution follows the sum, where there is one to add to; that tensor is overwritten."""
        layer = self.convolution
        padding = list(layer.padding)
        if isinstance(layer, SameConvolution):
            maps, (rows, columns) = layer.padded(maps)
            padding = [rows, columns]
        how = (padding, list(layer.stride), list(layer.dilation), layer.groups)
        if self.packed is None:
            weight, bias = folded(layer, self.norm)
            weight = torch.ops.mkldnn._reorder_convolution_weight(weight.to(maps.dtype), *how, list(maps.shape))
            self.packed = weight, None if bias is None else bias.to(maps.dtype)
        if add_to is None:
            name, scalars = self.after or ("none", [])
            given: Tensor = torch.ops.mkldnn._convolution_pointwise.default(maps, *self.packed, *how, name, scalars, "")
            return given
        rectified = None if self.after is None else self.after[0]
        summed: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            add_to, maps, *self.packed, *how, "add", None, rectified, [], None
        )
        return summed


def _is_foldable(norm: nn.Module) -> bool:
    return type(norm) is nn.BatchNorm2d and norm.running_mean is not None and norm.running_var is not None


def folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor | None]:
    """Weight (D, C, h, w) and bias (D,) of one convolution that gives norm(convolution(x)) in evaluation mode."""
    weight, bias = convolution.weight.detach(), convolution.bias
    if norm is None:
        return weight, None if bias is None else bias.detach()
    scale, shift = scale_and_shift(norm)
    if bias is not None:
        shift = shift + scale * bias.detach().double()
    return weight * scale.float().view(-1, 1, 1, 1), shift.float()


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What a normalisation does to each channel in evaluation mode, norm(x) = scale * x + shift: each (D,) float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.detach().double()
    shift = -scale * norm.running_mean.double()
    return scale, shift + norm.bias.detach().double() if norm.affine else shift


def _basic_block(block: BasicBlock) -> Step:
    first = _Convolution(block.conv1, block.bn1, block.relu)
    last = _Convolution(block.conv2, block.bn2, block.relu)
    return _residual(first, last, block.downsample)


def _bottleneck(block: Bottleneck) -> Step:
    first = _chain([block.conv1, block.bn1, block.relu, block.conv2, block.bn2, block.relu])
    last = _Convolution(block.conv3, block.bn3, block.relu)
    return _residual(first, last, block.downsample)


def _residual(first: Step, last: _Convolution, downsample: nn.Module | None) -> Step:
    if last.after is not RECTIFIERS[nn.ReLU]:  # oneDNN adds and then rectifies by ReLU alone
        raise _UnknownPartError("rectifier")
    shortcut = None if downsample is None else _step(downsample)

    def run(maps: Tensor) -> Tensor:
        branch = first(maps)
        # Nobody else needs the maps that came in: the block's sum takes their place.
        return last(branch, add_to=maps if shortcut is None else shortcut(maps))

    return run


def _inverted_residual(block: InvertedResidual) -> Step:
    before, project = _chain([block.expand, block.depthwise]), _Convolution(*block.project)
    return lambda maps: project(before(maps), add_to=maps if block.has_shortcut else None)


def _branch(block: ResidualConv | ResidualConvs) -> Step:
    branch = _step(block.branch)
    return lambda maps: branch(maps).add_(maps)


def _pooled(layer: ConvPoolNormReLU) -> Step:
    """Pooling stands before the normalisation. A scale that is not negative may as well come before it."""
    convolution, norm = layer.convolution, layer.normalisation
    if not _is_foldable(norm):
        raise _UnknownPartError(type(norm).__name__)
    if not layer.pool:
        return _Convolution(convolution, norm, nn.ReLU())
    pool = partial(functional.max_pool2d, kernel_size=2, ceil_mode=True)
    if bool((scale_and_shift(norm)[0] >= 0).all()):
        whole = _Convolution(convolution, norm, nn.ReLU())
        return lambda maps: pool(whole(maps))
    alone = _Convolution(convolution)
    return lambda maps: functional.relu(norm(pool(alone(maps))))


def _stem(stem: WhiteningStem) -> Step:
    convolution = _Convolution(stem.convolution, None, nn.ReLU())
    return lambda pictures: convolution(stem.padded(pictures))


def _lite_features(features: EfficientNetLite0Features) -> Step:
    spatial = _chain([features.stem, features.stages, features.top])
    return lambda pictures: features.pooled(spatial(pictures))


def _lite(network: EfficientNetLite0) -> Step:
    return _chain([network.features, network.normalizer, network.head])


def _features_and_head(network: LeNet5 | ResNet | SmallConv | SmallResNet) -> Step:
    return _chain([network.features, network.head])


PARTS: dict[type[nn.Module], Callable[..., Step]] = {
    BasicBlock: _basic_block,
    Bottleneck: _bottleneck,
    InvertedResidual: _inverted_residual,
    ResidualConv: _branch,
    ResidualConvs: _branch,
    ConvPoolNormReLU: _pooled,
    WhiteningStem: _stem,
    EfficientNetLite0Features: _lite_features,
    EfficientNetLite0: _lite,
    LeNet5: _features_and_head,
    ResNet: _features_and_head,
    SmallConv: _features_and_head,
    SmallResNet: _features_and_head,
}
