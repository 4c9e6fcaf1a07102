"""Do the views that others have too give what theirs give? captum, pytorch-grad-cam; three networks, random weights.

    python benchmarks/parity_views.py

The figure is the largest difference of any value as a share of the largest value of the peer: for gradients and kin
channel by channel, of Grad-CAM at the size of the layer's map. Two pictures of noise, two classes asked for at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import PROGRAMS, STRIATE, Contender, carry_out, options, peer, workplace
from judging import Goal
from page import Column

sys.path.append(str(PROGRAMS / "peers"))

NAME = "parity_views"
PICTURES, CLASSES = 2, (3, 7)
BOUND, WORST = 1e-4, "worst"
WITH_CHANNELS = (
    *("gradient", "input-x-gradient", "guided-backpropagation", "deconvolution"),
    *("integrated-gradients", "guided-grad-cam"),
)
# What is added to a denominator there, and not in the paper, counts where gradients are small.
NO_GOAL = {"grad-cam++ of pytorch-grad-cam": "which adds 1e-6 to the denominator of eq. 19"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute, compare, record."""
    given = options(__doc__, rounds=1, minutes=2).parse_args(arguments)
    with workplace() as folder:
        figures = compare(folder)
    names = [name for name in next(iter(figures.values())) if name != WORST]
    contenders = [
        Contender(name=method, way=STRIATE, note=NO_GOAL.get(method, ""), measure=lambda method=method: figures[method])
        for method in figures
    ]
    goals = [
        Goal(words=f"{method}: within {BOUND:g}", figure=WORST, contender=method, at_most=BOUND)
        for method in figures
        if method not in NO_GOAL
    ]
    return carry_out(
        NAME,
        contenders,
        given=given,
        columns=[Column(name, f"{name}, difference") for name in names],
        goals=goals,
        compared=None,
    )


def compare(folder: Path) -> dict[str, dict[str, float]]:
    """{method: {network, or the worst of them: largest difference as a share of the peer's largest value}}."""
    import torch
    from attribution_networks import subjects

    torch.manual_seed(0)
    chosen = subjects()
    inputs: dict[str, Any] = {
        name: {
            "state": one.network.state_dict(),
            "pictures": torch.randn(PICTURES, one.channels, one.size, one.size),
            "classes": list(CLASSES),
        }
        for name, one in chosen.items()
    }
    torch.save(inputs, folder / "inputs.pt")
    peer("attributions", folder / "inputs.pt", folder / "outputs.pt")()
    theirs = torch.load(folder / "outputs.pt", weights_only=True)
    figures: dict[str, dict[str, float]] = {}
    for name, one in chosen.items():
        for method, expected in theirs[name].items():
            found = ours(method.partition(" of ")[0], one.network, inputs[name]["pictures"], one.layer)
            if found.shape != expected.shape:
                raise ValueError(f"{method}, {name}: {tuple(found.shape)} against {tuple(expected.shape)}")
            share = float((found - expected).abs().max() / expected.abs().max())
            figures.setdefault(method, {})[name] = share
    return {method: {**shares, WORST: max(shares.values())} for method, shares in figures.items()}


def ours(method: str, network: Any, pictures: Any, layer: str) -> Any:
    """(B, K, C, H, W), or (B, K, h, w) of Grad-CAM."""
    from striate.views import VIEWS

    place = {"layer": layer} if "grad-cam" in method else {}
    maps = VIEWS[method].load()(network, pictures, CLASSES, **place)
    return maps.channels if method in WITH_CHANNELS else maps.small


if __name__ == "__main__":
    sys.exit(main())
