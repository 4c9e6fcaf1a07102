"""Lightning on MNIST. ROOT PICTURES EPOCHS [best].

Ordinary: torchvision's data set in a DataLoader. best: batches of tensors in memory, bf16-mixed, channels last.
"""

import logging
import sys
import warnings

import lightning
import torch
from clock import Clock
from lenet import lenet
from torch.nn import functional
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Subset, TensorDataset
from torchvision import datasets, transforms


class Lit(lightning.LightningModule):
    def __init__(self, clock: Clock, best: bool) -> None:
        super().__init__()
        self.model, self.clock, self.best = lenet(), clock, best
        if best:
            self.model = self.model.to(memory_format=torch.channels_last)

    def training_step(self, batch, index):
        return functional.cross_entropy(self.model(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9, fused=self.best or None)

    def on_train_epoch_start(self) -> None:
        self.clock.start()

    def on_train_epoch_end(self) -> None:
        self.clock.stop(self.trainer.num_training_batches * 128)


def loader(root: str, pictures: int, best: bool) -> DataLoader:
    if best:
        data = datasets.MNIST(root, train=True)
        inputs = data.data[:pictures, None].float().sub_(33.3).div_(78.6)
        tensors = TensorDataset(inputs, data.targets[:pictures])
        # A sampler of whole batches takes each with one index.
        return DataLoader(tensors, sampler=BatchSampler(RandomSampler(tensors), 128, True), batch_size=None)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    data = Subset(datasets.MNIST(root, train=True, transform=transform), range(pictures))
    return DataLoader(data, batch_size=128, shuffle=True, drop_last=True)


def main(root: str, pictures: int, epochs: int, best: bool) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    clock = Clock()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", precision="bf16-mixed" if best else "32-true", **quiet
    )
    trainer.fit(Lit(clock, best), loader(root, pictures, best))
    clock.say()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "best" in sys.argv)
