"""The first layers of any network, fitted to grey pictures and to small ones.

What becomes of the structure depends on the network, the channels and the size alone, never on whether it
has weights, so that a saved network can be built again without them. Legend: C channels, H W rows and columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from striate.networks.heads import put

SMALL = 64  # pictures below this side lose too much in a 7x7 stride-2 convolution and a pooling layer
FEWEST_CELLS = 2  # the last maps should keep 2x2 cells, else nothing is left of where things are
PROBE = 256  # a side at which no usual network is down to one cell


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d] | None:
    """Name and module of the convolution that sees the pictures, or None (a network without one)."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module
    return None


def fit_channels(network: nn.Module, channels: int, has_weights: bool) -> str | None:
    """Let the first convolution take `channels` channels; the sentence for the log, or None where it did so already.

    With weights, filters for grey are the sums of those for colours: a grey picture is answered as its
    RGB copy would be under one normalisation. Without, one colour's filters are as random as any.
    """
    found = first_convolution(network)
    if found is None or found[1].in_channels == channels or found[1].groups != 1:
        return None
    name, convolution = found
    colours = convolution.in_channels
    weight = convolution.weight.detach()
    if channels == 1:
        fitted = weight.sum(dim=1, keepdim=True) if has_weights else weight[:, :1]
    else:
        repeated = torch.stack([weight[:, channel % colours] for channel in range(channels)], dim=1)
        fitted = repeated * (colours / channels)
    convolution.in_channels = channels
    convolution.weight = nn.Parameter(fitted.contiguous().clone())
    how = "the filters of the colours summed" if channels == 1 and has_weights else f"made for {colours}"
    return f"the first convolution ({name}) takes {channels} channel{'s' * (channels > 1)} ({how})"


def fit_size(network: nn.Module, size: tuple[int, int], channels: int, has_weights: bool) -> str | None:
    """Let the stem reduce small pictures less; the sentence for the log, or None where nothing was done.

    Stems of a large strided convolution and a pooling layer (ResNet, DenseNet, GoogLeNet, AlexNet) become 3x3
    with stride 1 without pooling for sides below 64. Otherwise the stride of the first convolution, then the
    first pooling layer go while the whole network would leave fewer than 2x2 cells.
    """
    found = first_convolution(network)
    if found is None or min(size) >= SMALL:
        return None
    name, convolution = found
    pool = next((name for name, module in network.named_modules() if isinstance(module, nn.MaxPool2d)), None)
    done: list[str] = []
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    patches = kernel == stride > 1
    if not patches and kernel >= 5 and stride >= 2 and pool is not None:
        _set_kernel(convolution, 3, 1, has_weights)
        put(network, pool, nn.Identity())
        done = [f"{name} is 3x3 with stride 1 (was {kernel}x{kernel}, {stride})", f"{pool} is left out"]
    elif (factor := reduction(network, channels)) is None:
        return None
    elif patches:
        new = stride
        # A network that reduces in its patches only (a vision transformer) has its positions tied to them.
        while factor > stride and new > 1 and min(size) < FEWEST_CELLS * factor * new // stride:
            new //= 2
        if new != stride:
            _set_kernel(convolution, new, new, has_weights)
            done = [f"{name} takes patches of {new}x{new} (was {stride}x{stride})"]
    else:
        if stride > 1 and min(size) < FEWEST_CELLS * factor:
            convolution.stride = (1, 1)
            factor //= stride
            done.append(f"{name} has stride 1 (was {stride})")
        if pool is not None and min(size) < FEWEST_CELLS * factor:
            put(network, pool, nn.Identity())
            done.append(f"{pool} is left out")
    return f"the stem is fitted to {size[0]}x{size[1]} pictures: {', '.join(done)}" if done else None


def reduction(network: nn.Module, channels: int) -> int | None:
    """How many pixels along a side become one cell of the last maps; None where a picture of 256x256 does not pass.

    Found with tensors that have a shape and no values, so it costs next to nothing.
    """
    seen = _ConvolutionSizes()
    training = network.training
    network.eval()
    try:
        with seen, torch.no_grad():
            on_meta(network, (1, channels, PROBE, PROBE))
    except (RuntimeError, AssertionError, ValueError, TypeError, NotImplementedError):
        return None
    finally:
        network.train(training)
    # One cell is the squeeze of squeeze-and-excitation, or a head after the pooling.
    cells = min((cells for cells in seen.sizes if cells > 1), default=PROBE)
    factor = 1
    while factor * cells * 3 // 2 < PROBE:  # convolutions without padding give a little less than a power of two
        factor *= 2
    return factor


def on_meta(network: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """The network run on a tensor of `shape` that has no values; weights, buffers and modes stay as they are."""
    state: dict[str, Tensor] = {}
    known: dict[int, Tensor] = {}
    # By module, each once: a module that is there under two names must be swapped under one of them, or
    # `functional_call` puts the tensors without values back for good.
    for prefix, module in network.named_modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            known.setdefault(id(tensor), torch.empty_like(tensor, device="meta"))
            state[f"{prefix}.{name}" if prefix else name] = known[id(tensor)]
    empty = torch.empty(shape, device="meta")
    outputs: Tensor = functional_call(network, state, (empty,), tie_weights=False)
    return outputs


class _ConvolutionSizes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the rows of what every convolution gives."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default and result.dim() == 4:
            self.sizes.append(int(result.shape[2]))
        return result


def _set_kernel(convolution: nn.Conv2d, kernel: int, stride: int, has_weights: bool) -> None:
    """Another kernel and stride; weights that are there are resampled, keeping the answer to an even area."""
    weight = convolution.weight.detach()
    old = weight.shape[-1]
    if has_weights:
        share = _shares(old, kernel).to(weight)
        fitted = share @ weight @ share.T
    else:
        fitted = weight.new_empty(*weight.shape[:2], kernel, kernel)
        nn.init.kaiming_normal_(fitted, mode="fan_out", nonlinearity="relu")
    convolution.weight = nn.Parameter(fitted)
    convolution.kernel_size = (kernel, kernel)
    convolution.stride = (stride, stride)
    if type(convolution) is nn.Conv2d:  # TensorFlow-like ones work out their own padding
        convolution.padding = (kernel // 2, kernel // 2) if kernel != stride else (0, 0)


def _shares(old: int, new: int) -> Tensor:
    """(new, old): each old place gives its weight to the two new places next to it, all of it."""
    shares = torch.zeros(new, old)
    for place in range(old):
        where = min(max((place + 0.5) * new / old - 0.5, 0.0), new - 1.0)
        first = min(int(where), max(new - 2, 0))
        shares[first, place] += 1 - (where - first)
        if new > 1:
            shares[first + 1, place] += where - first
    return shares
