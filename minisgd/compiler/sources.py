"""The arrays that a user passes, as compiled steps take them: not copied if that can be."""

from __future__ import annotations

import math

import numpy as np

from minisgd.compiler.trace import Program
from minisgd.data import ArrayData, Span
from minisgd.data.convert import is_mapped
from minisgd.tensor import Array

_NAMES = ("x", "y", "sample_weight")


class Source:
    """The data of one call of `fit`, for one program.

    Parameters
    ----------
    program : Program
    data : ArrayData
    fused : bool
        Whether x is to be (N, D) and y (N, C) float32 or (N,) int64.
    copy : bool
        Whether the samples are copied batch by batch, as eager steps do, since a callback may
        change the arrays at any time. Otherwise they are read in place where that can be.

    Attributes
    ----------
    whole : dict of numpy.ndarray, or None
        The arrays as kernels take them; None if their samples are copied.
    """

    def __init__(self, program: Program, data: ArrayData, fused: bool, copy: bool) -> None:
        self._program, self._fused = program, fused
        self._own_order: Array | None = None
        arrays = {} if copy else {name: as_it_is(getattr(data, name)) for name in program.step.data}
        whole = {name: array for name, array in arrays.items() if array is not None}
        self.whole = self._shaped(whole) if len(whole) == len(program.step.data) else None

    def take(self, span: Span) -> tuple[dict[str, Array], Array, int]:
        """Arrays, the order of their samples, and the first batch."""
        if self.whole is not None:
            return self.whole, self._in_order(span), span.first
        batch = zip(_NAMES, span.batch(), strict=True)
        data = {name: tensor._array for name, tensor in batch if tensor is not None}
        return self._shaped(data), np.arange(len(data["x"])), 0

    def _in_order(self, span: Span) -> Array:
        if span.order is not None:
            return span.order
        if self._own_order is None:
            self._own_order = np.arange(span.data.num_samples)
        return self._own_order

    def _shaped(self, data: dict[str, Array]) -> dict[str, Array]:
        if not self._fused:
            return data
        x = data["x"]
        found = {"x": x.reshape(len(x), math.prod(x.shape[1:]))}
        for call in self._program.fused:
            if call.name == "cross_entropy":
                sparse = call.params[0]
                y = data["y"].reshape(-1) if sparse else data["y"]
                found["y"] = writable(np.ascontiguousarray(y, np.int64 if sparse else np.float32))
        return found


def as_it_is(array: Array) -> Array | None:
    """An array as a kernel can take it, not copied; None if it can't.

    Float64 becomes float32 once for all, unless it is in a file, which may be larger than memory:
    then only what kernels take as it is will do. A read-only array is passed as a writable one,
    for which alone kernels are compiled; they don't write to it.
    """
    if is_mapped(array) and array.dtype not in (np.float32, np.int64):
        return None
    if array.dtype == np.float64:
        with np.errstate(over="ignore"):  # the data's watch names what float32 can't hold
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
        self.base = array
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
