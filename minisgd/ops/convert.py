"""Anything a user passes, as a tensor of the right dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Array, Tensor, as_kernel_array

_cast: Primitive = defop(
    "cast",
    lambda x, dtype: x.astype(dtype),
    lambda g, out, x, dtype: cast(g, x.dtype),
    params=1,
)


_convert: Primitive = defop(  # a cast from or to whole numbers or booleans
    "convert", lambda x, dtype: x.astype(dtype), None, params=1
)


_stop_gradient: Primitive = defop("stop_gradient", lambda x: x.copy(), None)


def convert_to_tensor(x: Any, dtype: Any = None) -> Tensor:
    """Tensor with the values of `x`, which is copied unless it is a tensor already.

    Python floats become float32, as in Keras, and so does float16, for which there are no kernels;
    other arrays keep their dtype.

    Raises
    ------
    ValueError
        If `x` is not numeric (strings, objects, dates, ragged lists).
    """
    if isinstance(x, Tensor):
        return x if dtype is None or x.dtype == dtype else cast(x, dtype)
    if isinstance(x, list | tuple) and any(isinstance(part, Tensor) for part in x):
        from minisgd.ops.shape import stack  # which needs this function

        return convert_to_tensor(stack(x), dtype)
    array = np.array(x, order="C")
    if array.dtype.kind not in "fiub":
        msg = f"Invalid dtype: {array.dtype}. `x`: expected numbers, received {type(x).__name__}."
        raise ValueError(msg)
    if dtype is None and array.dtype.kind == "f" and array.dtype.itemsize != 8:
        dtype = np.float32
    if dtype is None and not hasattr(x, "dtype") and array.dtype.kind == "f":
        dtype = np.float32
    return Tensor(as_kernel_array(array, dtype))


def convert_to_numpy(x: Any) -> Array:
    """NumPy array with the values of `x`."""
    return np.array(x)


def cast(x: Any, dtype: Any) -> Tensor:
    """The same values in another dtype; float64 to float32 rounds to nearest.

    No gradient passes whole numbers and booleans.
    """
    x, dtype = convert_to_tensor(x), np.dtype(dtype)
    differentiable = x.dtype.kind == dtype.kind == "f"
    return bind(_cast if differentiable else _convert, x, params=(dtype,))


def stop_gradient(variable: Any) -> Tensor:
    """The same values; no gradient passes."""
    return bind(_stop_gradient, convert_to_tensor(variable))


def flat(kernel: Callable[..., Array], *arrays: Array) -> Array:
    """Call a kernel for flat arrays: Numba need not compile it for every number of axes."""
    return kernel(*[a.reshape(-1) for a in arrays]).reshape(arrays[0].shape)


def as_float(x: Any) -> Tensor:
    """`x` as a tensor of floats: whole numbers become float32, as in Keras."""
    x = convert_to_tensor(x)
    return x if x.dtype.kind == "f" else cast(x, np.float32)


def as_pair(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Two operands of one dtype, whose shapes broadcast.

    A Python number takes the other operand's dtype and whole numbers that of floats, as in Keras.
    """
    if isinstance(x1, Tensor) and isinstance(x2, int | float):
        x2 = Tensor(np.array(x2, common_dtype(x1.dtype, np.dtype(type(x2)), weak=True)))
    elif isinstance(x2, Tensor) and isinstance(x1, int | float):
        x1 = Tensor(np.array(x1, common_dtype(x2.dtype, np.dtype(type(x1)), weak=True)))
    a, b = convert_to_tensor(x1), convert_to_tensor(x2)
    if a.dtype != b.dtype:
        dtype = common_dtype(a.dtype, b.dtype)
        a, b = convert_to_tensor(a, dtype), convert_to_tensor(b, dtype)
    if a.shape != b.shape:
        _check_broadcast(a.shape, b.shape)
    return a, b


def common_dtype(a: np.dtype[Any], b: np.dtype[Any], weak: bool = False) -> np.dtype[Any]:
    """Dtype of an operation on `a` and `b`; a `weak` b is a Python number's."""
    if (a.kind == "f") != (b.kind == "f"):
        return a if a.kind == "f" else np.dtype(np.float32) if weak else b
    return a if weak and a.kind != "b" else np.result_type(a, b)


def _check_broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """Refuse shapes that don't broadcast, before a kernel runs."""
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        msg = f"expected two shapes that broadcast, received {a} and {b}"
        raise ValueError(msg) from None
