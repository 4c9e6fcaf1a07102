"""captum's Occlusion as its documentation shows it. NETWORK REFERENCE SIZE PLACES_AT_ONCE (1 is its default)."""

import sys
import time

import torch
from captum.attr import Occlusion
from occluded import SQUARE, STRIDE, TARGET, network, picture, say


def main(name: str, reference: str, size: str, at_once: str) -> None:
    model, given = network(name), picture(int(size))
    with torch.no_grad():
        model(given)
    began = time.perf_counter()
    found = Occlusion(model).attribute(
        given,
        sliding_window_shapes=(3, SQUARE, SQUARE),
        strides=(3, STRIDE, STRIDE),
        target=TARGET,
        perturbations_per_eval=int(at_once),
    )
    say(time.perf_counter() - began, found[0, 0], reference)


if __name__ == "__main__":
    main(*sys.argv[1:])
