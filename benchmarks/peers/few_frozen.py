"""Frozen features of EfficientNet-Lite0 and scikit-learn's logistic regression. FOLDER [best].

Shorter side to 256 (bicubic), centre crop 224. best: bfloat16 autocast and channels last.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from lite0 import lite0
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from torchvision.transforms import InterpolationMode


def features(model: torch.nn.Module, folder: Path, best: bool) -> tuple[np.ndarray, np.ndarray]:
    transform = transforms.Compose(
        [
            transforms.Resize(256, interpolation=InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
    )
    layout = torch.channels_last if best else torch.contiguous_format
    rows, targets = [], []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=best):
        for pictures, labels in DataLoader(datasets.ImageFolder(folder, transform), batch_size=32, num_workers=2):
            maps = model.forward_features(pictures.to(memory_format=layout))
            rows.append(maps.float().mean((2, 3)))
            targets.append(labels)
    return torch.cat(rows).numpy(), torch.cat(targets).numpy()


def main(folder: str, best: bool) -> None:
    model = lite0().eval()
    if best:
        model = model.to(memory_format=torch.channels_last)
    train, test = (features(model, Path(folder) / split, best) for split in ("train", "test"))
    fitted = LogisticRegression(C=1, max_iter=5000).fit(*train)
    print(json.dumps({"test_accuracy": float(fitted.score(*test))}))


if __name__ == "__main__":
    main(sys.argv[1], "best" in sys.argv)
