"""The first layer of an exported file that gives something else than the model's own, for one picture.

The order is that of execution: the preprocessing, the network's places as `taps` finds them, the decoding.
"""

from __future__ import annotations

import numpy as np

from striate.data.decode import as_pixels
from striate.exports.opened import Opened
from striate.models.model import Model
from striate.taps.places import find_places
from striate.taps.unchanged import unchanged
from striate.taps.watching import watching

# Of the largest value that a layer gives: sums in another order differ by less, another computation by more.
SHARE = 1e-3


def first_difference(opened: Opened, model: Model, picture: np.ndarray) -> str:
    """In words, for a picture (H, W, 3) `uint8`: which layer differs first."""
    found = opened.layers(picture[None])
    prepared = model.prepare(as_pixels(picture))[None]
    brought = found.get("bring")
    expected = prepared.float().numpy()
    if brought is not None and (brought.shape != expected.shape or _apart(brought, expected) > 0):
        return "the preprocessing differs: the resize, the crop or the colours"
    inputs = model.inputs(prepared.to(model.device))
    normalized = found.get("normalize")
    if normalized is not None and _apart(normalized, inputs.cpu().numpy()) > SHARE:
        return "the preprocessing differs: the normalisation"
    with unchanged(model.network) as bare:
        places = find_places(bare, inputs)
        # Of a module that is called several times the file does not tell the calls apart.
        again = {place.name.partition("#")[0] for place in places if "#" in place.name}
        once = [place for place in places if place.name not in again and "#" not in place.name]
        with watching(bare, [place.name for place in once]) as seen:
            bare(inputs)
        for place in once:
            there, own = found.get(f"network.{place.name}"), seen.get(place.name)
            if there is not None and own is not None and _apart(there, own.cpu().numpy()) > SHARE:
                return f"the first layer that differs is '{place.name}' ({place.kind})"
    return "no layer differs by itself: small differences add up, or the decoding of the network's outputs differs"


def _apart(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference as a share of the largest value; 0 for what has another shape and is no such output."""
    if found.shape != expected.shape:
        return 0.0
    return float(np.abs(found.astype(np.float64) - expected).max() / max(float(np.abs(expected).max()), 1e-6))
