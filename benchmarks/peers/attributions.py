"""The maps of captum and pytorch-grad-cam for the networks of attribution_networks.py. INPUTS OUTPUTS.

INPUTS: a file of torch with {name: {"state", "pictures", "classes"}}. OUTPUTS: {name: {method: tensor}}, a map for each
picture and class, (B, K, C, H, W) or (B, K, h, w).
"""

import json
import sys
import warnings

import numpy as np
import torch
from attribution_networks import subjects
from captum.attr import (
    Deconvolution,
    GuidedBackprop,
    GuidedGradCam,
    InputXGradient,
    IntegratedGradients,
    LayerGradCam,
    Saliency,
)
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

STEPS_AT_ONCE = 10


def raw(kind, network, layer, pictures, target):
    """pytorch-grad-cam's map before it is stretched to [0, 1] and to the size of the picture."""

    class Raw(kind):
        def get_cam_image(self, *arguments):
            self.cells = super().get_cam_image(*arguments)
            return self.cells

    with Raw(network, [layer]) as view:
        view(pictures, [ClassifierOutputTarget(target)] * len(pictures))
        return torch.from_numpy(np.maximum(view.cells, 0))


def maps(network, layer, pictures, target):
    """{method: (B, ...)} of one class."""
    place = network.get_submodule(layer)
    integrated = IntegratedGradients(network)
    found = {
        "gradient": Saliency(network).attribute(pictures, target=target, abs=False),
        "input-x-gradient": InputXGradient(network).attribute(pictures, target=target),
        "guided-backpropagation": GuidedBackprop(network).attribute(pictures, target=target),
        "deconvolution": Deconvolution(network).attribute(pictures, target=target),
        "integrated-gradients": integrated.attribute(pictures, target=target, internal_batch_size=STEPS_AT_ONCE),
        "grad-cam": LayerGradCam(network, place).attribute(pictures, target=target, relu_attributions=True)[:, 0],
        "guided-grad-cam": GuidedGradCam(network, place).attribute(
            pictures, target=target, interpolate_mode="bilinear"
        ),
        "grad-cam of pytorch-grad-cam": raw(GradCAM, network, place, pictures, target),
        "grad-cam++ of pytorch-grad-cam": raw(GradCAMPlusPlus, network, place, pictures, target),
    }
    return {method: one.detach() for method, one in found.items()}


def main(inputs, outputs):
    given, found = torch.load(inputs, weights_only=True), {}
    for name, subject in subjects().items():
        one = given[name]
        subject.network.load_state_dict(one["state"])
        each = [maps(subject.network, subject.layer, one["pictures"], target) for target in one["classes"]]
        found[name] = {method: torch.stack([of[method] for of in each], dim=1) for method in each[0]}
    torch.save(found, outputs)
    print(json.dumps({"networks": len(found)}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # captum says that it hooks ReLUs
    main(*sys.argv[1:])
