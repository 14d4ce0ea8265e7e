"""The same elements in another shape or order: no arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minisgd.ops.convert import convert_to_tensor
from minisgd.primitive import Primitive, bind, defop
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
