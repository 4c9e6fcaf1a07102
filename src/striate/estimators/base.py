"""What the estimators share: parameters, checked arrays, a model that can be pickled, and steps.

An estimator follows scikit-learn's rules: `__init__` keeps its arguments as they are, `fit` checks them, what is
learned ends with an underscore, and what cannot be used raises ValueError. Legend: n pictures, h w pixels, c channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y, validate_data

from striate.errors import InputError, unknown
from striate.estimators.asked import check_settings
from striate.estimators.fitting import Fitted, pass_once, stepping_of
from striate.estimators.keeping import Kept, kept, restored
from striate.estimators.layout import Layout, Stack, layout_of
from striate.models.model import Model
from striate.tasks.task import TableTask
from striate.training.recipe import Recipe
from striate.training.settings import from_mapping
from striate.training.stepping import Stepping

LARGEST_SEED = 2**31 - 1
# Where a fitted model lies in a pickle.
KEPT = "_kept"


class ImageEstimator(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """An estimator whose `_fitted` is a network."""

    network: str | None
    image_shape: tuple[int, ...] | None
    random_state: Any
    device: str

    _fitted: Fitted
    layout_: Layout

    def _pictures(self, X: Any, *, reset: bool = False) -> Stack:
        """The pictures of `X`; with `reset`, what `X` means is decided by it. Raises ValueError."""
        if not reset:
            check_is_fitted(self, "layout_")
        X = _put_together(X)
        shape = tuple(getattr(X, "shape", ()))
        if not reset and 2 <= len(shape) < self.layout_.dimensions and shape == self.layout_.shape[: len(shape)]:
            raise ValueError(f"X must hold pictures, got one of shape {shape}; X[None] is an array of one")
        flat = getattr(X, "ndim", 2) <= 2
        array = validate_data(self, X, reset=reset) if flat else check_array(X, allow_nd=True)
        return self._laid_out(array, reset=reset)

    def _pairs(self, X: Any, y: Any, *, reset: bool, numeric: bool) -> tuple[Stack, np.ndarray]:
        """The pictures of `X` and their `y`, as numbers where it is to be `numeric`. Raises ValueError."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        X = _put_together(X)
        if getattr(X, "ndim", 2) <= 2:
            array, targets = validate_data(self, X, y, reset=reset, y_numeric=numeric, multi_output=numeric)
        else:
            array, targets = check_X_y(X, y, allow_nd=True, y_numeric=numeric, multi_output=numeric)
        return self._laid_out(array, reset=reset), targets

    def _laid_out(self, array: np.ndarray, *, reset: bool) -> Stack:
        with as_value_errors():
            if reset:
                self.layout_ = layout_of(array, self.image_shape)
                # validate_data counts the fields of two dimensions, and has no word for pictures.
                self.n_features_in_ = int(np.prod(array.shape[1:]))
            return self.layout_.stack(array)

    def _recipe(self, given: Mapping[str, Any], further: Mapping[str, Any] | None) -> Recipe:
        """What is asked for: `given`, and `further` fields of `Recipe`. Raises ValueError."""
        values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        values["seed"] = int(check_random_state(self.random_state).randint(LARGEST_SEED))
        values["device"] = self.device
        with as_value_errors():
            known = [field.name for field in fields(Recipe)]
            for name in further or {}:
                if name not in known:
                    raise unknown("setting", str(name), known)
            return from_mapping(Recipe, {**values, **(further or {})}, type(self).__name__)

    def __getstate__(self) -> dict[str, Any]:
        """Without torch's objects: the weights are safetensors bytes."""
        state: dict[str, Any] = dict(super().__getstate__())
        fitted = state.pop("_fitted", None)
        state.pop("_stepping", None)
        if fitted is not None:
            state[KEPT] = kept(fitted)
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """What `__getstate__` gave."""
        values = dict(state)
        one = values.pop(KEPT, None)
        super().__setstate__(values)
        if isinstance(one, Kept):
            self._fitted = restored(one, self.device)

    def __sklearn_tags__(self) -> Any:
        """Pictures have more than two dimensions."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class LearningEstimator(ImageEstimator):
    """An estimator whose network is trained, all at once or pass by pass."""

    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    augment: str
    settings: Mapping[str, Any] | None

    _numbers = False  # whether numbers are learned, not classes
    _stepping: Stepping
    _passes: int  # of the pictures, that are done

    @property
    def model_(self) -> Model:
        """The `striate.Model`, which can be explained and looked into."""
        check_is_fitted(self, "_fitted")
        return self._fitted.model

    def _asked(self, *, once: bool = False) -> Recipe:
        """The recipe; with `once`, that of single passes at a constant rate. Raises ValueError."""
        if self.augment is None:  # which elsewhere means chosen from the data
            raise ValueError("augment must be one of auto, none, got None")
        further = self.settings if self.settings is not None else {}
        if not isinstance(further, Mapping):
            raise ValueError(f"settings must be fields of striate.Recipe by their names, got {further!r:.80}")
        # Auto is what a recipe takes where nothing is said, which L-BFGS asks for.
        augment = {} if self.augment == "auto" else {"name": self.augment}
        if isinstance(further.get("augment"), Mapping):
            # What else is said of it does not take the argument's word back.
            further = {**further, "augment": {**augment, **further["augment"]}}
        given = {
            "network": self.network,
            "epochs": 1 if once else self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "augment": augment,
            "schedule": {"name": "constant"} if once else None,
        }
        asked = self._recipe(given, further)
        with as_value_errors():
            check_settings(asked, numbers=self._numbers, line=self.layout_.line)
        return asked

    def _begin_anew(self) -> None:
        for name in ("_fitted", "_stepping", "_passes"):
            self.__dict__.pop(name, None)

    def _pass_once(self, pictures: Stack, task: TableTask, weights: np.ndarray | None) -> None:
        """One pass over `pictures` from where the network stands."""
        if not hasattr(self, "_stepping"):
            self._stepping, self._passes = stepping_of(self._fitted), getattr(self, "_passes", 0)
        self._passes = pass_once(self._fitted, self._stepping, self._passes, pictures, task, weights)


def _put_together(X: Any) -> Any:
    """A list of pictures, or a column of them, as one array; anything else as it is. Raises ValueError for pictures of
    several sizes."""
    column = getattr(getattr(X, "dtype", None), "kind", "") == "O" and getattr(X, "ndim", 0) == 1
    if not (isinstance(X, list | tuple) or column) or not len(X):
        return X
    pictures = list(X)
    shapes = {np.shape(picture) for picture in pictures}
    if min(len(shape) for shape in shapes) < 2:
        return X
    if len(shapes) > 1:
        told = " and ".join(map(str, sorted(shapes)[:2]))
        raise ValueError(f"X must hold pictures of one shape, got {told}; bring them to one size first")
    return np.asarray(pictures)


@contextmanager
def as_value_errors() -> Iterator[None]:
    """Mistakes of the caller's as scikit-learn wants them: ValueError."""
    try:
        yield
    except InputError as error:
        raise ValueError(str(error)) from error
