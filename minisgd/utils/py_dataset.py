"""PyDataset: batches by their number, from a class of the user's own (Keras: ``keras.utils``)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from minisgd.utils.warn import warn_user


class PyDataset:
    """Base class of data sets whose batches are made when they are asked for.

    A subclass has ``__getitem__(index)``, which returns one batch, ``(x, y)`` or
    ``(x, y, sample_weight)``, and ``__len__``, the number of batches (or a property
    ``num_batches``, which may be None: without end). `fit` calls ``on_epoch_end`` once before the
    first epoch and then after each, as Keras does.

    Parameters
    ----------
    workers : int, default 1
    use_multiprocessing : bool, default False
    max_queue_size : int, default 10
        Accepted as in Keras; batches are made in the thread that trains, in their order.

    Notes
    -----
    With ``fit(shuffle=True)`` the order of the batches is drawn anew in every epoch from Python's
    global `random`, which `set_random_seed` seeds: the order is Keras's.

    Examples
    --------
    >>> import numpy as np
    >>> class Ramp(PyDataset):
    ...     def __len__(self):
    ...         return 2
    ...
    ...     def __getitem__(self, index):
    ...         x = np.arange(4) + 4 * index
    ...         return x, 2 * x
    >>> [x.tolist() for x, y in Ramp()]
    [[0, 1, 2, 3], [4, 5, 6, 7]]

    References
    ----------
    Keras, ``keras/src/trainers/data_adapters/py_dataset_adapter.py``.
    """

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        """The batch with this number."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        """All batches in their order."""
        batches = self.num_batches
        for index in count() if batches is None else range(batches):
            yield self[index]

    @property
    def num_batches(self) -> int | None:
        """How many batches there are; None: without end."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(
            "You need to implement the `num_batches` property: expected `__len__`, or a property "
            f"`num_batches`, in {type(self).__name__}."
        )

    def on_epoch_begin(self) -> None:
        """Called when an epoch begins."""

    def on_epoch_end(self) -> None:
        """Called before the first epoch, and when an epoch has ended."""


def warn_unless_initialized(dataset: PyDataset) -> None:
    """Warn of a subclass whose ``__init__`` does not call its parent's."""
    if not hasattr(dataset, "max_queue_size"):
        warn_user(
            "Your `PyDataset` class should call `super().__init__(**kwargs)` in its constructor: "
            f"{type(dataset).__name__} does not.",
        )
