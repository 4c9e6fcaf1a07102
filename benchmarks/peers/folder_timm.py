"""timm: its data set and its loader, ResNet-18, random resized crop and flip. FOLDER SIZE EPOCHS BATCH [best].

best: bfloat16 autocast, channels last, fused optimizer.
"""

import sys

import timm
import torch
from clock import Clock
from timm.data import create_dataset, create_loader
from torch.nn import functional


def main(folder: str, size: int, epochs: int, batch: int, best: bool) -> None:
    torch.manual_seed(0)
    common = {
        "input_size": (3, size, size),
        "batch_size": batch,
        "device": torch.device("cpu"),
        "use_prefetcher": False,
    }
    train, valid = (create_dataset("", folder, split=split) for split in ("train", "validation"))
    loader = create_loader(train, is_training=True, color_jitter=0.0, num_workers=2, **common)
    held_back = create_loader(valid, num_workers=0, persistent_workers=False, **common)
    layout = torch.channels_last if best else torch.contiguous_format
    classes = len(train.reader.class_to_idx)
    model = timm.create_model("resnet18", num_classes=classes).to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4, fused=best or None)
    clock = Clock()
    for _ in range(epochs):
        model.train()
        clock.start()
        seen = 0
        for inputs, targets in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=best):
                loss = functional.cross_entropy(model(inputs.to(memory_format=layout)), targets)
            loss.backward()
            optimizer.step()
            seen += len(inputs)
        clock.stop(seen)
        model.eval()
        with torch.no_grad():
            right = sum(int((model(inputs).argmax(1) == targets).sum()) for inputs, targets in held_back)
    clock.say(validation_accuracy=right / len(valid))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]), "best" in sys.argv)
