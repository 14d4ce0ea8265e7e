"""A micro-benchmark per compute kernel, on the shapes of a training step of 784-128-10.

Run with ``pytest benchmarks/test_kernels_speed.py`` (needs pytest-benchmark; the suite does not
collect it). Two arrays as large as W1 stand for "flat". One addition, multiplication, division,
root, exponential or logarithm of the formula counts as one flop, a fused multiply-add as two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minisgd_kernels as kernels
from benchmarks.peak import measure
from minisgd_kernels.packing import new_maps

F32 = np.float32
N, D_IN, UNITS, C = 32, 784, 128, 10
DRAW = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    """Float32 normal numbers."""
    return DRAW.standard_normal(shape, dtype=F32)


X, W1, B1, H = normal(N, D_IN), normal(D_IN, UNITS), normal(UNITS), normal(N, UNITS)
LOGITS = normal(N, C)
LABELS = np.arange(N, dtype=np.int64) % C
ONE_HOT = np.eye(C, dtype=F32)[LABELS]
A, B = normal(D_IN * UNITS), normal(D_IN * UNITS)
POSITIVE, INDEX = np.abs(A) + F32(0.5), np.arange(len(A)) % 1000
KEY, COUNTER = np.array([7, 8], np.uint32), np.array([1, 2, 3, 4], np.uint32)
LR, MU, DRAWN = F32(1e-6), F32(0.9), 60_000
PRODUCT = 2 * N * D_IN * UNITS

# Kernel -> arguments, flop of a call (None: it does no arithmetic, or none that is counted).
CASES: dict[str, tuple[tuple[Any, ...], int | None]] = {
    "accumulate_inplace": ((A.copy(), B), A.size),
    "add": ((H, B1), H.size),
    "all_finite": ((A,), None),
    "average_inplace": ((A.copy(), B, MU), 4 * A.size),
    "binary_hits": ((LABELS.astype(F32), LOGITS[:, 0].copy(), F32(0.5)), None),
    "categorical_hits": ((ONE_HOT, LOGITS), None),
    "clip": ((A, F32(-1), F32(1)), None),
    "clip_vjp": ((B, A, F32(-1), F32(1)), None),
    "clipped_by_norm": ((A, F32(1)), 4 * A.size),
    "clipped_by_value": ((A, F32(0.5)), None),
    "copy_inplace": ((A.copy(), B), None),
    "count_zeros": ((A,), None),
    "decay_inplace": ((A.copy(), LR), 2 * A.size),
    "dense": ((X, W1, B1), PRODUCT + H.size),
    "divide": ((A, POSITIVE), A.size),
    "elu": ((A,), 2 * A.size),
    "elu_vjp": ((B, A), 2 * A.size),
    "error_function": ((A,), 20 * A.size),
    "error_function_complement": ((A,), 20 * A.size),
    "exponential": ((A,), A.size),
    "exponential_m1": ((A,), 4 * A.size),
    "fused_elu": ((A,), 2 * A.size),
    "fused_sigmoid": ((A,), 3 * A.size),
    "fused_silu": ((A,), 4 * A.size),
    "fused_tanh": ((A,), A.size),
    "gather_rows": ((X, np.arange(N)), None),
    "gelu": ((A,), 23 * A.size),
    "gelu_tanh": ((A,), 9 * A.size),
    "global_norm_factor": ((POSITIVE, F32(1), F32(1)), 2 * A.size),
    "log_softmax": ((LOGITS,), 4 * LOGITS.size),
    "logarithm": ((POSITIVE,), A.size),
    "logarithm_1p": ((POSITIVE,), 2 * A.size),
    "matmul": ((X, W1), PRODUCT),
    "matmul_nt": ((H, W1), PRODUCT),
    "matmul_tn": ((X, H), PRODUCT),
    "momentum_inplace": ((A.copy(), B.copy(), B, LR, MU), 4 * A.size),
    "moving_average_inplace": ((A.copy(), B, MU, LR), 3 * A.size),
    "multiply": ((A, B), A.size),
    "nesterov_inplace": ((A.copy(), B.copy(), B, LR, MU), 7 * A.size),
    "next_seed_inplace": ((np.array([3, 1]),), None),
    "numbers": ((4,), None),
    "pack": ((W1, A.copy()), None),
    "philox_normal": ((KEY, COUNTER, F32(0), F32(1), DRAWN), None),
    "philox_shuffle": ((KEY, COUNTER, DRAWN), None),
    "philox_stream": ((np.array([3, 1]),), None),
    "philox_truncated_normal": ((KEY, COUNTER, F32(0), F32(1), DRAWN), None),
    "philox_uint32": ((KEY, COUNTER, DRAWN), None),
    "philox_uniform": ((KEY, COUNTER, F32(0), F32(1), DRAWN), None),
    "power": ((POSITIVE, B), A.size),
    "product": ((X, W1, False, False, True, True, True, 2), PRODUCT),
    "reciprocal_root": ((POSITIVE,), 2 * A.size),
    "reciprocal_root_vjp": ((B, POSITIVE), 4 * A.size),
    "relu": ((H,), None),
    "relu_vjp": ((H, H), None),
    "scalar_cosine": ((A,), A.size),
    "scalar_logarithm": ((POSITIVE,), A.size),
    "scalar_power": ((POSITIVE, B), A.size),
    "scaled": ((A, MU), A.size),
    "scaled_exponential_m1": ((A, MU), 6 * A.size),
    "scatter_add": ((A, INDEX, 1000), A.size),
    "selu": ((A,), 3 * A.size),
    "selu_vjp": ((B, A), 2 * A.size),
    "sgd_inplace": ((A.copy(), B, LR), 2 * A.size),
    "sigmoid": ((A,), 3 * A.size),
    "sigmoid_vjp": ((B, POSITIVE), 3 * A.size),
    "silu": ((A,), 4 * A.size),
    "softmax": ((LOGITS, 16), 4 * LOGITS.size),
    "softmax_cross_entropy": ((LOGITS, ONE_HOT), 6 * LOGITS.size),
    "softmax_cross_entropy_backprop": ((LOGITS, ONE_HOT), 5 * LOGITS.size),
    "softplus": ((A,), 3 * A.size),
    "softsign": ((A,), 2 * A.size),
    "sparse_hits": ((LABELS, LOGITS), None),
    "sparse_softmax_cross_entropy": ((LOGITS, LABELS), 3 * LOGITS.size),
    "sparse_softmax_cross_entropy_backprop": ((LOGITS, LABELS), 4 * LOGITS.size),
    "square_root": ((POSITIVE,), A.size),
    "square_root_vjp": ((B, POSITIVE), 2 * A.size),
    "squared_difference": ((A, B), 2 * A.size),
    "subtract": ((A, B), A.size),
    "sum_all": ((A,), A.size),
    "sum_first": ((H,), H.size),
    "sum_last": ((H,), H.size),
    "sum_of_squares_inplace": ((np.zeros(4, F32), 0, A), 2 * A.size),
    "sum_rows": ((H,), H.size),
    "tanh": ((A,), A.size),
    "unpack": ((A, W1.copy()), None),
    "where": ((A > 0, A, B), None),
    "zero_maps": ((0, 1, X, *new_maps(X)), None),
}


def shapes(arguments: tuple[Any, ...]) -> str:
    """Shapes of the arrays among the arguments."""
    return ", ".join(str(a.shape) for a in arguments if isinstance(a, np.ndarray))


@pytest.fixture(scope="session")
def peak() -> float:
    """GFLOP/s of one thread on this machine."""
    return measure()


@pytest.mark.parametrize("name", sorted(CASES))
def test_kernel(name: str, benchmark: Any, peak: float) -> None:
    """Time one kernel; GFLOP/s and its share of the peak go into ``extra_info``."""
    arguments, flop = CASES[name]
    function = getattr(kernels, name)
    function(*arguments)  # compiles, or loads what an earlier run compiled
    benchmark(function, *arguments)
    benchmark.extra_info |= {"name": name, "shapes": shapes(arguments)}
    if flop is not None and not benchmark.disabled:
        gflops = 1e-9 * flop / benchmark.stats.stats.median
        benchmark.extra_info |= {"flop": flop, "gflops": gflops, "share_of_peak": gflops / peak}
