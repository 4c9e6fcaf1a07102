"""ImageNet's class names against torchvision's list of the same 1,000 classes."""

from __future__ import annotations

import subprocess
import sys

from torchvision.models import ResNet18_Weights

from striate.networks.imagenet_names import imagenet_names


def test_names_are_in_the_order_of_torchvisions() -> None:
    names, theirs = imagenet_names(), ResNet18_Weights.DEFAULT.meta["categories"]
    assert len(names) == len(set(names)) == 1000
    equal = sum(name.casefold() == other.casefold() for name, other in zip(names, theirs, strict=True))
    # Theirs writes some with another of the words ("sunglasses", "dark glasses").
    assert equal >= 950, equal
    assert names[134] == "crane (n02012849)"
    assert names[517] == "crane (n03126707)"
    assert names[639] == "maillot, tank suit"


def test_timm_is_not_imported_for_them() -> None:
    code = (
        "import sys; from striate.networks.imagenet_names import imagenet_names as n; n();"
        "sys.exit(any(one in sys.modules for one in ('timm', 'torch', 'torchvision')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
