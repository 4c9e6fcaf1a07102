"""The name of a view as a person writes it."""

from __future__ import annotations

# Where it is not the name in words.
TITLES = {
    "grad-cam": "Grad-CAM",
    "grad-cam++": "Grad-CAM++",
    "guided-grad-cam": "Guided Grad-CAM",
    "smoothgrad": "SmoothGrad",
    "input-x-gradient": "Input times gradient",
    "guided-backpropagation": "Guided back-propagation",
}


def title_of(view: str) -> str:
    """The title of a row of `VIEWS`: "Grad-CAM" for grad-cam, "Integrated gradients" for integrated-gradients."""
    return TITLES.get(view, view.replace("-", " ").capitalize())
