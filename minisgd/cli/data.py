"""Images for the commands: a data set by its name, or a file."""

from __future__ import annotations

from dataclasses import dataclass

import click
import numpy as np

from minisgd import datasets, utils
from minisgd.tensor import Array

PIXELS, CLASSES = 784, 10
_NAMES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}


@dataclass(frozen=True)
class Data:
    """Images as rows of float32 in [0, 1], labels one-hot."""

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def load(name: str, parameter: str = "'--data'") -> Data:
    """Read a data set by its name, or a file; `parameter` is what an error calls it.

    Raises
    ------
    click.ClickException
        If it is missing or not usable; the message says how to obtain it.
    """
    try:
        if name == "fashion-mnist":
            split = datasets.fashion_mnist.load_data()
        elif name == "mnist":
            split = datasets.mnist.load_data()
        else:
            split = datasets.mnist.load_data(name)
    except (OSError, ValueError) as error:
        if name in _NAMES:
            raise click.ClickException(str(error)) from error
        text = (
            f"no file {name}: expected mnist, fashion-mnist or an .npz file"
            if isinstance(error, FileNotFoundError)
            else str(error)
        )
        raise click.BadParameter(text, param_hint=parameter) from error
    (x_train, y_train), (x_test, y_test) = split
    return Data(
        _NAMES.get(name, name),
        rows(x_train),
        utils.to_categorical(y_train, CLASSES),
        rows(x_test),
        utils.to_categorical(y_test, CLASSES),
    )


def rows(images: Array) -> Array:
    """Images of bytes, shape (N, 28, 28), as the network takes them: float32, shape (N, 784)."""
    return images.reshape(-1, PIXELS).astype("float32") / np.float32(255)
