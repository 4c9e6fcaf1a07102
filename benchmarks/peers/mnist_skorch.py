"""skorch on MNIST: the arrays in memory and `fit`. ROOT PICTURES EPOCHS [best].

best: whole batches by one index, bfloat16, channels last, fused optimizer.
"""

import sys

import torch
from clock import Clock
from lenet import lenet
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn
from torchvision import datasets


class Timed(Callback):
    """There is no validation."""

    def __init__(self, clock: Clock, pictures: int) -> None:
        self.clock, self.pictures = clock, pictures

    def on_epoch_begin(self, net, **_):
        self.clock.start()

    def on_epoch_end(self, net, **_):
        self.clock.stop(self.pictures)


class InBfloat16(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = lenet().to(memory_format=torch.channels_last)

    def forward(self, pictures):
        with torch.autocast("cpu", torch.bfloat16):
            return self.network(pictures).float()


class WholeBatches:
    """An iterator that takes each batch with one index."""

    def __init__(self, data, batch_size=128, shuffle=True, drop_last=True):
        self.inputs, self.targets = torch.from_numpy(data.X), torch.from_numpy(data.y)

    def __iter__(self):
        for rows in torch.randperm(len(self.inputs)).split(128):
            if len(rows) == 128:
                yield self.inputs[rows], self.targets[rows]


def main(root: str, pictures: int, epochs: int, best: bool) -> None:
    torch.manual_seed(0)
    data = datasets.MNIST(root, train=True)
    pictures = pictures // 128 * 128
    inputs = (data.data[:pictures, None].float().sub_(33.3).div_(78.6)).numpy()
    clock = Clock()
    more = {"iterator_train": WholeBatches, "optimizer__fused": True} if best else {"iterator_train__shuffle": True}
    net = NeuralNetClassifier(
        InBfloat16 if best else lenet,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=0.05,
        batch_size=128,
        max_epochs=epochs,
        train_split=None,
        verbose=0,
        callbacks=[Timed(clock, pictures)],
        **more,
    )
    net.fit(inputs, data.targets[:pictures].numpy())
    clock.say()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "best" in sys.argv)
