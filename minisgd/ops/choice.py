"""Comparisons, and what chooses between values: no arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd.ops.convert import as_pair, convert_to_tensor, flat
from minisgd.ops.reduce import broadcast_to
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Tensor

# Comparisons give booleans, which have no gradient.
_equal: Primitive = defop("equal", lambda a, b: np.equal(a, b), None, None)
_not_equal: Primitive = defop("not_equal", lambda a, b: np.not_equal(a, b), None, None)
_less: Primitive = defop("less", lambda a, b: np.less(a, b), None, None)
_less_equal: Primitive = defop("less_equal", lambda a, b: np.less_equal(a, b), None, None)
_greater: Primitive = defop("greater", lambda a, b: np.greater(a, b), None, None)
_greater_equal: Primitive = defop("greater_equal", lambda a, b: np.greater_equal(a, b), None, None)

# Whether the first of two wins; a NaN does. At a tie the first takes all of the gradient.
_is_maximum: Primitive = defop("is_maximum", lambda a, b: (a >= b) | (a != a), None, None)
_is_minimum: Primitive = defop("is_minimum", lambda a, b: (a <= b) | (a != a), None, None)


_where: Primitive = defop(
    "where",
    lambda condition, a, b: flat(kernels.where, condition, a, b),
    None,  # a condition
    lambda g, out, condition, a, b: where(condition, g, 0.0),
    lambda g, out, condition, a, b: where(condition, 0.0, g),
)


_clip: Primitive = defop(
    "clip",
    lambda x, low, high: flat(lambda v: kernels.clip(v, low, high), x),
    lambda g, out, x, low, high: bind(_clip_vjp, g, x, params=(low, high)),
    params=2,
)


_clip_vjp: Primitive = defop(
    "clip_vjp",
    lambda g, x, low, high: flat(lambda h, v: kernels.clip_vjp(h, v, low, high), g, x),
    lambda h, out, g, x, low, high: bind(_clip_vjp, h, x, params=(low, high)),
    None,  # piecewise linear: the second derivative is 0
    params=2,
)


def equal(x1: Any, x2: Any) -> Tensor:
    """Whether ``x1 == x2``, element by element; NaN equals nothing."""
    return bind(_equal, *as_pair(x1, x2))


def not_equal(x1: Any, x2: Any) -> Tensor:
    """Whether ``x1 != x2``, element by element."""
    return bind(_not_equal, *as_pair(x1, x2))


def less(x1: Any, x2: Any) -> Tensor:
    """Whether ``x1 < x2``, element by element."""
    return bind(_less, *as_pair(x1, x2))


def less_equal(x1: Any, x2: Any) -> Tensor:
    """Whether ``x1 <= x2``, element by element."""
    return bind(_less_equal, *as_pair(x1, x2))


def greater(x1: Any, x2: Any) -> Tensor:
    """Whether ``x1 > x2``, element by element."""
    return bind(_greater, *as_pair(x1, x2))


def greater_equal(x1: Any, x2: Any) -> Tensor:
    """Whether ``x1 >= x2``, element by element."""
    return bind(_greater_equal, *as_pair(x1, x2))


def maximum(x1: Any, x2: Any) -> Tensor:
    """The larger of two, element by element; NaN if either is.

    Where they are equal the gradient goes to `x1`, all of it.
    """
    a, b = as_pair(x1, x2)
    return where(bind(_is_maximum, a, b), a, b)


def minimum(x1: Any, x2: Any) -> Tensor:
    """The smaller of two, element by element; NaN if either is.

    Where they are equal the gradient goes to `x1`, all of it.
    """
    a, b = as_pair(x1, x2)
    return where(bind(_is_minimum, a, b), a, b)


def clip(x: Any, x_min: float, x_max: float) -> Tensor:
    """Values limited to ``[x_min, x_max]``; the gradient passes at the bounds, too."""
    x = convert_to_tensor(x)
    return bind(_clip, x, params=(x.dtype.type(x_min), x.dtype.type(x_max)))


def where(condition: Any, x1: Any, x2: Any) -> Tensor:
    """`x1` where `condition` holds, else `x2`, with broadcasting."""
    chosen = convert_to_tensor(condition, np.bool_)
    return bind(_where, *to_one_shape(chosen, *as_pair(x1, x2)))


def to_one_shape(*tensors: Tensor) -> list[Tensor]:
    """Repeat tensors to the shape that they broadcast to, for kernels that take no others."""
    shape = np.broadcast_shapes(*[t.shape for t in tensors])
    return [t if t.shape == shape else broadcast_to(t, shape) for t in tensors]
