"""fastai: `fine_tune(3)` of the pretrained EfficientNet-Lite0, as its quick start shows it. FOLDER [EPOCHS] [best].

FOLDER holds train/ and test/. best: bfloat16 autocast and channels last.
"""

import json
import sys

import torch
from fastai.callback.channelslast import ChannelsLast
from fastai.vision.all import (
    Callback,
    ImageDataLoaders,
    Learner,
    Normalize,
    Resize,
    accuracy,
    aug_transforms,
    nn,
    params,
)
from fastai.vision.learner import add_head
from lite0 import lite0


class Bfloat16(Callback):
    """fastai's own MixedPrecision is for CUDA; the same on the processor."""

    def before_batch(self) -> None:
        self.context = torch.autocast("cpu", torch.bfloat16)
        self.context.__enter__()

    def after_loss(self) -> None:
        self.context.__exit__(None, None, None)


class Body(nn.Module):
    """What fastai makes of a timm network: everything before the pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.model = lite0()

    def forward(self, pictures):
        return self.model.forward_features(pictures)


def main(folder: str, epochs: int, best: bool) -> None:
    torch.manual_seed(0)
    dls = ImageDataLoaders.from_folder(
        folder,
        train="train",
        valid="test",
        bs=32,
        num_workers=2,
        item_tfms=Resize(256),
        batch_tfms=[*aug_transforms(size=224), Normalize.from_stats([0.5] * 3, [0.5] * 3)],
    )
    # As `vision_learner` does for a timm network whose weights it can fetch.
    model = add_head(Body(), 1280, len(dls.vocab))
    callbacks = [ChannelsLast(), Bfloat16()] if best else []
    learn = Learner(dls, model, metrics=accuracy, splitter=lambda net: [params(net[0]), params(net[1])], cbs=callbacks)
    learn.freeze()
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(epochs)
    print(json.dumps({"test_accuracy": float(learn.recorder.values[-1][-1])}))


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[2:] if word.isdigit()]
    main(sys.argv[1], numbers[0] if numbers else 3, "best" in sys.argv)
