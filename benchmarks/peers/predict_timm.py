"""ResNet-18 on a folder of JPEGs: timm's model, data set and loader. FOLDER CLASSES [best].

best: bfloat16 autocast and channels last. timm's weights have other names; random ones take as long.
"""

import json
import sys

import timm
import torch
from timm.data import ImageDataset, create_loader
from timm.data.readers.reader_image_folder import ReaderImageFolder


def main(folder: str, classes: int, best: bool) -> None:
    layout = torch.channels_last if best else torch.contiguous_format
    model = timm.create_model("resnet18", num_classes=classes).eval().to(memory_format=layout)
    data = ImageDataset(folder, reader=ReaderImageFolder(folder))
    loader = create_loader(
        data, input_size=(3, 224, 224), batch_size=32, num_workers=2, device=torch.device("cpu"), use_prefetcher=False
    )
    count = 0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=best):
        for pictures, _ in loader:
            count += len(model(pictures.to(memory_format=layout)).argmax(1))
    print(json.dumps({"pictures": count}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), "best" in sys.argv)
