"""Summing and broadcasting: each is the other's VJP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd.ops.convert import cast, convert_to_tensor
from minisgd.ops.shape import axes_of, reshape, transpose
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Tensor

_broadcast_to: Primitive = defop(
    "broadcast_to",
    lambda x, shape: np.broadcast_to(x, shape).copy() if x.ndim else np.full(shape, x, x.dtype),
    lambda g, out, x, shape: sum_to(g, x.shape),
    params=1,
)


_sum_all: Primitive = defop(
    "sum_all",
    lambda x: kernels.sum_all(x.reshape(-1)),
    lambda g, out, x: bind(_broadcast_to, g, params=(x.shape,)),
)


_sum_last: Primitive = defop(
    "sum_last",
    lambda x: kernels.sum_last(x),
    lambda g, out, x: broadcast_to(reshape(g, (x.shape[0], 1)), x.shape),
)


_sum_first: Primitive = defop(
    "sum_first", lambda x: kernels.sum_first(x), lambda g, out, x: broadcast_to(g, x.shape)
)


# The gradient of a bias: TensorFlow sums it in another order than other first axes.
SUM_ROWS: Primitive = defop(
    "sum_rows", lambda x: kernels.sum_rows(x), lambda g, out, x: broadcast_to(g, x.shape)
)


def bias_gradient(g: Tensor) -> Tensor:
    """Sum over the rows of (N, units).

    Keras takes a bias of one element for a number (BiasAdd is for vectors), whose gradient is
    summed as any other sum is.
    """
    return reshape(sum(g), (1,)) if g.shape[1] == 1 else bind(SUM_ROWS, g)


def broadcast_to(x: Any, shape: Sequence[int]) -> Tensor:
    """Repeat along axes of length 1 (NumPy's rule)."""
    return bind(_broadcast_to, convert_to_tensor(x), params=(tuple(shape),))


def sum(  # noqa: A001  # the name is Keras's
    x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> Tensor:
    """Sum over all axes, or over some.

    In float32 with the rounding of Eigen's reductions (``kernels/README.md``).
    """
    x = convert_to_tensor(x)
    if x.dtype.kind != "f":
        x = cast(x, np.int64 if x.dtype.kind in "iub" else np.float32)
    axes = axes_of(axis, x.ndim)
    kept = [a for a in range(x.ndim) if a not in axes]
    if not kept:
        total = bind(_sum_all, x)
    elif not axes:
        total = reshape(x, x.shape)
    elif axes == list(range(len(axes))):
        rest = x.shape[len(axes) :]
        lead = int(np.prod(x.shape[: len(axes)]))
        matrix = x if x.ndim == 2 else reshape(x, (lead, int(np.prod(rest))))
        total = bind(_sum_first, matrix)
        total = total if x.ndim == 2 else reshape(total, rest)
    else:
        if kept != list(range(len(kept))):
            x, kept = transpose(x, kept + axes), list(range(len(kept)))
        shape = [x.shape[a] for a in kept]
        rows = reshape(x, (int(np.prod(shape)), -1 if x.size else 0))
        total = reshape(bind(_sum_last, rows), shape)
    if keepdims:
        full = convert_to_tensor(x).ndim
        lengths = iter(total.shape)
        total = reshape(total, [1 if a in axes else next(lengths) for a in range(full)])
    return total


def sum_to(g: Tensor, shape: tuple[int, ...], rows_in_order: bool = False) -> Tensor:
    """Undo a broadcast: sum over the axes along which `shape` was repeated.

    With `rows_in_order` a vector along the last axis is summed as a bias: Keras takes such an
    addition for one.
    """
    if g.shape == shape:
        return g
    if rows_in_order and g.size and g.shape[-1:] == shape[-1:] == (int(np.prod(shape)),):
        return reshape(bind(SUM_ROWS, reshape(g, (-1, shape[-1]))), shape)
    lead = g.ndim - len(shape)
    repeated = [i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1]
    return reshape(sum(g, list(range(lead)) + [lead + i for i in repeated]), shape)
