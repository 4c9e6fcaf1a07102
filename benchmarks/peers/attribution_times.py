"""How long one call takes with captum and pytorch-grad-cam. WHAT CALLS [best].

grad-cam (captum), pytorch-grad-cam, full (a whole forward and backward pass): 16 pictures. integrated-gradients (of
captum): one picture, 50 steps. best: five points of the line at a time and channels last, in place of all 50.
torchvision's ResNet-18 at 224 pixels, random weights. Prints the median of CALLS calls after one more.
"""

import json
import statistics
import sys
import time

import torch
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchvision import models

SIZE, PICTURES, CLASS, AT_ONCE = 224, 16, 7, 5


def main(what, count, best):
    torch.manual_seed(0)
    network = models.resnet18().eval()
    pictures = torch.randn(1 if what == "integrated-gradients" else PICTURES, 3, SIZE, SIZE)
    if best:
        network, pictures = (one.to(memory_format=torch.channels_last) for one in (network, pictures))
    cam, integrated = LayerGradCam(network, network.layer4), IntegratedGradients(network)
    other = GradCAM(network, [network.layer4])
    at_once = {"internal_batch_size": AT_ONCE} if best else {}
    calls = {
        "grad-cam": lambda: LayerAttribution.interpolate(
            cam.attribute(pictures, target=CLASS, relu_attributions=True), (SIZE, SIZE), "bilinear"
        ),
        "pytorch-grad-cam": lambda: other(pictures, [ClassifierOutputTarget(CLASS)] * PICTURES),
        "full": lambda: network(pictures)[:, CLASS].sum().backward(),
        "integrated-gradients": lambda: integrated.attribute(pictures, target=CLASS, **at_once),
    }
    calls[what]()
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        calls[what]()
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"call": statistics.median(seconds)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), "best" in sys.argv)
