"""Layers that put the same elements into another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minisgd import ops
from minisgd.layers.layer import Layer, Shape
from minisgd.tensor import Tensor


class Flatten(Layer):
    """Each sample as one row: (N, 28, 28) becomes (N, 784)."""

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if data_format not in (None, "channels_last"):
            msg = f"`data_format`: expected 'channels_last' or None, received {data_format!r}"
            raise ValueError(msg)
        self.data_format = "channels_last"

    def call(self, inputs: Tensor) -> Tensor:
        """The same elements, two axes."""
        return ops.reshape(inputs, (inputs.shape[0], math.prod(inputs.shape[1:])))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Batch and the product of the other lengths."""
        lengths = input_shape[1:]
        known = [n for n in lengths if n is not None]
        return (input_shape[0], math.prod(known) if len(known) == len(lengths) else None)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "data_format": self.data_format}


class Reshape(Layer):
    """Each sample in another shape.

    Parameters
    ----------
    target_shape : tuple of int
        Shape of a sample; -1, once, stands for what is left.

    Raises
    ------
    ValueError
        If that is no shape or, in a call, has another number of elements.

    References
    ----------
    Keras, ``keras.layers.Reshape`` (layers/reshaping/reshape.py).
    """

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        shape = tuple(target_shape)
        if shape.count(-1) > 1:
            msg = (
                "There must be at most one unknown dimension (-1) in `target_shape`. Received: "
                f"target_shape={shape}."
            )
            raise ValueError(msg)
        if any(not isinstance(n, int) or n < -1 for n in shape):
            msg = (
                "Each dimension in `target_shape` must be a non-negative integer, or `-1` for a "
                f"single unknown dimension. Received: target_shape={shape}."
            )
            raise ValueError(msg)
        self.target_shape = shape
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The same elements."""
        shape = self.compute_output_shape(inputs.shape)
        return ops.reshape(inputs, [n for n in shape if n is not None])

    def check_input(self, shape: Shape) -> None:
        """Refuse samples with another number of elements."""
        self.compute_output_shape(shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Batch and `target_shape`."""
        target, lengths = self.target_shape, [n for n in input_shape[1:] if n is not None]
        if len(lengths) < len(input_shape) - 1:
            return (input_shape[0], *(None if n == -1 else n for n in target))
        size, known = math.prod(lengths), math.prod(n for n in target if n != -1)
        if size != known if -1 not in target else not known or size % known:
            msg = (
                "The total size of the tensor must be unchanged. Received: "
                f"input_shape={tuple(lengths)}, target_shape={target}"
            )
            raise ValueError(msg)
        return (input_shape[0], *(size // known if n == -1 else n for n in target))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "target_shape": self.target_shape}


class Permute(Layer):
    """The axes of each sample in another order.

    Parameters
    ----------
    dims : tuple of int
        For each axis of the output, that of the input; counted from 1, the batch stays first.

    Raises
    ------
    ValueError
        If these are not all axes.

    References
    ----------
    Keras, ``keras.layers.Permute`` (layers/reshaping/permute.py).
    """

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            msg = (
                "Invalid permutation argument `dims` for Permute Layer. The set of indices in "
                f"`dims` must be consecutive and start from 1. Received dims={dims}"
            )
            raise ValueError(msg)
        self.built = True

    def check_input(self, shape: Shape) -> None:
        """Refuse inputs with another number of axes."""
        _check_ndim(self, shape, len(self.dims) + 1)

    def call(self, inputs: Tensor) -> Tensor:
        """The same elements."""
        return ops.transpose(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The lengths in the other order."""
        return (input_shape[0], *(input_shape[axis] for axis in self.dims))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "dims": self.dims}


class RepeatVector(Layer):
    """Each sample `n` times: (N, D) becomes (N, n, D).

    Raises
    ------
    TypeError
        If `n` is no whole number.
    ValueError
        If it is not positive.

    References
    ----------
    Keras, ``keras.layers.RepeatVector`` (layers/reshaping/repeat_vector.py).
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"Expected an integer value for `n`, got {type(n)}.")
        if n <= 0:
            raise ValueError(f"Argument `n` should be a positive integer. Received: n={n}")
        self.n = n
        self.built = True

    def check_input(self, shape: Shape) -> None:
        """Refuse inputs that are no matrix."""
        _check_ndim(self, shape, 2)

    def call(self, inputs: Tensor) -> Tensor:
        """The same vectors, `n` times."""
        samples, features = inputs.shape
        return ops.broadcast_to(ops.expand_dims(inputs, 1), (samples, self.n, features))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Batch, `n` and the features."""
        return (input_shape[0], self.n, input_shape[1])

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer."""
        return {**super().get_config(), "n": self.n}


def _check_ndim(layer: Layer, shape: Shape, ndim: int) -> None:
    if len(shape) != ndim:
        msg = (
            f"Input 0 of layer '{layer.name}' is incompatible with the layer: expected "
            f"ndim={ndim}, found ndim={len(shape)}. Full shape received: {shape}"
        )
        raise ValueError(msg)
