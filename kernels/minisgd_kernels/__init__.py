"""Compute kernels: pure functions from arrays to arrays, compiled by Numba on their first call.

Every array is C-contiguous, aligned, native-endian and float32 or float64, all of one dtype in a
call. Nothing here checks its arguments: `minisgd` does. ``kernels/README.md`` has the table of
kernels with their maths, shapes and order of rounding.

A kernel's module, and Numba with it, is imported when the kernel is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minisgd_kernels.activation import (
        elu,
        elu_vjp,
        sigmoid,
        sigmoid_vjp,
        softplus,
        tanh,
    )
    from minisgd_kernels.classification import (
        log_softmax,
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
        logarithm_1p,
        multiply,
        power,
        relu,
        relu_vjp,
        square_root,
        square_root_vjp,
        subtract,
        where,
    )
    from minisgd_kernels.indexing import scatter_add
    from minisgd_kernels.linear import dense, matmul, matmul_nt, matmul_tn, sum_rows
    from minisgd_kernels.philox import (
        philox_normal,
        philox_shuffle,
        philox_truncated_normal,
        philox_uint32,
        philox_uniform,
    )
    from minisgd_kernels.reduce import sum_all, sum_first, sum_last
    from minisgd_kernels.scalar import scalar_cosine, scalar_logarithm, scalar_power
    from minisgd_kernels.update import (
        accumulate_inplace,
        average_inplace,
        clipped_by_norm,
        clipped_by_value,
        decay_inplace,
        global_norm_factor,
        momentum_inplace,
        nesterov_inplace,
        scaled,
        sgd_inplace,
        sum_of_squares,
    )

_MODULES = {
    "activation": ("elu", "elu_vjp", "sigmoid", "sigmoid_vjp", "softplus", "tanh"),
    "elementwise": (
        "add",
        "clip",
        "clip_vjp",
        "divide",
        "exponential",
        "logarithm",
        "logarithm_1p",
        "multiply",
        "power",
        "relu",
        "relu_vjp",
        "square_root",
        "square_root_vjp",
        "subtract",
        "where",
    ),
    "indexing": ("scatter_add",),
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
        "log_softmax",
        "softmax",
        "softmax_cross_entropy",
        "softmax_cross_entropy_backprop",
        "sparse_softmax_cross_entropy",
        "sparse_softmax_cross_entropy_backprop",
    ),
    "scalar": ("scalar_cosine", "scalar_logarithm", "scalar_power"),
    "update": (
        "accumulate_inplace",
        "average_inplace",
        "clipped_by_norm",
        "clipped_by_value",
        "decay_inplace",
        "global_norm_factor",
        "momentum_inplace",
        "nesterov_inplace",
        "scaled",
        "sgd_inplace",
        "sum_of_squares",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "accumulate_inplace",
    "add",
    "average_inplace",
    "clip",
    "clip_vjp",
    "clipped_by_norm",
    "clipped_by_value",
    "decay_inplace",
    "dense",
    "divide",
    "elu",
    "elu_vjp",
    "exponential",
    "log_softmax",
    "global_norm_factor",
    "logarithm",
    "logarithm_1p",
    "matmul",
    "matmul_nt",
    "matmul_tn",
    "momentum_inplace",
    "multiply",
    "nesterov_inplace",
    "philox_normal",
    "philox_shuffle",
    "philox_truncated_normal",
    "philox_uint32",
    "philox_uniform",
    "power",
    "relu",
    "relu_vjp",
    "scatter_add",
    "scalar_cosine",
    "scalar_logarithm",
    "scalar_power",
    "scaled",
    "sgd_inplace",
    "sigmoid",
    "sigmoid_vjp",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backprop",
    "softplus",
    "sparse_softmax_cross_entropy",
    "sparse_softmax_cross_entropy_backprop",
    "square_root",
    "square_root_vjp",
    "subtract",
    "sum_all",
    "sum_first",
    "sum_last",
    "sum_of_squares",
    "sum_rows",
    "tanh",
    "where",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'", name=name)
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value  # the next look-up finds it directly
    return value
