"""Keras's MNIST example: its network, Adam, batch 128, 15 epochs, a tenth for validation. ROOT [EPOCHS].

Written after keras-io, examples/vision/mnist_convnet.py. It ends here where validation reaches 99.0 %.
"""

import json
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras
from keras import layers


class Enough(keras.callbacks.Callback):
    """The example trains all 15 epochs; this spares it those that it does not need."""

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_accuracy"] >= 0.99:
            self.model.stop_training = True


def main(root: str, epochs: int) -> None:
    from torchvision import datasets

    def arrays(train: bool):
        data = datasets.MNIST(root, train=train)
        inputs = data.data.numpy()[..., None].astype("float32") / 255
        return inputs, keras.utils.to_categorical(data.targets.numpy(), 10)

    (x_train, y_train), (x_test, y_test) = arrays(True), arrays(False)
    model = keras.Sequential(
        [
            keras.Input(shape=(28, 28, 1)),
            layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    history = model.fit(
        x_train, y_train, batch_size=128, epochs=epochs, validation_split=0.1, verbose=0, callbacks=[Enough()]
    )
    accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
    print(json.dumps({"test_accuracy": float(accuracy), "epochs": len(history.epoch)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 15)
