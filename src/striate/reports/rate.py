"""The page of a learning-rate range test: the loss over the rate, and the rate that it suggests."""

from __future__ import annotations

import math

from striate.reports.environment import environment
from striate.reports.lines import Series, line_chart
from striate.training.range_test import RateTest

HIGHEST_DRAWN = 1.5  # times the first loss: what came after it has diverged would hide the rest


def rate_page(test: RateTest, source: str) -> str:
    """One HTML document. `source`: what the user named."""
    top = HIGHEST_DRAWN * max(test.smoothed[0], test.losses[0])
    chart = line_chart(
        "Loss by learning rate",
        [math.log10(rate) for rate in test.rates],
        [
            Series(name="smoothed", values=[loss if loss <= top else None for loss in test.smoothed]),
            Series(name="each step", values=[loss if loss <= top else None for loss in test.losses], style="two"),
        ],
        x_name="learning rate, as a power of ten",
        mark=math.log10(test.suggested),
    )
    facts = [
        ("suggested", f"{test.suggested:g}", "a fifteenth of the highest rate that it bears"),
        ("bears", f"{test.stable_until:.2g}", "from there the loss comes down again"),
        ("lowest loss at", f"{test.lowest_at:.2g}", "smoothed"),
        ("fell fastest at", f"{test.steepest_at:.2g}", ""),
        ("diverged at", "never" if test.diverged_at is None else f"{test.diverged_at:.2g}", ""),
        ("taken by itself", f"{test.chosen:.2g}", f"{test.optimizer}, {test.batch_size} a step"),
    ]
    page = environment().get_template("rate.html")
    return page.render(test=test, source=source, chart=chart, facts=facts)
