"""The same elements in another shape or order: no arithmetic."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from minisgd.ops.convert import common_dtype, convert_to_tensor
from minisgd.primitive import VJP, Primitive, bind, defop
from minisgd.tensor import Tensor

_reshape: Primitive = defop(
    "reshape",
    lambda x, shape: x.reshape(shape).copy(),  # a view of a Variable would change with it
    lambda g, out, x, shape: bind(_reshape, g, params=(x.shape,)),
    params=1,
)


_transpose: Primitive = defop(
    "transpose",
    lambda x, axes: x.transpose(axes).copy(),
    lambda g, out, x, axes: bind(_transpose, g, params=(tuple(np.argsort(axes)),)),
    params=1,
)


def reshape(x: Any, newshape: int | Sequence[int]) -> Tensor:
    """The same elements in another shape; one length may be -1."""
    shape = (newshape,) if isinstance(newshape, int) else tuple(newshape)
    return bind(_reshape, convert_to_tensor(x), params=(shape,))


def expand_dims(x: Any, axis: int) -> Tensor:
    """A new axis of length 1 at position `axis`."""
    x = convert_to_tensor(x)
    return reshape(x, np.expand_dims(x._array, axis).shape)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """Axes in another order; by default reversed."""
    x = convert_to_tensor(x)
    order = tuple(range(x.ndim))[::-1] if axes is None else tuple(a % x.ndim for a in axes)
    return bind(_transpose, x, params=(order,))


def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """Leave out axes of length 1: all, or the named ones.

    Raises
    ------
    ValueError
        If a named axis has another length.
    """
    x = convert_to_tensor(x)
    ones = [a for a, n in enumerate(x.shape) if n == 1] if axis is None else axes_of(axis, x.ndim)
    for a in ones:
        if x.shape[a] != 1:
            msg = (
                f"Cannot squeeze axis={a}, because the dimension is not 1: expected length 1 "
                f"there, received shape {x.shape}."
            )
            raise ValueError(msg)
    return reshape(x, [n for a, n in enumerate(x.shape) if a not in ones])


def axes_of(axis: int | Sequence[int] | None, ndim: int) -> list[int]:
    """Axes as an ascending list of non-negative numbers; None means all.

    Raises
    ------
    ValueError
        If there is no such axis.
    """
    if axis is None:
        return list(range(ndim))
    chosen = [axis] if isinstance(axis, int) else list(axis)
    for a in chosen:
        if not -ndim <= a < ndim:
            msg = f"`axis`: expected a number from {-ndim} to {ndim - 1}, received {a}"
            raise ValueError(msg)
    return sorted({a % ndim for a in chosen})


def _part(i: int) -> VJP:
    """The VJP rule of `concatenate`'s input `i`: its part of the cotangent."""

    def vjp(g: Tensor, out: Tensor, *inputs_and_axis: Any) -> Tensor:
        *inputs, axis = inputs_and_axis
        start = sum(x.shape[axis] for x in inputs[:i])
        return bind(_slice, g, params=(axis, start, start + inputs[i].shape[axis]))

    return vjp


@functools.cache
def _concatenate(count: int) -> Primitive:
    """The primitive for so many inputs: one rule an input, as everywhere."""
    rules = tuple(_part(i) for i in range(count))
    return Primitive("concatenate", lambda *args: np.concatenate(args[:-1], args[-1]), rules)


_slice: Primitive = defop(  # x[start:stop] along an axis
    "slice",
    lambda x, axis, start, stop: x[(slice(None),) * axis + (slice(start, stop),)].copy(),
    lambda g, out, x, axis, start, stop: bind(_pad, g, params=(axis, start, x.shape[axis] - stop)),
    params=3,
)


_pad: Primitive = defop(  # zeros before and after along an axis
    "pad",
    lambda x, axis, before, after: np.pad(
        x, [(before, after) if a == axis else (0, 0) for a in range(x.ndim)]
    ),
    lambda g, out, x, axis, before, after: bind(
        _slice, g, params=(axis, before, before + x.shape[axis])
    ),
    params=3,
)


def concatenate(xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors one after the other along an axis, in one dtype.

    Raises
    ------
    ValueError
        If there is none, or if two differ in the length of another axis.
    """
    tensors = [convert_to_tensor(x) for x in xs]
    if not tensors:
        raise ValueError("`xs`: expected at least one tensor, received none")
    (place,) = axes_of(axis, tensors[0].ndim)
    shapes = [x.shape for x in tensors]
    if len({(len(s), s[:place], s[place + 1 :]) for s in shapes}) > 1:
        msg = f"`xs`: expected shapes that differ in axis {place} at most, received {shapes}"
        raise ValueError(msg)
    dtype = functools.reduce(common_dtype, [x.dtype for x in tensors])
    same = [convert_to_tensor(x, dtype) for x in tensors]
    return bind(_concatenate(len(same)), *same, params=(place,))


def stack(x: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape, one after the other along a new axis."""
    return concatenate([expand_dims(part, axis) for part in x], axis)
