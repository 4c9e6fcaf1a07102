"""Networks in their fused form against themselves in float64, picture by picture; and when they are left alone."""

from __future__ import annotations

import gc
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from striate.machine.precision import autocast
from striate.networks import NETWORKS, build_network
from striate.networks.efficientnet_lite import EfficientNetLite0
from striate.networks.fused import fused
from striate.networks.resnet import BasicBlock, ResNet
from striate.taps.unchanged import unchanged

WITHOUT_CONVOLUTIONS = ("linear", "mlp")
WITH_CONVOLUTIONS = tuple(name for name in NETWORKS if name not in WITHOUT_CONVOLUTIONS)
HAS_CALLS = torch.backends.mkldnn.is_available() and not torch.ops.mkldnn._is_mkldnn_acl_supported()

pytestmark = pytest.mark.skipif(not HAS_CALLS, reason="oneDNN's fused calls are not on this platform")


def drawn(network: nn.Module, *, seed: int = 0, negative: bool = True) -> nn.Module:
    """The network with weights and statistics as after a training, whose scales are `negative` here and there."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor, low, high in (
                    (module.weight, -0.5 if negative else 0.5, 1.5),
                    (module.bias, -0.5, 0.5),
                    (module.running_mean, -0.5, 0.5),
                    (module.running_var, 0.5, 2.0),
                ):
                    assert tensor is not None
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return network.eval()


def built(name: str, *, channels: int = 3, size: int = 32, negative: bool = True, **arguments: object) -> nn.Module:
    made = build_network(name, num_outputs=5, channels=channels, size=size, arguments=arguments, seed=0)
    return drawn(made.network, negative=negative)


def pictures(count: int, channels: int = 3, size: int = 32) -> Tensor:
    drawn_pictures = torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))
    return drawn_pictures.contiguous(memory_format=torch.channels_last)


def given_by(network: nn.Module, *batches: Tensor, precision: str = "float32") -> list[Tensor]:
    """What the fused form gives for each batch, one after the other."""
    run = fused(network, device="cpu", precision=precision)
    assert run is not None
    with torch.inference_mode(), autocast(precision, "cpu"):
        return [run(batch.clone()).float() for batch in batches]


def exact(network: nn.Module, batch: Tensor) -> Tensor:
    with torch.no_grad():
        answers: Tensor = deepcopy(network).double()(batch.double())
    return answers


def assert_equal(given: Tensor, expected: Tensor) -> None:
    assert given.shape == expected.shape
    assert float((given - expected).abs().max()) <= 1e-5 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("name", WITH_CONVOLUTIONS)
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 66)])
def test_every_network_of_ours_is_fused_and_equal(name: str, channels: int, size: int) -> None:
    network, batch = built(name, channels=channels, size=size), pictures(2, channels, size)
    (given,) = given_by(network, batch)
    assert_equal(given, exact(network, batch))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("small-conv", {"width": 16, "residual": False}),
        ("small-conv", {"width": 12, "dropout": 0.5}),
        ("small-resnet", {"width": 8, "depth": 0}),
        ("small-resnet", {"width": 8, "depth": 2}),
        ("efficientnet-lite0", {"centre": True, "normalized": True}),
    ],
    ids=str,
)
def test_so_are_they_with_other_arguments(name: str, arguments: dict[str, object]) -> None:
    network, batch = built(name, **arguments), pictures(4)
    (given,) = given_by(network, batch)
    assert_equal(given, exact(network, batch))


@pytest.mark.parametrize("negative", [False, True])
def test_a_pooling_layer_before_the_normalisation_may_be_turned_over_by_it(negative: bool) -> None:
    """small-resnet pools before it normalises, which a negative scale turns from the largest to the smallest."""
    network, batch = built("small-resnet", negative=negative, width=8), pictures(4)
    (given,) = given_by(network, batch)
    assert_equal(given, exact(network, batch))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_pictures_smaller_than_the_first_kernel(size: int) -> None:
    for name in ("small-resnet", "small-conv", "lenet5"):
        network, batch = built(name, size=size), pictures(2, size=size)
        (given,) = given_by(network, batch)
        assert_equal(given, exact(network, batch))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["resnet18", "efficientnet-lite0", "small-conv"])
def test_batches_of_any_size_after_one_another(name: str, precision: str) -> None:
    """Weights are packed for the first batch; those of other sizes are answered with them, too."""
    if precision == "bfloat16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("no bfloat16 in oneDNN on this processor")
    network, whole = built(name), pictures(6)
    parts = given_by(network, whole[:2], whole[2:5], whole[5:], whole[:1], precision=precision)
    expected = exact(network, whole)
    given, scale = torch.cat(parts[:3]), float(expected.abs().max())
    off = float((given - expected).abs().max()) / scale
    assert off <= (1e-5 if precision == "float32" else 0.05)
    assert torch.allclose(parts[3], given[:1], rtol=0, atol=(1e-5 if precision == "float32" else 0.05) * scale)


@pytest.mark.parametrize("part", ["features", "features.layer1", "features.layer2", "features.layer2.0.downsample"])
def test_parts_of_a_network(part: str) -> None:
    """Residual blocks with and without a shortcut of their own."""
    network = built("resnet18", size=64).get_submodule(part)
    channels = next(m for m in network.modules() if isinstance(m, nn.Conv2d)).in_channels
    batch = pictures(2, channels, 16)
    (given,) = given_by(network, batch)
    assert_equal(given, exact(network, batch))


def test_layers_in_a_row_that_are_nobodys_network() -> None:
    shared = nn.ReLU(inplace=True)  # one module in two places
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, groups=1, dilation=1),
        shared,
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4),
        nn.BatchNorm2d(8, affine=False),
        shared,
        nn.BatchNorm2d(8),  # one that no convolution stands before
        nn.Conv2d(8, 8, 3, stride=2),
        nn.ReLU6(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(8 * 7 * 7, 5),
    )
    with torch.no_grad():
        for norm in (network[3], network[5]):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
    batch = 10 * pictures(3)
    (given,) = given_by(network.eval(), batch)
    assert_equal(given, exact(network, batch))


def test_nothing_of_the_network_changes_and_nothing_is_kept() -> None:
    network = built("resnet18")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    flags = [(parameter.requires_grad, parameter.data_ptr()) for parameter in network.parameters()]
    gc.disable()  # what is kept in a cycle is not given back in time
    try:
        given_by(network, pictures(2))
        packed = [one for one in gc.get_objects() if type(one) is Tensor and one.layout == torch._mkldnn]
    finally:
        gc.enable()
    assert not packed
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert flags == [(parameter.requires_grad, parameter.data_ptr()) for parameter in network.parameters()]
    assert not any(parameter.grad is not None for parameter in network.parameters())


def left_alone(network: nn.Module, *, device: str = "cpu", precision: str = "float32") -> bool:
    return fused(network, device=device, precision=precision) is None


@pytest.mark.parametrize("name", WITHOUT_CONVOLUTIONS)
def test_networks_without_convolutions_are_asked_themselves(name: str) -> None:
    assert left_alone(built(name))


def test_networks_that_somebody_watches_are_asked_themselves() -> None:
    network = built("lenet5")
    for put in (
        network.features[0].register_forward_hook,
        network.features[3].register_forward_pre_hook,
        network.head.register_full_backward_hook,
        nn.modules.module.register_module_forward_hook,
        nn.modules.module.register_module_forward_pre_hook,
    ):
        handle = put(lambda *_: None)
        try:
            assert left_alone(network)
        finally:
            handle.remove()
    assert not left_alone(network)
    with unchanged(network) as bare:  # which sees nothing
        assert not left_alone(bare)


def test_networks_in_training_or_of_other_numbers_are_asked_themselves() -> None:
    network = built("small-conv")
    network.features[0].train()
    assert left_alone(network)
    network.eval()
    assert not left_alone(network)
    assert left_alone(network, device="cuda")
    assert left_alone(network, precision="float16")
    assert left_alone(deepcopy(network).double())
    assert left_alone(deepcopy(network).bfloat16())
    with torch.backends.mkldnn.flags(enabled=False, allow_tf32=None):
        assert left_alone(network)


class Doubled(BasicBlock):
    """A block that computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def test_what_is_changed_or_not_known_is_asked_itself() -> None:
    assert left_alone(drawn(ResNet(5, 3, Doubled, (1, 1, 1, 1))))
    replaced = built("resnet18")
    replaced.features.layer1[0].bn1 = nn.GroupNorm(4, 64)
    assert left_alone(replaced)
    other = built("resnet18")
    other.features.layer1[0].relu = nn.ReLU6()
    assert left_alone(other)
    overridden = built("lenet5")
    overridden.forward = lambda pictures: overridden.head(overridden.features(pictures)) * 2
    assert left_alone(overridden)
    normed = built("lenet5")
    nn.utils.parametrizations.weight_norm(normed.features[0])
    assert left_alone(normed)
    circular = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), nn.ReLU()).eval()
    assert left_alone(circular)
    of_the_batch = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    assert left_alone(of_the_batch)
    theirs = build_network("torchvision/resnet18", num_outputs=5, channels=3, size=32, seed=0).network
    assert left_alone(theirs.eval())


def test_a_forward_pass_is_made_of_the_parts_that_the_fused_form_takes_from_it() -> None:
    network, batch = drawn(EfficientNetLite0(5)), pictures(2, size=33)
    with torch.no_grad():
        by_parts = network.head(network.features.pooled(network.features.spatial(batch)))
        assert torch.equal(network(batch), by_parts)
