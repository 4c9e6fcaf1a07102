"""fastai: ImageDataLoaders, ResNet-18 from nothing, random resized crop and flip. FOLDER SIZE EPOCHS BATCH [best].

best: bfloat16 autocast and channels last.
"""

import sys

import torch
from clock import Clock
from fastai.callback.channelslast import ChannelsLast
from fastai.vision.all import (
    SGD,
    Callback,
    CrossEntropyLossFlat,
    FlipItem,
    ImageDataLoaders,
    Learner,
    Normalize,
    RandomResizedCrop,
    accuracy,
    imagenet_stats,
)
from torchvision.models import resnet18


class Timed(Callback):
    """Training apart from validation."""

    def __init__(self, clock: Clock, batch: int) -> None:
        self.clock, self.batch_size = clock, batch

    def before_train(self) -> None:
        self.clock.start()

    def after_train(self) -> None:
        self.clock.stop(len(self.dls.train) * self.batch_size)


class Bfloat16(Callback):
    """fastai's own MixedPrecision is for CUDA; the same on the processor."""

    def before_batch(self) -> None:
        self.context = torch.autocast("cpu", torch.bfloat16)
        self.context.__enter__()

    def after_loss(self) -> None:
        self.context.__exit__(None, None, None)


def main(folder: str, size: int, epochs: int, batch: int, best: bool) -> None:
    torch.manual_seed(0)
    dls = ImageDataLoaders.from_folder(
        folder,
        train="train",
        valid="validation",
        bs=batch,
        num_workers=2,
        item_tfms=[RandomResizedCrop(size, min_scale=0.08), FlipItem()],
        batch_tfms=Normalize.from_stats(*imagenet_stats),
    )
    clock = Clock()
    callbacks = [Timed(clock, batch), *([ChannelsLast(), Bfloat16()] if best else [])]
    model = resnet18(num_classes=len(dls.vocab))
    learn = Learner(dls, model, loss_func=CrossEntropyLossFlat(), opt_func=SGD, metrics=accuracy, cbs=callbacks)
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs, lr=0.05)
    clock.say(validation_accuracy=float(learn.recorder.values[-1][-1]))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), "best" in sys.argv)
