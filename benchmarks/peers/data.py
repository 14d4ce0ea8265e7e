"""What all peers train on: the same pixels, labels and initial weights, made with NumPy alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Params = list[tuple[Array, Array]]

LEARNING_RATE = 0.01
CLASSES = 10


def load(job: SimpleNamespace) -> tuple[Array, Array]:
    """Return ``x`` (samples, 784) and one-hot ``y`` (samples, 10), float32.

    ``job.pixels`` is "raw" (in [0, 1], four of five exactly 0) or "standardised" (mean 0,
    deviation 1: no zeros). More samples than MNIST has repeat it. With ``job.folder`` both arrays
    are memory-mapped from there instead.
    """
    if job.folder:
        x, y = (np.load(Path(job.folder, name), mmap_mode="r") for name in ("x.npy", "y.npy"))
        return x, y
    images, labels = _mnist()
    index = np.arange(job.samples) % len(images)
    x = images[index].reshape(job.samples, -1).astype(np.float32) / np.float32(255)
    if job.pixels == "standardised":
        x -= x.mean()
        x /= x.std()
    return x, np.eye(CLASSES, dtype=np.float32)[labels[index]]


def initial(layers: list[int]) -> Params:
    """Return kernel and bias of each layer: Glorot's uniform draw, and zeros."""
    draw = np.random.default_rng(0)
    params = []
    for inputs, units in zip(layers, layers[1:], strict=False):
        limit = np.sqrt(6 / (inputs + units))
        kernel = draw.uniform(-limit, limit, (inputs, units)).astype(np.float32)
        params.append((kernel, np.zeros(units, np.float32)))
    return params


def steps(job: SimpleNamespace, samples: int) -> int:
    """Return the number of steps of an epoch; the last one takes what is left over."""
    return -(-samples // job.batch_size)


def _mnist() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """MNIST's training images from minisgd's file, without importing minisgd."""
    found = importlib.util.find_spec("minisgd")
    if found is None or found.origin is None:
        raise ImportError("minisgd, whose file of MNIST images all peers read, is not installed")
    with np.load(Path(found.origin).parent / "datasets" / "mnist.npz") as file:
        return file["x_train"], file["y_train"]
