"""ResNet-18 on a folder of JPEGs: PyTorch and torchvision. FOLDER WEIGHTS CLASSES [single] [best].

single: one picture at a time, as the first example anyone writes. Else batches of 32 from a DataLoader with two
workers. best: bfloat16 autocast and channels last.
"""

import json
import sys
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms
from weights import torchvision_state

TRANSFORM = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


class Files(Dataset):
    def __init__(self, folder: str) -> None:
        self.files = sorted(Path(folder).glob("*.jpg"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return TRANSFORM(Image.open(self.files[index]).convert("RGB"))


def main(folder: str, weights: str, classes: int, single: bool, best: bool) -> None:
    layout = torch.channels_last if best else torch.contiguous_format
    model = models.resnet18(num_classes=classes)
    model.load_state_dict(torchvision_state(weights))
    model = model.eval().to(memory_format=layout)
    data = Files(folder)
    batches = (one[None] for one in data) if single else DataLoader(data, batch_size=32, num_workers=2)
    answers = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=best):
        for pictures in batches:
            answers += model(pictures.to(memory_format=layout)).argmax(1).tolist()
    print(json.dumps({"pictures": len(answers)}))


if __name__ == "__main__":
    main(*sys.argv[1:3], int(sys.argv[3]), "single" in sys.argv, "best" in sys.argv)
