"""A hand-written loop over covered pictures. NETWORK REFERENCE SIZE PLACES_AT_ONCE [best]: bfloat16, channels last."""

import sys
import time

import torch
from occluded import SQUARE, STRIDE, TARGET, network, picture, say


def main(name: str, reference: str, size: str, at_once: str, *best: str) -> None:
    layout = torch.channels_last if best else torch.contiguous_format
    model, given = network(name).to(memory_format=layout), picture(int(size))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bool(best)):
        model(given)
        began = time.perf_counter()
        edges = range(0, int(size) - SQUARE + 1, STRIDE)
        places = [(top, left) for top in edges for left in edges]
        clean, drops, counts = model(given)[0, TARGET].float(), torch.zeros(int(size), int(size)), 0
        for first in range(0, len(places), int(at_once)):
            some = places[first : first + int(at_once)]
            batch = given.repeat(len(some), 1, 1, 1)
            for row, (top, left) in enumerate(some):
                batch[row, :, top : top + SQUARE, left : left + SQUARE] = 0
            scores = model(batch.to(memory_format=layout))[:, TARGET].float()
            for (top, left), score in zip(some, scores, strict=True):
                square = torch.zeros_like(drops)
                square[top : top + SQUARE, left : left + SQUARE] = 1
                drops, counts = drops + (clean - score) * square, counts + square
    say(time.perf_counter() - began, drops / counts, reference)


if __name__ == "__main__":
    main(*sys.argv[1:])
