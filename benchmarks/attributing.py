"""How long one call of a view takes in Striate's environment, beside loops written by hand. Prints one line of JSON.

    python benchmarks/attributing.py grad-cam                 16 pictures
    python benchmarks/attributing.py integrated-gradients     one picture, 50 steps
    ... --by-hand          the least work: no graph below the layer; small batches along the line
    ... --channels-last    pictures laid out so, as a model of Striate's gives them to its network

torchvision's ResNet-18 at 224 pixels with random weights, float32. `call`: the median of several calls after one more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from striate.machine.threads import wait_briefly

SIZE, STEPS, CLASS, LAYER = 224, 50, 7, "layer4"
PICTURES = {"grad-cam": 16, "integrated-gradients": 1}
BY_HAND_AT_ONCE = 5


def main() -> int:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=PICTURES)
    parser.add_argument("--by-hand", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--calls", type=int, default=5, metavar="N", help="calls [5]")
    given = parser.parse_args()
    wait_briefly()  # as the command does, before torch is imported
    import torch
    from torchvision import models

    torch.manual_seed(0)
    network = models.resnet18().eval()
    pictures = torch.randn(PICTURES[given.method], 3, SIZE, SIZE)
    if given.channels_last:
        pictures = pictures.to(memory_format=torch.channels_last)
    if given.by_hand:
        by_hand = {"grad-cam": least_grad_cam, "integrated-gradients": least_integrated_gradients}[given.method]
        print(json.dumps({"call": timed(lambda: by_hand(network, pictures), given.calls)}))
        return 0
    from striate.views import VIEWS

    view, place = VIEWS[given.method].load(), {"layer": LAYER} if given.method == "grad-cam" else {}
    print(json.dumps({"call": timed(lambda: view(network, pictures, CLASS, **place), given.calls)}))
    return 0


def timed(call: Callable[[], Any], count: int) -> float:
    """Seconds of a call, the median of so many."""
    call()
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def least_grad_cam(network: Any, pictures: Any) -> Any:
    """A forward pass without graph up to the layer, with one above it, and the formula."""
    import torch
    from torch.nn import functional

    with torch.no_grad():
        maps = network.maxpool(network.relu(network.bn1(network.conv1(pictures))))
        maps = network.layer4(network.layer3(network.layer2(network.layer1(maps))))
    maps.requires_grad_()
    scores = network.fc(network.avgpool(maps).flatten(1))
    (gradient,) = torch.autograd.grad(scores[:, CLASS].sum(), maps)
    with torch.no_grad():
        small = (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu()
        return functional.interpolate(small, size=pictures.shape[2:], mode="bilinear")


def least_integrated_gradients(network: Any, pictures: Any) -> Any:
    """Forward and backward passes of a few points of the line at a time."""
    import numpy as np
    import torch

    places, weights = np.polynomial.legendre.leggauss(STEPS)
    total = torch.zeros_like(pictures)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for first in range(0, STEPS, BY_HAND_AT_ONCE):
        some = slice(first, first + BY_HAND_AT_ONCE)
        alphas = torch.tensor((places[some] + 1) / 2, dtype=torch.float32)[:, None, None, None]
        points = (alphas * pictures).requires_grad_()
        (gradient,) = torch.autograd.grad(network(points)[:, CLASS].sum(), points)
        total += (torch.tensor(weights[some] / 2, dtype=torch.float32)[:, None, None, None] * gradient).sum(dim=0)
    return total * pictures


if __name__ == "__main__":
    sys.exit(main())
