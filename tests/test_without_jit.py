"""Every kernel as plain Python (NUMBA_DISABLE_JIT=1) agrees with its compiled self to 1e-5.

The Python run happens in a process of its own, which executes this file. No bits are promised
there: Python has no fused multiply-add and can't flush denormals.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minisgd_kernels as kernels

F32 = np.float32
DRAW = np.random.default_rng(3)
A = DRAW.normal(0, 2, (9, 11)).astype(F32)
B = DRAW.normal(0, 2, (9, 11)).astype(F32)
FLAT, POSITIVE = A.reshape(-1), np.abs(A).reshape(-1) + F32(0.5)
EDGES = np.array(
    [0, -0.0, 1, -1, 3e-39, 88.7, 89, -88, -104.5, 1e-7, 0.7, 1e30, np.inf, -np.inf, np.nan, 2, 3],
    F32,
)
LABELS = np.arange(9, dtype=np.int64) % 11
ONE_HOT = np.eye(11, dtype=F32)[LABELS]
KEY = np.array([7, 8], np.uint32)
COUNTER = np.array([2**32 - 2, 2**32 - 1, 5, 6], np.uint32)
LONG = DRAW.normal(0, 1, (2, 400)).astype(F32)
MANY = DRAW.normal(0, 1, (17, 3)).astype(F32)
WIDE = DRAW.normal(0, 1, (1, 8300)).astype(F32)
# Zeros that a product leaves out; the last columns fill no group of four.
SPARSE = np.tile(A, (2, 14))[:16, :130] * (np.arange(130) % 16 < 5).astype(F32)

# Kernel -> the arguments of its calls. What ends in _inplace (or pack) changes an array or two.
CALLS = {
    "accumulate_inplace": [(FLAT, POSITIVE)],
    "all_finite": [(FLAT,), (EDGES,)],
    "add": [(A, B), (A, B[0])],
    "average_inplace": [(FLAT, POSITIVE, F32(0.9))],
    "binary_hits": [(FLAT, FLAT, F32(0.5)), (np.ones(99, F32), FLAT, F32(0.5))],
    "categorical_hits": [(ONE_HOT, A), (np.full((1, 3), np.nan, F32),) * 2],
    "clip": [(FLAT, F32(-1), F32(1))],
    "clip_vjp": [(POSITIVE, FLAT, F32(-1), F32(1))],
    "clipped_by_norm": [(FLAT, F32(0.5)), (FLAT, F32(1000))],
    "clipped_by_value": [(FLAT, F32(0.5))],
    "copy_inplace": [(FLAT, POSITIVE), (FLAT, F32(0.5))],
    "count_zeros": [(FLAT,), (EDGES[:3],)],
    "decay_inplace": [(FLAT, F32(0.01))],
    "dense": [(A, B.T.copy(), B[:, 0].copy()), (A[:3], B.T.copy(), B[:, 0].copy())],
    "divide": [(A, B)],
    "elu": [(FLAT,), (EDGES,)],
    "elu_vjp": [(POSITIVE, FLAT)],
    "error_function": [(FLAT,), (EDGES,), (FLAT.astype(float),)],
    "error_function_complement": [(FLAT,), (EDGES,), (FLAT.astype(float),)],
    "exponential": [(FLAT,), (EDGES,), (FLAT.astype(float),)],
    "exponential_m1": [(FLAT,), (EDGES[1:6],), (FLAT.astype(float),)],
    "fused_elu": [(FLAT,), (EDGES,), (FLAT.astype(float),)],
    "fused_sigmoid": [(FLAT,), (EDGES,), (FLAT.astype(float),)],
    "fused_silu": [(FLAT,), (EDGES,)],
    "fused_tanh": [(FLAT,), (EDGES,), (FLAT.astype(float),)],
    "gelu": [(FLAT,), (EDGES,)],
    "gelu_tanh": [(FLAT,), (EDGES,)],
    "global_norm_factor": [(POSITIVE, F32(1), F32(1)), (np.zeros(2, F32), F32(1), F32(1))],
    "log_softmax": [(A,)],
    "logarithm": [(POSITIVE,), (EDGES,), (POSITIVE.astype(float),), (EDGES.astype(float),)],
    "logarithm_1p": [(POSITIVE,), (EDGES[:3],)],
    "matmul": [
        (A, B.T.copy()),
        (A, B[:1].T.copy()),
        (LONG, LONG.T.copy()),
        (A[:1], np.tile(B.T, (1, 8))),
        (A.astype(float), B.T.astype(float)),
        (SPARSE, np.tile(SPARSE.T, (1, 4)) + F32(30)),
    ],
    "matmul_nt": [(A, B), (A[:1], B), (MANY, MANY[:3].copy())],
    "matmul_tn": [
        (A, B),
        (A, np.tile(B, (1, 7))),
        (A.astype(float), B.astype(float)),
        (SPARSE, np.tile(A, (2, 7))[:16, :64] + F32(30)),
    ],
    "momentum_inplace": [(FLAT, POSITIVE, FLAT[::-1].copy(), F32(0.1), F32(0.9))],
    "moving_average_inplace": [(FLAT, POSITIVE, F32(0.9), F32(0.1))],
    "multiply": [(A, B)],
    "nesterov_inplace": [(FLAT, POSITIVE, FLAT[::-1].copy(), F32(0.1), F32(0.9))],
    "next_seed_inplace": [(np.array([3, 1]),)],
    "numbers": [(3,)],
    "pack": [(A, np.ones(9 * 16, F32))],
    "philox_normal": [(KEY, COUNTER, F32(0), F32(1), 301)],
    "philox_shuffle": [(KEY, COUNTER, 30)],
    "philox_stream": [(np.array([-7, 2**40]),)],
    "philox_truncated_normal": [(KEY, COUNTER, F32(0), F32(1), 41)],
    "philox_uint32": [(KEY, COUNTER, 30)],
    "philox_uniform": [(KEY, COUNTER, F32(0), F32(1), 30)],
    "power": [(POSITIVE, FLAT)],
    "product": [
        (a, b, a_turned, b_turned, False, eigen, avx512, threads)
        for a, b, a_turned, b_turned in (
            (A, B.T.copy(), False, False),
            (A[:1], B, False, True),
            (A[:, :1].copy(), B.T[:, :1].copy(), True, False),
            (MANY, MANY[:3].copy(), False, True),
            (LONG, LONG.T.copy(), False, False),
        )
        for eigen, avx512, threads in ((False, False, 2), (True, True, 2), (True, False, 1))
        if (a.shape[0] if a_turned else a.shape[1]) == (b.shape[1] if b_turned else b.shape[0])
    ],
    "reciprocal_root": [(POSITIVE,)],
    "reciprocal_root_vjp": [(FLAT, POSITIVE)],
    "relu": [(FLAT,), (EDGES,)],
    "relu_vjp": [(POSITIVE, FLAT)],
    "scalar_cosine": [(np.array([0.1, 1, 2, 4, 6, 100], F32),)],
    "scalar_logarithm": [(np.array([0.1, 1, 1000], F32),)],
    "scalar_power": [(np.repeat(np.array([0, 0.5, 2], F32), 3), np.tile(F32([0, 0.5, 3]), 3))],
    "scaled_exponential_m1": [(FLAT, F32(0.7))],
    "scaled": [(FLAT, F32(0.3))],
    "gather_rows": [(A, np.array([1, 0, 1]))],
    "sparse_hits": [(LABELS, A)],
    "scatter_add": [(FLAT, np.arange(99) % 7, 7)],
    "sgd_inplace": [(FLAT, POSITIVE, F32(0.1))],
    "selu": [(FLAT,), (EDGES,)],
    "selu_vjp": [(POSITIVE, FLAT)],
    "sigmoid": [(FLAT,), (EDGES,), (FLAT.astype(float),)],
    "sigmoid_vjp": [(POSITIVE, FLAT)],
    "silu": [(FLAT,), (EDGES,)],
    "softmax": [(A, 16), (WIDE[:, :300].copy(), 8), (np.full((1, 3), np.nan, F32), 16)],
    "softmax_cross_entropy": [(A, ONE_HOT), (A.astype(float), ONE_HOT.astype(float))],
    "softmax_cross_entropy_backprop": [
        (A, ONE_HOT),
        (np.tile(A, (50, 1)), np.tile(ONE_HOT, (50, 1))),
        (WIDE, np.zeros_like(WIDE)),
    ],
    "softplus": [(FLAT,), (EDGES,)],
    "softsign": [(FLAT,), (EDGES,)],
    "sparse_softmax_cross_entropy": [(A, LABELS)],
    "sparse_softmax_cross_entropy_backprop": [(A, LABELS)],
    "square_root": [(POSITIVE,)],
    "square_root_vjp": [(POSITIVE, POSITIVE)],
    "squared_difference": [(A, B), (A, B[0])],
    "subtract": [(A, B)],
    "sum_all": [(A,), (WIDE,), (np.tile(WIDE, (1, 3)),)],
    "sum_first": [(A,), (np.tile(A, (2, 1)),)],
    "sum_last": [(A,), (WIDE,)],
    "sum_of_squares_inplace": [(np.zeros(3, F32), 1, FLAT)],
    "sum_rows": [(A,)],
    "tanh": [(FLAT,), (EDGES,), (FLAT.astype(float),)],
    "unpack": [(np.tile(FLAT, 2)[: 9 * 16].copy(), A)],
    "where": [(FLAT > 0, FLAT, POSITIVE)],
    "zero_maps": [
        (
            0,
            1,
            x,
            np.zeros((9, -(-x.shape[1] // 64)), int),
            np.zeros((9, -(-x.shape[1] // 4)), np.uint8),
        )
        for x in (np.maximum(A, 0), np.maximum(np.tile(A, 9), 0))
    ],
}


def results() -> dict[str, np.ndarray]:
    """What every call returns, or leaves in its arrays."""
    found = {}
    for name, calls in CALLS.items():
        for number, arguments in enumerate(calls):
            own = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
            value = getattr(kernels, name)(*own)
            two = "inplace" in name or "pack" in name
            written = {"zero_maps": slice(3, 5)}.get(name, slice(2 if two else 1))
            changed = [value] if value is not None else own[written]
            changed = list(value) if isinstance(value, tuple) else changed
            for i, array in enumerate(changed):
                found[f"{name} {number} {i}"] = np.asarray(array)
    return found


def test_every_kernel_has_its_calls():
    assert sorted(CALLS) == list(kernels.__all__)


def test_plain_python_agrees_with_the_compiler(tmp_path):
    subprocess.run(
        [sys.executable, "-W", "ignore", __file__, str(tmp_path / "plain.npz")],
        check=True,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    compiled = results()
    with np.load(tmp_path / "plain.npz") as plain:
        assert sorted(plain) == sorted(compiled)
        for name, value in compiled.items():
            np.testing.assert_allclose(plain[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", ["philox_uint32", "philox_shuffle"])
def test_whole_numbers_are_equal(name):
    function = getattr(kernels, name)
    with np.errstate(over="ignore"):  # the streams count modulo 2**64
        plain = function.py_func(*CALLS[name][0])
    np.testing.assert_array_equal(function(*CALLS[name][0]), plain)


if __name__ == "__main__":
    np.savez(Path(sys.argv[1]), **results())
