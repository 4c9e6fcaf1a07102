"""fastai's book, chapter 13: MNIST from PNG files, five convolutions with batch norm, one-cycle. FOLDER [EPOCHS].

Howard and Gugger, "Deep Learning for Coders", 13_convolutions: `simple_cnn`, batches of 512, rate 0.06. Two epochs are
the fewest that reached 99.0 % when this was written (99.07 %).
"""

import json
import sys

from fastai.vision.all import (
    CategoryBlock,
    DataBlock,
    Flatten,
    GrandparentSplitter,
    ImageBlock,
    Learner,
    PILImageBW,
    accuracy,
    get_image_files,
    nn,
    parent_label,
    sequential,
)
from fastai.vision.all import F as functional


def conv(ni: int, nf: int, ks: int = 3, act: bool = True) -> nn.Sequential:
    layers = [nn.Conv2d(ni, nf, stride=2, kernel_size=ks, padding=ks // 2)]
    if act:
        layers.append(nn.ReLU())
    layers.append(nn.BatchNorm2d(nf))
    return nn.Sequential(*layers)


def main(folder: str, epochs: int) -> None:
    block = DataBlock(
        blocks=(ImageBlock(cls=PILImageBW), CategoryBlock),
        get_items=get_image_files,
        splitter=GrandparentSplitter("training", "testing"),
        get_y=parent_label,
    )
    dls = block.dataloaders(folder, bs=512, num_workers=2)
    network = sequential(conv(1, 8, ks=5), conv(8, 16), conv(16, 32), conv(32, 64), conv(64, 10, act=False), Flatten())
    learn = Learner(dls, network, loss_func=functional.cross_entropy, metrics=accuracy)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, 0.06)
    print(json.dumps({"test_accuracy": float(learn.recorder.values[-1][-1]), "epochs": epochs}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2)
