"""Mean and variance, and what batch and layer normalization make of them.

The operations are recorded in an order for which the tape, going back, adds up gradients as
TensorFlow's graph does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import minisgd_kernels as kernels
from minisgd import numerics
from minisgd.config import EPSILON
from minisgd.ops.choice import minimum, where
from minisgd.ops.convert import as_float, cast, flat
from minisgd.ops.elementwise import add, divide, multiply, negative, sqrt, square, subtract
from minisgd.ops.reduce import sum as total
from minisgd.ops.reduce import sum_to
from minisgd.ops.shape import axes_of, reshape
from minisgd.ops.statistics import mean
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Tensor, Variable

_rsqrt: Primitive = defop(
    "rsqrt", lambda x: flat(kernels.reciprocal_root, x), lambda g, out, x: bind(_rsqrt_vjp, g, out)
)


_rsqrt_vjp: Primitive = defop(  # -0.5 * g * y**3
    "rsqrt_vjp",
    lambda g, y: flat(kernels.reciprocal_root_vjp, g, y),
    lambda h, out, g, y: bind(_rsqrt_vjp, h, y),
    lambda h, out, g, y: multiply(multiply(multiply(h, -1.5), g), multiply(y, y)),
)


# No gradient passes the mean: it would be 0, since deviations sum to 0.
_squared_difference: Primitive = defop(
    "squared_difference",
    lambda x, centre: kernels.squared_difference(x, centre),
    lambda g, out, x, centre: sum_to(multiply(multiply(g, 2), subtract(x, centre)), x.shape),
    None,
)


_moving_average: Primitive = defop(
    "moving_average_inplace",
    lambda average, value, momentum: kernels.moving_average_inplace(
        average, value, average.dtype.type(momentum), average.dtype.type(1 - momentum)
    ),
    None,
    None,
    params=1,
)


def update_moving_average(average: Variable, value: Tensor, momentum: float) -> None:
    """``average = average * momentum + value * (1 - momentum)``, in place; no gradient passes."""
    average.array_inplace()  # counts as a change
    bind(_moving_average, average, cast(value, average.dtype), params=(momentum,))


def rsqrt(x: Any) -> Tensor:
    """``1 / sqrt(x)``; TensorFlow's starts from an estimate that each processor makes."""
    return bind(_rsqrt, as_float(x))


def moments(
    x: Any, axes: int | Sequence[int], keepdims: bool = False, synchronized: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean and variance (the mean squared deviation) over some axes.

    Parameters
    ----------
    x : array-like
    axes : int or sequence of int
    keepdims : bool
        Whether the axes stay, with length 1.
    synchronized : bool
        Accepted as in Keras; there is one device.

    References
    ----------
    Keras, ``keras.ops.moments``; TensorFlow, python/ops/nn_impl.py (moments).
    """
    x = as_float(x)
    centre = mean(x, axes, keepdims=True)
    variance = mean(bind(_squared_difference, x, centre), axes, keepdims=True)
    if keepdims:
        return centre, variance
    reduced = axes_of(axes, x.ndim)
    shape = [n for a, n in enumerate(x.shape) if a not in reduced]
    return reshape(centre, shape), reshape(variance, shape)


def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> Tensor:
    """``x * s + (offset - mean * s)`` with ``s = scale / sqrt(variance + epsilon)``.

    Parameters
    ----------
    x : array-like
    mean, variance : array-like
        Vectors along `axis`.
    axis : int
    offset, scale : array-like, optional
        Vectors along `axis`; by default 0 and 1.
    epsilon : float

    References
    ----------
    Ioffe and Szegedy, ICML 2015; TensorFlow, python/ops/nn_impl.py (batch_normalization).
    """
    x = as_float(x)
    (place,) = axes_of(axis, x.ndim)
    shape = tuple(n if a == place else 1 for a, n in enumerate(x.shape))

    def along(vector: Any) -> Tensor:
        vector = as_float(vector)
        return vector if place == x.ndim - 1 else reshape(vector, shape)

    centre = along(mean)
    factor = rsqrt(add(along(variance), epsilon))
    if scale is not None:
        factor = multiply(factor, along(scale))
    shift = multiply(centre, factor)
    shift = negative(shift) if offset is None else subtract(along(offset), shift)
    # The shift comes first, so that its gradient is no bias's, which is summed otherwise.
    return add(shift, multiply(x, factor))


def layer_normalization(
    x: Any,
    gamma: Any = None,
    beta: Any = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
) -> Tensor:
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, each sample by itself.

    Parameters
    ----------
    x : array-like
    gamma, beta : array-like, optional
        Of the lengths of `x` along `axis`; by default 1 and 0.
    axis : int or sequence of int
        What mean and variance are taken over.
    epsilon : float, optional
        By default 1e-7.

    References
    ----------
    Ba, Kiros and Hinton, 2016; Keras, ops/nn.py (_layer_normalization).
    """
    x = as_float(x)
    axes = axes_of(axis, x.ndim)
    # Without the samples' axis, so that gradients are summed over it in a batch of one, too.
    shape = tuple(n if a in axes else 1 for a, n in enumerate(x.shape))[axes[0] :]
    direct = reshape(x, x.shape)  # recorded first, so that its gradient is added last
    centre, variance = moments(x, axes, keepdims=True)
    factor = rsqrt(add(variance, EPSILON if epsilon is None else epsilon))
    if gamma is not None:
        factor = multiply(factor, reshape(gamma, shape))
    scaled = multiply(direct, factor)
    shift = multiply(negative(centre), factor)
    if beta is None:
        return add(scaled, shift)
    beta = reshape(beta, shape)
    if numerics.in_graph() and gamma is not None:  # it adds what has one shape first
        return add(beta, add(scaled, shift))
    return add(scaled, add(beta, shift))


def normalized(x: Tensor, axis: int | Sequence[int], least: float = EPSILON) -> Tensor:
    """`x` divided by its length along some axes; lengths below `least` count as this.

    TensorFlow multiplies by an inverse square root that the processor estimates.

    References
    ----------
    Keras, ``keras.ops.normalize`` (ops/nn.py).
    """
    squares = total(square(x), axis, keepdims=True)
    # Where it is 0, the root's slope would be infinite, and the gradient NaN.
    known = squares > 0
    inverse = divide(1.0, sqrt(where(known, squares, 1.0)))
    return multiply(x, where(known, minimum(inverse, 1.0 / least), 1.0 / least))
