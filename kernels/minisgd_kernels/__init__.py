"""Compute kernels: pure functions from arrays to arrays, compiled by Numba on their first call.

Every array is C-contiguous, aligned, native-endian and float32 or float64, all of one dtype in a
call. Nothing here checks its arguments: `minisgd` does. ``kernels/README.md`` has the table of
kernels with their maths, shapes and order of rounding.

A kernel's module, and Numba with it, is imported when the kernel is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minisgd_kernels.classification import (
        softmax,
        softmax_cross_entropy,
        softmax_cross_entropy_backprop,
        sparse_softmax_cross_entropy,
        sparse_softmax_cross_entropy_backprop,
    )
    from minisgd_kernels.elementwise import (
        add,
        clip,
        clip_vjp,
        divide,
        exponential,
        logarithm,
        multiply,
        relu,
        relu_vjp,
        subtract,
        where,
    )
    from minisgd_kernels.linear import dense, matmul, matmul_nt, matmul_tn, sum_rows
    from minisgd_kernels.philox import (
        philox_normal,
        philox_shuffle,
        philox_truncated_normal,
        philox_uint32,
        philox_uniform,
    )
    from minisgd_kernels.reduce import sum_all, sum_first, sum_last
    from minisgd_kernels.update import momentum_inplace, nesterov_inplace, sgd_inplace

_MODULES = {
    "elementwise": (
        "add",
        "clip",
        "clip_vjp",
        "divide",
        "exponential",
        "logarithm",
        "multiply",
        "relu",
        "relu_vjp",
        "subtract",
        "where",
    ),
    "linear": ("dense", "matmul", "matmul_nt", "matmul_tn", "sum_rows"),
    "philox": (
        "philox_uint32",
        "philox_normal",
        "philox_shuffle",
        "philox_truncated_normal",
        "philox_uniform",
    ),
    "reduce": ("sum_all", "sum_first", "sum_last"),
    "classification": (
        "softmax",
        "softmax_cross_entropy",
        "softmax_cross_entropy_backprop",
        "sparse_softmax_cross_entropy",
        "sparse_softmax_cross_entropy_backprop",
    ),
    "update": ("momentum_inplace", "nesterov_inplace", "sgd_inplace"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "add",
    "clip",
    "clip_vjp",
    "dense",
    "divide",
    "exponential",
    "logarithm",
    "matmul",
    "matmul_nt",
    "matmul_tn",
    "momentum_inplace",
    "multiply",
    "nesterov_inplace",
    "philox_uint32",
    "philox_normal",
    "philox_shuffle",
    "philox_truncated_normal",
    "philox_uniform",
    "relu",
    "relu_vjp",
    "sgd_inplace",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backprop",
    "sparse_softmax_cross_entropy",
    "sparse_softmax_cross_entropy_backprop",
    "subtract",
    "sum_all",
    "sum_first",
    "sum_last",
    "sum_rows",
    "where",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'", name=name)
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value  # the next look-up finds it directly
    return value
