"""A plain loop over `uint8` tensors in memory, written by hand. ROOT PICTURES EPOCHS [best] [threads=N].

best: bfloat16, channels last, fused optimizer.
"""

import sys

import torch
from clock import Clock
from lenet import lenet
from torch.nn import functional
from torchvision import datasets


def main(root: str, pictures: int, epochs: int, best: bool) -> None:
    torch.manual_seed(0)
    data = datasets.MNIST(root, train=True)
    inputs, targets = data.data[:pictures, None], data.targets[:pictures]
    layout = torch.channels_last if best else torch.contiguous_format
    model = lenet().to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, fused=best or None)
    clock = Clock()
    for _ in range(epochs):
        clock.start()
        order = torch.randperm(len(inputs)).split(128)
        for rows in order[: len(inputs) // 128]:
            batch = inputs[rows].to(memory_format=layout).float().sub_(33.3).div_(78.6)
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=best):
                loss = functional.cross_entropy(model(batch), targets[rows])
            loss.backward()
            optimizer.step()
        clock.stop(len(inputs) // 128 * 128)
    clock.say()


if __name__ == "__main__":
    for word in sys.argv:
        if word.startswith("threads="):
            torch.set_num_threads(int(word.removeprefix("threads=")))
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "best" in sys.argv)
