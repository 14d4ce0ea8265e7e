"""Matrix products; a dense layer's is one of them, with its bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd import numerics
from minisgd.ops import other_orders
from minisgd.ops.convert import as_float, common_dtype, convert_to_tensor
from minisgd.ops.reduce import bias_gradient, broadcast_to
from minisgd.ops.shape import expand_dims, squeeze
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Array, Tensor

Kernel = Callable[..., Array]


def _each(product: Kernel, a: Array, b: Array) -> Array:
    """The product of two matrices, or of each pair of two stacks of them."""
    if a.ndim == 2:
        return product(a, b)
    pairs = zip(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]), strict=True)
    out = np.stack([product(x, y) for x, y in pairs])
    return out.reshape(*a.shape[:-2], *out.shape[1:])


# Each product's VJP rules are again two of the three, so the family is closed.
_matmul: Primitive = defop(
    "matmul",
    lambda a, b: _each(kernels.matmul, a, b),
    lambda g, out, a, b: bind(_matmul_nt, g, b),
    lambda g, out, a, b: bind(_matmul_tn, a, g),
)


_matmul_tn: Primitive = defop(  # a.T @ b
    "matmul_tn",
    lambda a, b: _each(kernels.matmul_tn, a, b),
    lambda g, out, a, b: bind(_matmul_nt, b, g),
    lambda g, out, a, b: bind(_matmul, a, g),
)


_matmul_nt: Primitive = defop(  # a @ b.T
    "matmul_nt",
    lambda a, b: _each(kernels.matmul_nt, a, b),
    lambda g, out, a, b: bind(_matmul, g, b),
    lambda g, out, a, b: bind(_matmul_tn, g, a),
)


_dense: Primitive = defop(  # x @ kernel + bias
    "dense",
    lambda x, kernel, bias: kernels.dense(x, kernel, bias),
    lambda g, out, x, kernel, bias: bind(_matmul_nt, g, kernel),
    lambda g, out, x, kernel, bias: bind(_matmul_tn, x, g),
    lambda g, out, x, kernel, bias: bias_gradient(g),
)


def _matrices(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Two operands of one float dtype: float64 if the numerics say so.

    What comes after a product has its dtype, so this is the switch for a whole step. Gradients are
    rounded to the dtype of the weights by the cast's own rule.
    """
    a, b = as_float(x1), as_float(x2)
    dtype = common_dtype(a.dtype, b.dtype)
    if numerics.current().wide:
        dtype = np.dtype(np.float64)
    return convert_to_tensor(a, dtype), convert_to_tensor(b, dtype)


def matmul(x1: Any, x2: Any) -> Tensor:
    """Matrix product, (..., M, K) and (..., K, N), as NumPy's.

    Leading axes broadcast. A vector is a row on the left, a column on the right.

    Raises
    ------
    ValueError
        If the shapes don't fit.
    """
    a, b = _matrices(x1, x2)
    row, column = a.ndim == 1, b.ndim == 1
    shapes = f"matmul: expected shapes (M, K) and (K, N), received {a.shape} and {b.shape}"
    if not (a.ndim and b.ndim) or a.shape[-1] != b.shape[-1 if column else -2]:
        raise ValueError(shapes)
    a, b = expand_dims(a, 0) if row else a, expand_dims(b, 1) if column else b
    if a.ndim > 2 or b.ndim > 2:
        try:
            stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise ValueError(f"{shapes}: their leading axes do not broadcast") from None
        if 0 in stack:
            raise ValueError(f"{shapes}: at least one matrix is needed")
        a = broadcast_to(a, stack + a.shape[-2:])
        b = broadcast_to(b, stack + b.shape[-2:])
    order = numerics.current()
    other = other_orders.applies(order, a, b)
    out = other_orders.product(order, a, b, False, False) if other else bind(_matmul, a, b)
    return squeeze(out, [-2] * row + [-1] * column) if row or column else out


def dense(x: Any, kernel: Any, bias: Any) -> Tensor:
    """``x @ kernel + bias``: what a dense layer computes before its activation.

    Parameters
    ----------
    x : Tensor, shape (N, D_in), float
    kernel : Tensor, shape (D_in, units), same dtype
    bias : Tensor, shape (units,), same dtype

    Returns
    -------
    Tensor, shape (N, units)
    """
    x, kernel = _matrices(x, kernel)
    bias = convert_to_tensor(bias, x.dtype)
    if x.ndim != 2 or kernel.ndim != 2 or x.shape[1] != kernel.shape[0]:
        msg = (
            f"dense: expected x (N, D_in), kernel (D_in, units), received {x.shape}, {kernel.shape}"
        )
        raise ValueError(msg)
    if bias.shape != (kernel.shape[1],):
        msg = f"dense: expected a bias of shape ({kernel.shape[1]},), received {bias.shape}"
        raise ValueError(msg)
    order = numerics.current()
    other = other_orders.applies(order, x, kernel)
    out = other_orders.dense(order, x, kernel, bias) if other else bind(_dense, x, kernel, bias)
    out.from_dense = True
    return out
