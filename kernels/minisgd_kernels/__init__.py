"""Compute kernels: pure functions from arrays to arrays, compiled by Numba on their first call.

Every array is C-contiguous, aligned, native-endian and float32 or float64, all of one dtype in a
call. Nothing here checks its arguments: `minisgd` does. ``kernels/README.md`` has the table of
kernels with their maths, shapes and order of rounding.

A kernel's module, and Numba with it, is imported when the kernel is first asked for.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "activation": (
        "elu",
        "elu_vjp",
        "fused_elu",
        "fused_sigmoid",
        "fused_tanh",
        "sigmoid",
        "sigmoid_vjp",
        "softplus",
        "tanh",
    ),
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
    "hits": ("binary_hits", "categorical_hits", "sparse_hits"),
    "indexing": ("gather_rows", "scatter_add"),
    "linear": ("dense", "matmul", "matmul_nt", "matmul_tn", "sum_rows"),
    "normalization": (
        "moving_average_inplace",
        "reciprocal_root",
        "reciprocal_root_vjp",
        "squared_difference",
    ),
    "packing": ("all_finite", "count_zeros", "pack", "unpack", "zero_maps"),
    "philox": (
        "next_seed_inplace",
        "philox_uint32",
        "philox_normal",
        "philox_shuffle",
        "philox_stream",
        "philox_truncated_normal",
        "philox_uniform",
    ),
    "other_orders": ("product",),
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
    "special": (
        "error_function",
        "error_function_complement",
        "exponential_m1",
        "fused_silu",
        "gelu",
        "gelu_tanh",
        "scaled_exponential_m1",
        "selu",
        "selu_vjp",
        "silu",
        "softsign",
    ),
    "update": (
        "accumulate_inplace",
        "average_inplace",
        "clipped_by_norm",
        "clipped_by_value",
        "copy_inplace",
        "decay_inplace",
        "global_norm_factor",
        "momentum_inplace",
        "nesterov_inplace",
        "numbers",
        "scaled",
        "sgd_inplace",
        "sum_of_squares_inplace",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'", name=name)
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value  # the next look-up finds it directly
    return value
