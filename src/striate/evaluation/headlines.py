"""The one figure that stands for a task wherever runs are ranked, averaged over folds, or looked ahead from.

`HEADLINES` maps the name of a task (in `striate.tasks.TASKS`) to it. Of each of them more is better, and 1 is perfect.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Headline:
    """`figure`: its name in an evaluation. `name`: in sentences and on pages; `short`: in a column of a terminal.

    share: whether it is a share of pictures, and so written in percent. lowest: what it is at worst. needs: what a test
    must have for it, as the end of a sentence; "" where every test gives it.
    """

    figure: str
    name: str
    short: str
    share: bool
    lowest: float
    needs: str


HEADLINES: dict[str, Headline] = {
    "classification": Headline(figure="accuracy", name="accuracy", short="accuracy", share=True, lowest=0.0, needs=""),
    "multilabel": Headline(
        figure="mean_average_precision",
        name="mean average precision",
        short="mAP",
        share=False,
        lowest=0.0,
        needs="more are needed, of which some have each label and some do not",
    ),
    # Not the mean absolute error, which is in units of its own: of several numbers the one that is spread most would
    # decide the order, and runs on other numbers could not stand in one list. R2 has no units, as for scikit-learn's
    # regressors. How far off answers are, in units, is in the report of each run.
    "regression": Headline(
        figure="r2",
        name="R²",
        short="R2",
        share=False,
        lowest=float("-inf"),
        needs="two at least are needed, with numbers that differ",
    ),
}
