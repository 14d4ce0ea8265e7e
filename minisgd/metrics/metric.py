"""Metric, the base class, and Mean, which tracks the loss."""

from __future__ import annotations

from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd import ops
from minisgd.tensor import Array, Tensor, as_kernel_array
from minisgd.utils.naming import auto_name


class Metric:
    """A figure that is updated batch by batch and reset at the start of each epoch."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name or auto_name(type(self).__name__)
        self.reset_state()

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take in one batch."""
        raise NotImplementedError(f"expected {type(self).__name__} to define update_state")

    def result(self) -> Tensor:
        """The figure so far, shape ()."""
        raise NotImplementedError(f"expected {type(self).__name__} to define result")

    def reset_state(self) -> None:
        """Forget all batches."""

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Update, then return the result."""
        self.update_state(*args, **kwargs)
        return self.result()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class Mean(Metric):
    """Weighted mean of all values so far: ``sum(value * weight) / sum(weight)``.

    The total is a float32, as in Keras, whose rounding a reader of the logs sees. The count is
    exact (Keras's, a float32, stops counting at 2**24).

    References
    ----------
    Keras, ``keras.metrics.Mean`` (metrics/reduction_metrics.py).
    """

    def __init__(self, name: str | None = "mean") -> None:
        super().__init__(name)

    _total: Any
    _count: float

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take in one value or an array of them; a weight each, or one for all.

        A sample with several values (axes after the first, or after the weights' last) counts once,
        with their mean.
        """
        array = as_kernel_array(values, np.float32)
        if sample_weight is None:
            array = _mean_from(array, 1)
            self._count += array.size
        else:
            weights = np.asarray(sample_weight, np.float32)
            array = _mean_from(array, weights.ndim)
            weights = np.broadcast_to(weights, array.shape)
            array, weights = _mean_from(array * weights, 1), _mean_from(weights, 1)
            self._count += float(weights.sum(dtype=np.float64))
        self._total = self._total + (array[()] if array.ndim == 0 else _total(array))

    def update_states(self, values: Array, weights: Array) -> None:
        """Take in one batch after the other: each has a float32 value and a whole weight."""
        products = values * weights.astype(np.float32)
        # `accumulate` adds from left to right, and rounds each time, as single updates do.
        self._total = np.add.accumulate(np.append(self._total, products), dtype=np.float32)[-1]
        self._count += float(weights.sum())

    def result(self) -> Tensor:
        """The mean; 0 before the first value."""
        if not self._count:
            return Tensor(np.zeros((), np.float32))
        return Tensor(self._total / np.float32(self._count))

    def reset_state(self) -> None:
        """Forget all values."""
        self._total, self._count = np.float32(0), 0.0


def _mean_from(array: Array, axis: int) -> Array:
    """Mean over the axes from `axis` on; the array itself if it has none of these."""
    if array.ndim <= axis:
        return array
    return np.asarray(ops.mean(array, list(range(axis, array.ndim))))


def _total(array: Any) -> np.float32:
    """Sum of an array in TensorFlow's order."""
    return np.float32(kernels.sum_all(as_kernel_array(array)))
