"""Which settings of a recipe count for arrays in memory: what cannot is refused, and never passed over in silence."""

from __future__ import annotations

from dataclasses import fields, replace

from striate.actions.few import FOR_STEPS
from striate.actions.rows import OF_PICTURES
from striate.errors import require
from striate.training.recipe import Recipe
from striate.training.schedules import watches_validation

IN_MEMORY = "X lies in memory as it is"
COMPUTED = "steps are computed in float32, on the cores that this process may use"
# Setting -> what is so here instead.
ELSEWHERE = {
    "from_run": "ImageFeatures(run=...) takes the network of a run",
    "minutes": "epochs says how long",
    "patience": "all of X is learned from, and nothing is held back to watch",
    "class_weights": "class_weight says it",
    "task": "the estimator says it",
    "targets": "y says it",
    "labels": "y says it",
    "angles": "the numbers in y have no names",
    "root": IN_MEMORY,
    "stream": IN_MEMORY,
    "strict": IN_MEMORY,
    "fold": "cross_val_score does it",
    "share": "a part of X does it",
    "keep_epochs": "nothing is written",
    "processes": "n_jobs of scikit-learn's tools does it",
    **dict.fromkeys(("precision", "layout", "threads", "compile", "allocator", "reference"), COMPUTED),
}


def check_settings(recipe: Recipe, *, numbers: bool, line: bool) -> None:
    """Refuse what cannot count. numbers: those are learned, not classes; line: X holds fields and no pictures.

    Raises InputError.
    """
    plain = Recipe()
    for name, here in ELSEWHERE.items():
        value = getattr(recipe, name)
        require(value == getattr(plain, name), f"settings: {name} is for striate train; here {here}; leave it away")
    require(
        not watches_validation(recipe.schedule),
        f"settings: schedule {recipe.schedule.name} watches validation, and all of X is learned from; take step",
    )
    if numbers:
        for name in ("balance", "label_smoothing"):
            require(not getattr(recipe, name), f"settings: {name} is of classes, and these are numbers; leave it away")
    if line:
        for name in OF_PICTURES:
            require(not getattr(recipe, name), f"settings: {name} is of pictures, and X has fields; leave it away")
        require(recipe.mean == plain.mean, "settings: mean picture is of pictures, and X has fields; leave it away")
        varied = replace(recipe.augment, name=None)
        given = [one.name for one in fields(varied) if getattr(varied, one.name)]
        require(not given, f"settings: fields are not varied; leave augment.{given[0] if given else ''} away")


def idle_beside_a_head(recipe: Recipe) -> tuple[str, ...]:
    """The settings that were given and play no part in fitting a head on the pretrained network."""
    plain, asked = Recipe(), replace(recipe, augment=replace(recipe.augment, name=None))
    return tuple(name for name in FOR_STEPS if getattr(asked, name) != getattr(plain, name))
