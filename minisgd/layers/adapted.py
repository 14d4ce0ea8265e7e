"""Normalization: inputs with a mean and variance that are given, or learnt by `adapt`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from minisgd import ops
from minisgd.config import EPSILON
from minisgd.layers.layer import Layer, Shape
from minisgd.tensor import Array, Tensor, Variable

_AT_ONCE = 128  # samples of a tf.data.Dataset without batches


class Normalization(Layer):
    """``(x - mean) / max(sqrt(variance), 1e-7)``, one mean and variance a feature.

    They are arguments, or `adapt` takes them from data before training; they never change in it.

    Parameters
    ----------
    axis : int, tuple of int or None
        Axes whose elements have a mean and variance each; None: one for all.
    mean, variance : float or array_like, optional
        Both or neither; they broadcast to the lengths of `axis`. Steps of a model with such a layer
        run eagerly; what `adapt` sets is compiled.
    invert : bool
        Compute ``mean + x * max(sqrt(variance), 1e-7)`` instead.

    Attributes
    ----------
    mean, variance : Tensor, of the input's number of axes, or None before `build`

    Raises
    ------
    ValueError
        If one of `mean` and `variance` is missing, or their shapes differ or have too many axes.

    Examples
    --------
    >>> import numpy as np
    >>> from minisgd import layers
    >>> layer = layers.Normalization()
    >>> layer.adapt(np.array([[1, 10], [3, 30]], np.float32))
    >>> layer(np.array([[1, 40]], np.float32)).numpy()
    array([[-1.,  2.]], dtype=float32)

    References
    ----------
    Keras, ``keras.layers.Normalization`` (layers/preprocessing/normalization.py).
    """

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if axis is None:
            self.axis: tuple[int, ...] = ()
        else:
            self.axis = (axis,) if isinstance(axis, int) else tuple(axis)
        if (mean is None) != (variance is None):
            msg = (
                "When setting values directly, both `mean` and `variance` must be set. Received: "
                f"mean={mean} and variance={variance}"
            )
            raise ValueError(msg)
        if np.shape(mean) != np.shape(variance):
            msg = (
                "When setting values directly, `mean` and `variance` must have the same shape. "
                f"Received: mean shape {np.shape(mean)} and variance shape {np.shape(variance)}"
            )
            raise ValueError(msg)
        if np.ndim(mean) > len(self.axis):
            msg = (
                "The rank of `mean` must be less than or equal to the number of axes "
                f"({len(self.axis)}). Received: mean shape {np.shape(mean)} for axis {self.axis}"
            )
            raise ValueError(msg)
        self.input_mean, self.input_variance, self.invert = mean, variance, invert
        self._expected: Shape | None = None  # lengths of the axes that are kept, None elsewhere

    def build(self, input_shape: Shape) -> None:
        """Make the weights that `adapt` sets: mean, variance and a counter that stays 0."""
        ndim = len(input_shape)
        if any(not -ndim <= a < ndim for a in self.axis):
            msg = (
                "All `axis` values must be in the range [-ndim, ndim). Received inputs with "
                f"ndim={ndim}, while axis={self.axis}"
            )
            raise ValueError(msg)
        kept = sorted(a % ndim for a in self.axis)
        for axis in kept:
            if input_shape[axis] is None:
                msg = (
                    "All `axis` values to be kept must have a known shape. Received axis="
                    f"{self.axis}, inputs.shape={tuple(input_shape)}, with unknown axis at index "
                    f"{axis}"
                )
                raise ValueError(msg)
        self._expected = tuple(n if a in kept else None for a, n in enumerate(input_shape))
        if self.input_mean is None:
            shape = tuple(input_shape[a] or 0 for a in kept)
            self.adapt_mean: Variable = self.add_weight(
                shape, "zeros", name="mean", trainable=False
            )
            self.adapt_variance: Variable = self.add_weight(
                shape, "ones", name="variance", trainable=False
            )
            self.count: Variable = self.add_weight(
                (), "zeros", np.int64, name="count", trainable=False
            )

    @property
    def mean(self) -> Tensor | None:
        """What is subtracted."""
        return self._of(self.input_mean, "adapt_mean")

    @property
    def variance(self) -> Tensor | None:
        """The square of what is divided by."""
        return self._of(self.input_variance, "adapt_variance")

    def _of(self, given: Any, weight: str) -> Tensor | None:
        if self._expected is None:
            return None
        shape = tuple(n or 1 for n in self._expected)
        if given is None:
            return ops.reshape(getattr(self, weight), shape)
        values = ops.convert_to_tensor(given, self._dtype)
        kept = [a for a, n in enumerate(self._expected) if n is not None]
        aligned = [1] * len(shape)
        for axis, length in zip(reversed(kept), reversed(values.shape), strict=False):
            aligned[axis] = length
        return ops.broadcast_to(ops.reshape(values, aligned), shape)

    def adapt(self, data: Any) -> None:
        """Take mean and variance from data; what was there before is forgotten.

        Parameters
        ----------
        data : array_like, or iterable of batches
            An array (N, ...), or a list, generator, `PyDataset` or ``tf.data.Dataset`` that yields
            batches of samples, or tuples that begin with one.

        Raises
        ------
        TypeError, ValueError
            If it is nothing of these, has no batches, or does not fit the shape of `build`; or if
            the layer's mean and variance are arguments.
        """
        if self.input_mean is not None:
            raise ValueError("`adapt`: this layer has the mean and variance of its arguments")
        if hasattr(data, "__array__"):
            array = np.asarray(data)
            axes = self._axes_over(array, "data")
            mean, variance = np.mean(array, axis=axes), np.var(array, axis=axes)
        else:
            mean, variance = self._moments(_batches(data))
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(variance)

    def _axes_over(self, array: Array, what: str) -> tuple[int, ...]:
        """Axes that mean and variance are taken over; builds the layer if it is not built."""
        if not self.built:
            self._build((None, *array.shape[1:]) if array.ndim > 1 else array.shape)
        expected = self._expected or ()
        fits = array.ndim == len(expected) and all(
            n in (None, length) for n, length in zip(expected, array.shape, strict=True)
        )
        if not fits:
            msg = (
                f"`adapt`: expected {what} of shape {expected} (None: any length), as the layer "
                f"was built for, received an incompatible shape, {array.shape}"
            )
            raise ValueError(msg)
        return tuple(a for a, n in enumerate(expected) if n is None)

    def _moments(self, batches: Iterator[Any]) -> tuple[Any, Any]:
        """Mean and variance of all batches, in float32, as Keras accumulates them."""
        first = next(batches, None)
        if first is None:
            raise ValueError(
                "adapt() received an empty iterable (no batches). Expected at least one batch."
            )
        mean = variance = Tensor(np.zeros((), np.float32))
        total = 0
        for item in chain([first], batches):
            array = np.asarray(item[0] if isinstance(item, tuple) else item)
            if array.dtype.kind not in "fiub" or not array.ndim:
                raise TypeError(
                    "adapt() expects an iterable that yields arrays or tensors with a `.shape` "
                    f"attribute. Got an element of type {type(item).__name__}."
                )
            axes = self._axes_over(array, "a batch")
            batch = ops.cast(array, self.dtype)
            batch_mean = ops.mean(batch, axes, keepdims=True)
            batch_variance = ops.mean(ops.square(batch - batch_mean), axes)
            batch_mean = ops.reshape(batch_mean, batch_variance.shape)
            count = math.prod(array.shape[a] for a in axes)
            total += count
            new = count / total
            new_mean = mean * (1.0 - new) + batch_mean * new
            variance = (variance + ops.square(mean - new_mean)) * (1.0 - new) + (
                batch_variance + ops.square(batch_mean - new_mean)
            ) * new
            mean = new_mean
        return mean, variance

    def check_input(self, shape: Shape) -> None:
        """Refuse inputs of other lengths than those of mean and variance."""
        expected = self._expected
        if expected is None:
            return
        if len(shape) != len(expected) or any(
            None not in (n, length) and n != length
            for n, length in zip(expected, shape, strict=True)
        ):
            msg = (
                f"Input 0 of layer '{self.name}' is incompatible with the layer: expected shape "
                f"{expected} (None: any length), but received input with shape {tuple(shape)}"
            )
            raise ValueError(msg)

    def call(self, inputs: Tensor) -> Tensor:
        """The normalized inputs, or with `invert` what was normalized."""
        mean, variance = self.mean, self.variance
        if mean is None or variance is None:
            raise ValueError("You must call `.build(input_shape)` on the layer before using it.")
        deviation = ops.maximum(ops.sqrt(variance), EPSILON)
        if self.invert:
            return ops.add(mean, ops.multiply(inputs, deviation))
        return ops.divide(ops.subtract(inputs, mean), deviation)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer; what `adapt` has learnt is in the weights."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "invert": self.invert,
            "mean": np.array(self.input_mean).tolist(),
            "variance": np.array(self.input_variance).tolist(),
        }


def _batches(data: Any) -> Iterator[Any]:
    """The batches of what yields some.

    Raises
    ------
    TypeError
        If it yields nothing.
    """
    if hasattr(data, "as_numpy_iterator"):  # a tf.data.Dataset, perhaps of single samples
        spec = data.element_spec
        spec = spec[0] if isinstance(spec, tuple) else spec
        batched = data.batch(_AT_ONCE) if len(spec.shape) == 1 else data
        return iter(batched.as_numpy_iterator())
    if not hasattr(data, "__iter__"):
        msg = (
            f"Unsupported data type: {type(data)}. `adapt` supports arrays, tensors, tf.data."
            "Dataset, utils.PyDataset and iterables of batches (e.g. list, generator)."
        )
        raise TypeError(msg)
    return iter(data)
