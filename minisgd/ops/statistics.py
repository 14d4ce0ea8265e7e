"""Mean, extremes, and the logarithm of a sum of exponentials, over all axes or some."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd import numerics
from minisgd.ops.choice import equal, maximum, minimum, where
from minisgd.ops.convert import as_float, as_pair, cast, convert_to_tensor, stop_gradient
from minisgd.ops.elementwise import add, divide, exp, log, multiply, subtract
from minisgd.ops.reduce import sum, sum_to
from minisgd.ops.shape import axes_of, reshape
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Tensor

Axis = int | Sequence[int] | None


def _share_of_ties(g: Tensor, out: Tensor, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """VJP of max and min: the gradient is divided evenly among equal extremes."""
    hits = cast(equal(x, out), x.dtype)
    return multiply(divide(hits, sum(hits, axes, keepdims=True)), g)


_max: Primitive = defop(
    "max", lambda x, axes: np.max(x, axes, keepdims=True), _share_of_ties, params=1
)


_min: Primitive = defop(
    "min", lambda x, axes: np.min(x, axes, keepdims=True), _share_of_ties, params=1
)


_argmax: Primitive = defop(
    "argmax", lambda x, axis: np.array(np.argmax(x, axis), np.int32), None, params=1
)


# Where TensorFlow knows the divisor as it makes the graph, its gradient has the reciprocal.
_divide_by_constant: Primitive = defop(
    "divide_by_constant",
    lambda a, b: kernels.divide(a, b),
    lambda g, out, a, b: multiply(g, divide(1.0, b)),
    None,
)


# Where the divisor of the batch is a constant, too, a constant factor meets it before the weights;
# forward it meets the weights first.
_weighted_multiple: Primitive = defop(
    "weighted_multiple",
    lambda x, factor, weights: kernels.multiply(x, kernels.multiply(factor, weights)),
    lambda g, out, x, factor, weights: multiply(multiply(g, factor), weights),
    None,
    lambda g, out, x, factor, weights: sum_to(multiply(g, multiply(x, factor)), weights.shape),
)


def times_constant(x: Tensor, factor: float) -> Tensor:
    """``x * factor`` for a number; the result remembers both as its `multiple_of`."""
    out = multiply(x, factor)
    out.multiple_of = x, factor
    return out


def weighted(values: Tensor, weights: Tensor) -> Tensor:
    """Losses of samples, each times its weight.

    If they are a constant times x, and TensorFlow knows the length of the batch, they are
    ``x * (constant * weight)``, and x has the gradient ``(g * constant) * weight``.
    """
    if values.multiple_of is None or not numerics.shapes_known():
        return multiply(values, weights)
    x, factor = values.multiple_of
    return bind(_weighted_multiple, x, convert_to_tensor(factor, x.dtype), weights)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum divided by the number of elements that went into it."""
    x = convert_to_tensor(x)
    total = sum(x, axis, keepdims)
    count = builtins.max(x.size, 1) // builtins.max(total.size, 1)
    if numerics.shapes_known():
        return bind(_divide_by_constant, *as_pair(as_float(total), count))
    return divide(total, count)


def _extreme(primitive: Primitive, x: Any, axis: Axis, keepdims: bool) -> Tensor:
    """Max or min over some axes."""
    x = convert_to_tensor(x)
    axes = axes_of(axis, x.ndim)
    if not x.size:
        msg = (
            f"Cannot compute the {primitive.name} of an empty tensor: expected at least one "
            f"element, received shape {x.shape}."
        )
        raise ValueError(msg)
    out = bind(primitive, x, params=(tuple(axes),))
    return out if keepdims else reshape(out, [n for a, n in enumerate(x.shape) if a not in axes])


def max(  # noqa: A001
    x: Any, axis: Axis = None, keepdims: bool = False, initial: float | None = None
) -> Tensor:
    """Largest element; NaN if there is one. Equal ones share the gradient evenly.

    With `initial` that number takes part, too.

    Raises
    ------
    ValueError
        If there is no element.
    """
    out = _extreme(_max, x, axis, keepdims)
    return out if initial is None else maximum(out, initial)


def min(  # noqa: A001
    x: Any, axis: Axis = None, keepdims: bool = False, initial: float | None = None
) -> Tensor:
    """Smallest element; NaN if there is one. Equal ones share the gradient evenly.

    With `initial` that number takes part, too.

    Raises
    ------
    ValueError
        If there is no element.
    """
    out = _extreme(_min, x, axis, keepdims)
    return out if initial is None else minimum(out, initial)


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position of the largest element, int32: the first if several are equal, or a NaN.

    By default of all elements, counted through the last axis first. (Keras takes -0 for less
    than 0 and passes over NaN.)
    """
    x = convert_to_tensor(x)
    flattened = reshape(x, -1) if axis is None else x
    (place,) = axes_of(0 if axis is None else axis, flattened.ndim)
    if not flattened.shape[place]:
        raise ValueError(f"argmax: expected at least one element, received shape {x.shape}")
    out = bind(_argmax, flattened, params=(place,))
    if not keepdims:
        return out
    return reshape(out, [1 if axis is None or a == place else n for a, n in enumerate(x.shape)])


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` as ``log(sum(exp(x - m))) + m`` with the maximum m: no overflow."""
    x = as_float(x)
    largest = stop_gradient(max(x, axis, keepdims=True))
    largest = where(equal(subtract(largest, largest), 0), largest, 0)  # 0 for an infinite one
    total = sum(exp(subtract(x, largest)), axis, keepdims)
    return add(log(total), reshape(largest, total.shape))
