"""Keras 3 on torch: the arrays in memory, `compile` and `fit`. ROOT PICTURES EPOCHS [best].

best: the policy mixed_bfloat16.
"""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras
from clock import Clock
from keras import layers


class Timed(keras.callbacks.Callback):
    """The time of each epoch; there is no validation."""

    def __init__(self, clock: Clock, pictures: int) -> None:
        super().__init__()
        self.clock, self.pictures = clock, pictures

    def on_epoch_begin(self, epoch, logs=None):
        self.clock.start()

    def on_epoch_end(self, epoch, logs=None):
        self.clock.stop(self.pictures)


def main(root: str, pictures: int, epochs: int, best: bool) -> None:
    from torchvision import datasets

    keras.utils.set_random_seed(0)
    if best:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    data = datasets.MNIST(root, train=True)
    inputs = data.data[:pictures].numpy()[..., None].astype("float32") / 255
    targets = data.targets[:pictures].numpy()
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss)
    clock = Clock()
    model.fit(inputs, targets, batch_size=128, epochs=epochs, verbose=0, callbacks=[Timed(clock, pictures)])
    clock.say()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "best" in sys.argv)
