"""Picking elements by position; what is picked twice gets both gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd.ops.convert import convert_to_tensor
from minisgd.ops.shape import axes_of, reshape
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Array, Tensor

_get_item: Primitive = defop(
    "get_item",
    lambda x, index: np.array(x[index]),
    lambda g, out, x, index: bind(_scatter, g, params=(index, x.shape)),
    params=1,
)


_scatter: Primitive = defop(
    "scatter",
    lambda g, index, shape: _scatter_forward(g, index, shape),
    lambda h, out, g, index, shape: bind(_get_item, h, params=(index,)),
    params=2,
)


def _scatter_forward(g: Array, index: tuple[Any, ...], shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` with `g` added where `index` picks, in the order of g's elements."""
    if not any(isinstance(part, np.ndarray) for part in index):  # picks nothing twice
        out = np.zeros(shape, g.dtype)
        out[index] = g
        return out
    positions = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)[index]
    sums: Array = kernels.scatter_add(g.reshape(-1), positions.reshape(-1), int(np.prod(shape)))
    return sums.reshape(shape)


def get_item(x: Any, key: Any) -> Tensor:
    """``x[key]``, a copy: integers, slices, ``...``, None, arrays of integers or booleans.

    Raises
    ------
    IndexError
        If there is no such element.
    """
    parts = key if isinstance(key, tuple) else (key,)
    fixed = tuple(np.array(p) if isinstance(p, Tensor | np.ndarray | list) else p for p in parts)
    return bind(_get_item, convert_to_tensor(x), params=(fixed,))


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Elements along an axis (default: of the flattened tensor); -1 is the last.

    Raises
    ------
    IndexError
        If an index is out of range or no whole number. (TensorFlow on a GPU would return zeros.)
    """
    x, chosen = convert_to_tensor(x), np.array(indices)
    if axis is None:
        x, axis = reshape(x, -1), 0
    (place,) = axes_of(axis, x.ndim)
    length = x.shape[place]
    if chosen.dtype.kind not in "iu" or np.any((chosen < -length) | (chosen >= length)):
        received = chosen.tolist() if chosen.size <= 20 else f"{chosen.dtype}, {chosen.shape}"
        msg = (
            f"`indices`: expected whole numbers from {-length} to {length - 1} for axis {place} "
            f"of shape {x.shape}, received {received}"
        )
        raise IndexError(msg)
    return get_item(x, (slice(None),) * place + (chosen,))
