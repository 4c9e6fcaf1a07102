"""fastai on MNIST. FOLDER PICTURES EPOCHS [best].

Ordinary: a folder of PNG files. best: tensors in memory (FOLDER holds MNIST/raw), bfloat16, channels last.
"""

import sys

import torch
from clock import Clock
from fastai.callback.channelslast import ChannelsLast
from fastai.vision.all import (
    SGD,
    Callback,
    CrossEntropyLossFlat,
    DataLoader,
    DataLoaders,
    ImageDataLoaders,
    Learner,
    PILImageBW,
)
from lenet import lenet


class Timed(Callback):
    """Training apart from validation."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def before_train(self) -> None:
        self.clock.start()

    def after_train(self) -> None:
        self.clock.stop(len(self.dls.train) * 128)


class Bfloat16(Callback):
    """fastai's own MixedPrecision is for CUDA; the same on the processor."""

    def before_batch(self) -> None:
        self.context = torch.autocast("cpu", torch.bfloat16)
        self.context.__enter__()

    def after_loss(self) -> None:
        self.context.__exit__(None, None, None)


def in_memory(folder: str, pictures: int) -> DataLoaders:
    from torchvision import datasets

    data = datasets.MNIST(folder, train=True)
    inputs = data.data[:pictures, None].float().sub_(33.3).div_(78.6)
    targets = data.targets[:pictures]

    # One index for a whole batch, as fastai's own in-memory loaders do.
    class Whole(DataLoader):
        def create_batches(self, samples):
            rows = torch.as_tensor(list(samples))
            for part in rows.split(self.bs):
                if len(part) == self.bs:
                    yield inputs[part], targets[part]

    train = Whole(list(range(pictures)), bs=128, shuffle=True, drop_last=True, num_workers=0)
    valid = Whole(list(range(128)), bs=128, num_workers=0)
    return DataLoaders(train, valid)


def main(folder: str, pictures: int, epochs: int, best: bool) -> None:
    torch.manual_seed(0)
    if best:
        dls = in_memory(folder, pictures)
    else:
        dls = ImageDataLoaders.from_folder(
            folder, train="training", valid="testing", img_cls=PILImageBW, bs=128, num_workers=2
        )
    clock = Clock()
    callbacks = [Timed(clock), *([ChannelsLast(), Bfloat16()] if best else [])]
    learn = Learner(dls, lenet(), loss_func=CrossEntropyLossFlat(), opt_func=SGD, cbs=callbacks)
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs, lr=0.05)
    clock.say()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "best" in sys.argv)
