"""The order in which ``fit`` visits the samples: computed, and observed."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd.parity.sides import Side

IntArray = npt.NDArray[np.int64]


def epoch_order(n: int, seed: int) -> IntArray:
    """Seed minisgd and return its order of n samples in an epoch of `fit`.

    Parameters
    ----------
    n : int
        Number of training samples.
    seed : int
        In [0, 2**32 - 1].

    Returns
    -------
    numpy.ndarray, int64, shape (n,)
        A permutation of 0 ... n - 1.
    """
    random = importlib.import_module("minisgd.random")
    random.set_random_seed(seed)
    return np.asarray(random.epoch_order(n), dtype=np.int64)


def observed_batches(
    side: Side, n: int, seed: int | None, *, epochs: int = 1, **fit_arguments: Any
) -> list[list[list[int]]]:
    """Run `fit` on samples that carry their own index, and return the batches it made.

    Parameters
    ----------
    side : Side
        The package.
    n : int
        Number of samples, at most 2**24: an index must be exact in float32.
    seed : int or None
        Given to `set_random_seed`; None seeds nothing.
    epochs : int
        How many epochs to run.
    **fit_arguments
        Passed on to `fit`, for example ``batch_size=3, shuffle="batch"``.

    Returns
    -------
    list of list of list of int
        ``result[epoch][batch]`` holds the indices in the order of the batch.
    """
    ns = side.ns
    seen: list[list[list[int]]] = []

    class NewEpoch(ns.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            seen.append([])

    class Recorder(ns.models.Sequential):  # type: ignore[misc, name-defined]
        def train_step(self, data: Any) -> dict[str, float]:
            seen[-1].append(np.asarray(data[0])[:, 0].astype(np.int64).tolist())
            return {"loss": 0.0}

    if seed is not None:
        ns.utils.set_random_seed(seed)
    model = Recorder([ns.layers.Input((1,)), ns.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse", run_eagerly=True)
    x = np.arange(n, dtype=np.float32).reshape(n, 1)
    model.fit(x, x, epochs=epochs, verbose=0, callbacks=[NewEpoch()], **fit_arguments)
    return seen


def observed_orders(
    side: Side, n: int, seed: int | None, *, epochs: int = 1, **fit_arguments: Any
) -> list[IntArray]:
    """Return for each epoch the indices that `observed_batches` saw, batch after batch.

    Parameters
    ----------
    side, n, seed, epochs, **fit_arguments
        As in `observed_batches`.

    Returns
    -------
    list of numpy.ndarray, int64
        One array an epoch.
    """
    epochs_seen = observed_batches(side, n, seed, epochs=epochs, **fit_arguments)
    return [
        np.array([index for batch in batches for index in batch], dtype=np.int64)
        for batches in epochs_seen
    ]
