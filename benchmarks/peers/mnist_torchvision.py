"""torchvision's MNIST and a DataLoader, as PyTorch's tutorials have it. ROOT PICTURES EPOCHS [best].

best: two persistent workers, bfloat16, channels last, fused optimizer.
"""

import sys

import torch
from clock import Clock
from lenet import lenet
from torch.nn import functional
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms


def main(root: str, pictures: int, epochs: int, best: bool) -> None:
    torch.manual_seed(0)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    data = Subset(datasets.MNIST(root, train=True, transform=transform), range(pictures))
    workers = {"num_workers": 2, "persistent_workers": True} if best else {}
    loader = DataLoader(data, batch_size=128, shuffle=True, drop_last=True, **workers)
    layout = torch.channels_last if best else torch.contiguous_format
    model = lenet().to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, fused=best or None)
    clock = Clock()
    for _ in range(epochs):
        clock.start()
        for inputs, targets in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=best):
                loss = functional.cross_entropy(model(inputs.to(memory_format=layout)), targets)
            loss.backward()
            optimizer.step()
        clock.stop(len(loader) * 128)
    clock.say()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "best" in sys.argv)
