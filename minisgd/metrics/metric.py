"""Metric, the base class, and Mean, which tracks the loss."""

from __future__ import annotations

from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd import initializers, ops
from minisgd.tensor import Array, Tensor, Variable, as_kernel_array
from minisgd.utils.dtypes import check_dtype
from minisgd.utils.naming import auto_name


class Metric:
    """A figure that is updated batch by batch and reset at the start of each epoch.

    Subclasses define `update_state` and `result`; what they count in is kept in variables that
    `add_variable` makes, or in attributes that their own `reset_state` resets.

    Parameters
    ----------
    dtype : {None, "float32"}
        Accepted as in Keras.
    name : str, optional

    References
    ----------
    Keras, ``keras.metrics.Metric`` (metrics/metric.py).
    """

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or auto_name(type(self).__name__)
        self.dtype = check_dtype(dtype)
        self._variables: list[Variable] = []

    def add_variable(
        self,
        shape: tuple[int, ...],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> Variable:
        """A variable that `reset_state` sets to zeros; not trainable.

        Parameters
        ----------
        shape : tuple of int
        initializer : str or Initializer
        dtype, aggregation
            Accepted as in Keras.
        name : str, optional
        """
        values = initializers.get(initializer)(tuple(shape))
        variable = Variable(values, name=name, trainable=False)
        self._variables.append(variable)
        return variable

    def add_weight(
        self,
        shape: tuple[int, ...] = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        name: str | None = None,
    ) -> Variable:
        """See `add_variable`."""
        return self.add_variable(shape, initializer or "zeros", dtype, name=name)

    @property
    def variables(self) -> list[Variable]:
        """What `add_variable` made."""
        return list(self._variables)

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take in one batch."""
        raise NotImplementedError(f"expected {type(self).__name__} to define update_state")

    def result(self) -> Any:
        """The figure so far: a Tensor of shape (), more of them, or a dict of such."""
        raise NotImplementedError(f"expected {type(self).__name__} to define result")

    def reset_state(self) -> None:
        """Forget all batches."""
        for variable in self._variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """Metric with these arguments."""
        return cls(**config)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Update, then return the result."""
        self.update_state(*args, **kwargs)
        return self.result()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def count_up(total: Any, increment: Any) -> Any:
    """A counter after `increment`: what Keras's float32 has below 2**24, and exact from there on.

    Below, a sum of whole numbers is exact in float32; one of fractions is rounded to it. A float32
    of 2**24 counts no further, so larger counters are kept in float64.

    Parameters
    ----------
    total : float or numpy.ndarray
        The counter; not changed.
    increment : float or numpy.ndarray
    """
    if np.ndim(total) == np.ndim(increment) == 0:
        plain = float(total) + float(increment)
        return np.float64(np.float32(plain) if abs(plain) < 2.0**24 else plain)
    exact = np.asarray(total, np.float64) + np.asarray(increment, np.float64)
    return np.where(np.abs(exact) < 2.0**24, exact.astype(np.float32), exact)[()]


def quotient(a: Any, b: Any) -> Any:
    """``a / b`` in float32, and 0 where b is 0 (TensorFlow: ``divide_no_nan``)."""
    a, b = np.asarray(a).astype(np.float32), np.asarray(b).astype(np.float32)
    with np.errstate(all="ignore"):
        return np.where(b == 0, np.float32(0), a / np.where(b == 0, np.float32(1), b))[()]


class Mean(Metric):
    """Weighted mean of all values so far: ``sum(value * weight) / sum(weight)``.

    The total is a float32, as in Keras, whose rounding a reader of the logs sees. The count is
    exact (Keras's, a float32, stops counting at 2**24).

    References
    ----------
    Keras, ``keras.metrics.Mean`` (metrics/reduction_metrics.py).
    """

    _total: Any
    _count: float

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        Mean.reset_state(self)

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take in one value or an array of them; a weight each, or one for all.

        A sample with several values (axes after the first, or after the weights' last) counts once,
        with their mean.
        """
        array = as_kernel_array(values, np.float32)
        if sample_weight is None:
            array = mean_from(array, 1)
            self._count += array.size
        elif array.ndim == np.ndim(sample_weight) == 0:  # the loss of a batch
            weight = np.float32(sample_weight)
            self._count = float(count_up(self._count, weight))
            array = array * weight
        else:
            array, weights = weighted(array, sample_weight, mean_from)
            self._count = float(count_up(self._count, total(weights)))
        self._total = self._total + total(array)

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


def weighted(array: Array, sample_weight: Any, reduce_from: Any) -> tuple[Array, Array]:
    """Values times their weights, and the weights, one of each a sample.

    References
    ----------
    Keras, ``reduce_to_samplewise_values`` (metrics/reduction_metrics.py).
    """
    weights = as_kernel_array(sample_weight, np.float32)
    if weights.ndim == array.ndim + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    array = reduce_from(array, weights.ndim)
    weights = np.broadcast_to(weights, array.shape)
    return reduce_from(array * weights, 1), reduce_from(weights, 1)


def mean_from(array: Array, axis: int) -> Array:
    """Mean over the axes from `axis` on; the array itself if it has none of these."""
    if array.ndim <= axis:
        return array
    return np.asarray(ops.mean(array, list(range(axis, array.ndim))))


def total(array: Any) -> np.float32:
    """Sum of an array in TensorFlow's order."""
    array = as_kernel_array(array)
    return np.float32(array[()] if array.ndim == 0 else kernels.sum_all(array.reshape(-1)))
