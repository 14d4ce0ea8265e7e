"""The arrays that a user passes, as compiled steps take them: not copied if that can be."""

from __future__ import annotations

import math

import numpy as np

from minisgd.compiler.trace import Program
from minisgd.data import ArrayData
from minisgd.tensor import Array


def fused_data(program: Program, data: ArrayData) -> dict[str, Array] | None:
    """X (N, D) float32, y (N, C) float32 or (N,) int64; None if a fused step can't take them."""
    x = as_it_is(data.x)
    if not program.fused or x is None or x.dtype != np.float32:
        return None
    found: dict[str, Array] = {"x": x.reshape(len(x), math.prod(x.shape[1:]))}
    for call in program.fused:
        if call.name == "cross_entropy" and data.y is not None:
            sparse = call.params[0]
            y = data.y.reshape(-1) if sparse else data.y
            found["y"] = writable(np.ascontiguousarray(y, np.int64 if sparse else np.float32))
    return found


def as_it_is(array: Array) -> Array | None:
    """An array as a kernel can take it, not copied; None if it can't.

    Float64 becomes float32 once for all. A read-only array is passed as a writable one, for which
    alone kernels are compiled; they don't write to it.
    """
    if array.dtype == np.float64:
        return np.ascontiguousarray(array, np.float32)
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned and array.dtype.isnative):
        return None
    if array.dtype == np.float16 or array.dtype.itemsize > 8:
        return None
    return writable(array.view(np.ndarray))


def writable(array: Array) -> Array:
    """The same memory as an array that may be changed, though nobody will."""
    return array if array.flags.writeable else np.asarray(_Writable(array))


class _Writable:
    """The same memory without NumPy's note that it must not be changed."""

    def __init__(self, array: Array) -> None:
        self._keep = array
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
