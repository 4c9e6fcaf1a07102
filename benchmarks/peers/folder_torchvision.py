"""torchvision: ImageFolder and DataLoader, ResNet-18, random resized crop and flip. FOLDER SIZE EPOCHS BATCH [best].

best: bfloat16 autocast, channels last, fused optimizer, persistent workers, and JPEGs decoded by Pillow at a reduced
scale where they are large (`Image.draft`, to no less than twice the size).
"""

import sys
from pathlib import Path

import torch
from clock import Clock
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def reduced(path: str, size: int) -> Image.Image:
    with Image.open(path) as picture:
        picture.draft("RGB", (2 * size, 2 * size))
        return picture.convert("RGB")


def main(folder: str, size: int, epochs: int, batch: int, best: bool) -> None:
    torch.manual_seed(0)
    both = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    vary = transforms.Compose([transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), *both])
    plain = transforms.Compose([transforms.Resize(size * 8 // 7), transforms.CenterCrop(size), *both])
    reader = {"loader": lambda path: reduced(path, size)} if best else {}
    train = datasets.ImageFolder(Path(folder) / "train", vary, **reader)
    valid = datasets.ImageFolder(Path(folder) / "validation", plain, **reader)
    workers = {"num_workers": 2, "persistent_workers": best}
    loader = DataLoader(train, batch_size=batch, shuffle=True, drop_last=True, **workers)
    held_back = DataLoader(valid, batch_size=batch, num_workers=0)
    layout = torch.channels_last if best else torch.contiguous_format
    model = models.resnet18(num_classes=len(train.classes)).to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4, fused=best or None)
    clock = Clock()
    for _ in range(epochs):
        model.train()
        clock.start()
        for inputs, targets in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=best):
                loss = functional.cross_entropy(model(inputs.to(memory_format=layout)), targets)
            loss.backward()
            optimizer.step()
        clock.stop(len(loader) * batch)
        model.eval()
        with torch.no_grad():
            right = sum(int((model(inputs).argmax(1) == targets).sum()) for inputs, targets in held_back)
    clock.say(validation_accuracy=right / len(valid))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), "best" in sys.argv)
