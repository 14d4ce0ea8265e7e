"""Matrix products in the orders of `minisgd.numerics` that are not the reference's.

One primitive stands for all of them: both operands may be stored transposed, so its VJP rules are
products of the same kind. `minisgd.ops.linear` turns to it where another order is in force.
"""

from __future__ import annotations

from typing import Any

import minisgd_kernels as kernels
from minisgd.numerics import Numerics
from minisgd.ops.reduce import bias_gradient
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Array, Tensor


def _product_of(
    order: Numerics, a: Array, b: Array, a_turned: bool, b_turned: bool, with_bias: bool
) -> Array:
    """The compute kernel, for float32; float64 has one order."""
    how = (with_bias, order.eigen, order.avx512, order.threads)
    out: Array = kernels.product(a, b, a_turned, b_turned, *how)
    return out


def product(order: Numerics, a: Tensor, b: Tensor, a_turned: bool, b_turned: bool) -> Tensor:
    """``a @ b``, (M, K) and (K, N) after each operand that is `turned` has been transposed."""
    return bind(_product, a, b, params=(order, a_turned, b_turned))


def _vjp_a(g: Tensor, b: Tensor, order: Numerics, a_turned: bool, b_turned: bool) -> Tensor:
    if a_turned:
        return product(order, b, g, b_turned, True)
    return product(order, g, b, False, not b_turned)


def _vjp_b(g: Tensor, a: Tensor, order: Numerics, a_turned: bool, b_turned: bool) -> Tensor:
    if b_turned:
        return product(order, g, a, True, a_turned)
    return product(order, a, g, not a_turned, False)


_product: Primitive = defop(
    "product",
    lambda a, b, order, a_turned, b_turned: _product_of(order, a, b, a_turned, b_turned, False),
    lambda g, out, a, b, *params: _vjp_a(g, b, *params),
    lambda g, out, a, b, *params: _vjp_b(g, a, *params),
    params=3,
)


_dense: Primitive = defop(
    "dense",
    lambda x, kernel, bias, order: kernels.add(
        _product_of(order, x, kernel, False, False, True), bias
    ),
    lambda g, out, x, kernel, bias, order: product(order, g, kernel, False, True),
    lambda g, out, x, kernel, bias, order: product(order, x, g, True, False),
    lambda g, out, x, kernel, bias, order: bias_gradient(g),
    params=1,
)


def dense(order: Numerics, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """``x @ kernel + bias``, the bias added last."""
    return bind(_dense, x, kernel, bias, params=(order,))


def applies(order: Numerics, *operands: Any) -> bool:
    """Whether these operands are to be multiplied in an order of this module."""
    other = order.eigen or not order.avx512
    return other and all(t.ndim == 2 and t.dtype == "float32" and t.size for t in operands)
