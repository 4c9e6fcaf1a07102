"""How long Grad-CAM of 16 pictures and integrated gradients of one take, beside captum and pytorch-grad-cam.

    python benchmarks/explain_methods.py

ResNet-18 at 224 pixels, random weights, float32; calls inside a process that has imported everything.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from harness import BARE, BEST, ORDINARY, STRIATE, Contender, carry_out, options, own, peer
from judging import Goal
from page import Column, Compared

NAME = "explain_methods"
CAM, LINE = "grad-cam", "integrated-gradients"
LEAST = ("least work", "least work, channels last")
LOOP = ("loop by hand", "loop by hand, channels last")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record."""
    given = options(__doc__, rounds=3, minutes=5).parse_args(arguments)
    count, last = 1 if given.quick else 5, "--channels-last"
    calls, times = ("--calls", count), "attribution_times"

    def in_both_layouts(method: str, by_hand: tuple[str, str]) -> list[Contender]:
        return [
            Contender(name="striate", way=STRIATE, measure=own("attributing", method, last, *calls)),
            Contender(name="striate, plain layout", way=STRIATE, measure=own("attributing", method, *calls)),
            Contender(name=by_hand[0], way=BARE, measure=own("attributing", method, "--by-hand", *calls)),
            Contender(name=by_hand[1], way=BARE, measure=own("attributing", method, "--by-hand", last, *calls)),
            Contender(name="captum", way=ORDINARY, measure=peer(times, method, count)),
            Contender(name="captum, best", way=BEST, measure=peer(times, method, count, "best")),
        ]

    grad_cam = [
        *in_both_layouts(CAM, LEAST),
        Contender(name="pytorch-grad-cam", way=ORDINARY, measure=peer(times, "pytorch-grad-cam", count)),
        Contender(name="forward and backward pass", way=BARE, measure=peer(times, "full", count)),
    ]
    line = in_both_layouts(LINE, LOOP)
    goals = {
        "explain_grad_cam": Goal(
            words="≤ 1.1x the least work", figure="call", contender="striate", against=LEAST, at_most=1.1
        ),
        "explain_integrated": Goal(
            words="≤ 0.6x captum's time", figure="call", contender="striate", against=("captum",), at_most=0.6
        ),
    }
    statuses = [
        carry_out(
            name,
            contenders,
            given=given,
            columns=(Column("call", "one call, s"),),
            goals=(goals[name],),
            compared=Compared("call", "striate", inverted=True),
            program=NAME,
        )
        for name, contenders in (("explain_grad_cam", grad_cam), ("explain_integrated", line))
    ]
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
