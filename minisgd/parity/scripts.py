"""The three training scripts, each written once and run under both packages.

Every function takes the namespace ``ns``: the ``keras`` or the ``minisgd`` module.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
BATCH_SIZE = 32
EPOCHS = 10


@dataclass(frozen=True)
class Data:
    """MNIST as the scripts use it.

    Attributes
    ----------
    x_train, x_test : numpy.ndarray, float32, shape (N, 784)
        Images in [0, 1].
    y_train, y_test : numpy.ndarray, shape (N, 10)
        One-hot labels.
    """

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def load_data(ns: Any) -> Data:
    """Return the bundled MNIST, prepared by the namespace's own `to_categorical`.

    Parameters
    ----------
    ns : module
        ``keras`` or ``minisgd``. The pixels always come from the file bundled with minisgd.
    """
    mnist = importlib.import_module("minisgd.datasets.mnist")
    (x_train, y_train), (x_test, y_test) = mnist.load_data()

    def flat(x: Array) -> Array:
        return x.reshape(len(x), 784).astype("float32") / np.float32(255)

    return Data(
        flat(x_train),
        ns.utils.to_categorical(y_train, 10),
        flat(x_test),
        ns.utils.to_categorical(y_test, 10),
    )


def tensorflow_scheduler(epoch: int, lr: float) -> Any:
    """Return the third script's rate: constant for five epochs, then times exp(-0.1).

    The result is a TensorFlow tensor from epoch 5 on, which minisgd takes. Keras 3 does not:
    `keras_scheduler` is the same expression as a float.
    """
    tf = importlib.import_module("tensorflow")
    return lr if epoch < 5 else lr * tf.math.exp(-0.1)


def keras_scheduler(epoch: int, lr: float) -> float:
    """Return `tensorflow_scheduler`'s value as a Python float."""
    return float(tensorflow_scheduler(epoch, lr))


def numpy_scheduler(epoch: int, lr: float) -> float:
    """Return the same float32 value as `tensorflow_scheduler`, without TensorFlow.

    Both factors and the product are float32. ``lr * math.exp(-0.1)`` is computed in float64
    and ends an ulp away: another run.
    """
    return lr if epoch < 5 else float(np.float32(lr) * np.exp(np.float32(-0.1)))


Scheduler = Callable[[int, float], Any]
Watch = Callable[[str, int, int], None]


def unwatched(phase: str, done: int, total: int) -> None:
    """Take note of nothing; a `Watch` is told what is being done, and how many of its steps."""


@dataclass(frozen=True)
class Script:
    """One training script: the network 784-128-10 with one optimizer.

    Attributes
    ----------
    number : int
        1, 2 or 3.
    title : str
        What distinguishes it.
    optimizer : callable
        ``optimizer(ns)`` returns what is given to `compile`.
    scheduled : bool
        Whether a LearningRateScheduler goes with it.
    """

    number: int
    title: str
    optimizer: Callable[[Any], Any]
    scheduled: bool = False

    def build_model(self, ns: Any) -> Any:
        """Return the network, not compiled. Draws two seeds from Python's `random`."""
        dense = ns.layers.Dense
        return ns.models.Sequential(
            [
                dense(128, activation="relu", input_shape=(784,)),
                dense(10, activation="softmax"),
            ]
        )

    def compile(self, ns: Any, model: Any) -> None:
        """Compile the model in place with this script's optimizer."""
        model.compile(
            optimizer=self.optimizer(ns),
            loss="categorical_crossentropy",
            metrics=["accuracy"],
        )

    def callbacks(self, ns: Any, scheduler: Scheduler) -> list[Any]:
        """Return this script's callbacks: none, or one LearningRateScheduler."""
        return [ns.callbacks.LearningRateScheduler(scheduler)] if self.scheduled else []

    def begin_epoch(self, ns: Any, model: Any, epoch: int, scheduler: Scheduler) -> None:
        """Do to a model what `fit` does at the start of an epoch: set the scheduled rate."""
        for callback in self.callbacks(ns, scheduler):
            callback.set_model(model)
            callback.on_epoch_begin(epoch)

    def start(self, ns: Any, seed: int) -> Any:
        """Seed the namespace, then return the compiled network with its initial weights.

        Parameters
        ----------
        ns : module
            ``keras`` or ``minisgd``.
        seed : int
            In [0, 2**32 - 1].
        """
        ns.utils.set_random_seed(seed)
        model = self.build_model(ns)
        self.compile(ns, model)
        return model


SCRIPTS = {
    1: Script(1, "SGD, learning rate 0.01", lambda ns: "sgd"),
    2: Script(
        2,
        "SGD, learning rate 0.01, momentum 0.9",
        lambda ns: ns.optimizers.SGD(learning_rate=0.01, momentum=0.9),
    ),
    3: Script(
        3,
        "SGD, learning rate 0.1, scheduled",
        lambda ns: ns.optimizers.SGD(learning_rate=0.1),
        scheduled=True,
    ),
}
