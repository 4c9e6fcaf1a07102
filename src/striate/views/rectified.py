"""The gradient with another rule at every rectifier: guided back-propagation, and deconvolution of ReLUs.

pictures (B, C, H, W) as the network takes them -> Maps; `values` (B, K, H, W): the strongest channel, never negative;
`channels` (B, K, C, H, W): with signs, a picture in colours. Rectifiers are found however they are written (modules,
functions, methods). A network with other activations (GELU, SiLU, ...) is refused: there the rules mean nothing.
"""

from __future__ import annotations

from torch import Tensor, nn

from striate.taps.rectifiers import Rule, rectifying, require_rectifiers
from striate.taps.unchanged import unchanged
from striate.views.backward import gradient_maps
from striate.views.maps import Classes, Maps, require_pictures


def guided_backpropagation(
    network: nn.Module, pictures: Tensor, classes: Classes = None, *, output: str | int | None = None
) -> Maps:
    """A rectifier lets a gradient through where its input was positive and the gradient is, too.

    Source: Springenberg, Dosovitskiy, Brox, Riedmiller 2015 (arXiv:1412.6806), section 3.4 and figure 1.
    Raises InputError: as `gradients.gradient`, and for a network with activations that are no rectifiers, by name.
    """
    return _rectified("guided-backpropagation", "guided", network, pictures, classes, output)


def deconvolution(
    network: nn.Module, pictures: Tensor, classes: Classes = None, *, output: str | int | None = None
) -> Maps:
    """A rectifier lets a gradient through where the gradient is positive, whatever its input was.

    This is the deconvnet as a rule for gradients: filters transposed, max-pooling by its switches, signals rectified on
    the way down. Source: Zeiler, Fergus 2014 (arXiv:1311.2901), section 2.1, in the form of Springenberg et al. 2015,
    figure 1. Raises InputError as `guided_backpropagation`.
    """
    return _rectified("deconvolution", "deconvolution", network, pictures, classes, output)


def _rectified(
    method: str,
    rule: Rule,
    network: nn.Module,
    pictures: Tensor,
    classes: Classes,
    output: str | int | None,
) -> Maps:
    require_pictures(pictures)
    with unchanged(network) as bare:
        require_rectifiers(bare, pictures[:1].clone(), method)
        with rectifying(rule):
            return gradient_maps(method, bare, pictures, classes, output)
