"""Compute kernels against plain NumPy that spells out the order of rounding, to the last bit."""

import ctypes
import ctypes.util
import os
import platform
import subprocess
import sys

import numba
import numpy as np
import pytest

import minisgd_kernels as kernels
from minisgd_kernels import _math

F32 = np.float32
DENORMAL = F32(1e-40)

glibc = pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc",
    reason="the reference is glibc's libm, which is not on this system",
)


def assert_same_bits(received, expected):
    received, expected = np.asarray(received), np.asarray(expected)
    assert received.dtype == expected.dtype
    assert received.shape == expected.shape
    integer = {4: np.int32, 8: np.int64}[received.dtype.itemsize]
    different = np.flatnonzero(received.view(integer) != expected.view(integer))
    assert not different.size, (
        f"{different.size} of {received.size} differ, first at {different[0]}: "
        f"{received.flat[different[0]]!r} != {expected.flat[different[0]]!r}"
    )


def normals(*shape, seed=0, dtype=F32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# --- sums ---
def fold(v):
    """Lane i with i + 4, then i + 2, then i + 1."""
    v = v[:4] + v[4:]
    v = v[:2] + v[2:]
    return v[0] + v[1]


def eigen_sum(x):
    """Sum of a vector in Eigen's order, written as the recursion that it is."""
    if x.size > 8192:
        middle = ((x.size + 1) // 2 + 7) // 8 * 8
        return eigen_sum(x[:middle]) + eigen_sum(x[middle:])
    zero = x.dtype.type(0)
    quads = x.size // 32 * 32
    packets = np.zeros((4, 8), x.dtype)
    for i in range(0, quads, 32):
        packets = packets + x[i : i + 32].reshape(4, 8)
    total = ((packets[0] + packets[1]) + packets[2]) + packets[3]
    whole = x.size // 8 * 8
    for i in range(quads, whole, 8):
        total = total + x[i : i + 8]
    rest = zero
    for v in x[whole:]:
        rest = rest + v
    return rest + fold(total)


@pytest.mark.parametrize("dtype", [F32, np.float64])
@pytest.mark.parametrize("n", [1, 7, 8, 9, 31, 32, 33, 71, 128, 8192, 8193, 16384, 16400, 50001])
def test_sum_of_a_vector(n, dtype):
    x = normals(1, n, dtype=dtype)
    assert_same_bits(kernels.sum_all(x), eigen_sum(x[0]))
    assert_same_bits(kernels.sum_last(x), np.array([eigen_sum(x[0])]))


def test_sum_of_nothing_is_zero():
    assert kernels.sum_all(np.empty((0, 3), F32)) == 0
    assert kernels.sum_first(np.empty((0, 3), F32)).tolist() == [0, 0, 0]
    assert kernels.sum_last(np.empty((3, 0), F32)).tolist() == [0, 0, 0]


def test_sum_over_the_last_axis_sums_each_row_alone():
    x = normals(5, 77)
    assert_same_bits(kernels.sum_last(x), np.array([eigen_sum(row) for row in x]))


@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 3), (15, 8), (16, 8), (16, 7), (33, 20), (18, 9)]
)
def test_sum_over_the_first_axis(rows, columns):
    x = normals(rows, columns)
    in_order = np.zeros(columns, F32)
    for row in x:
        in_order = in_order + row
    expected = in_order.copy()
    if rows >= 16:
        wide = columns // 8 * 8
        four = rows // 4 * 4
        sums = [np.zeros(wide, F32) for _ in range(4)]
        for i in range(four):
            sums[i % 4] = sums[i % 4] + x[i, :wide]
        part = ((sums[0] + sums[1]) + sums[2]) + sums[3]
        for i in range(four, rows):
            part = part + x[i, :wide]
        expected[:wide] = part
    assert_same_bits(kernels.sum_first(x), expected)
    assert_same_bits(kernels.sum_rows(x), in_order)


def test_minus_zero_stays_minus_zero_in_a_bias():
    x = np.array([[-0.0, 0.0, -0.0]], F32)
    assert_same_bits(kernels.sum_rows(x), x[0])
    assert_same_bits(kernels.sum_rows(np.repeat(x, 3, axis=0)), x[0])


def test_many_narrow_rows_are_summed_in_two_halves():
    x = normals(12_445, 10)
    halves = [np.cumsum(part, axis=0)[-1] for part in (x[:6223], x[6223:])]
    assert_same_bits(kernels.sum_rows(x), halves[0] + halves[1])
    assert_same_bits(kernels.sum_rows(x[:-1].copy()), np.cumsum(x[:-1], axis=0)[-1])


# --- relu ---
def test_relu_at_the_edges():
    x = np.array([-np.inf, -1, -0.0, 0.0, 1, np.inf, np.nan], F32)
    out = kernels.relu(x)
    assert out[:6].tolist() == [0, 0, 0, 0, 1, np.inf]
    assert np.isnan(out[6])


def test_relu_has_slope_zero_at_zero():
    g = np.arange(1, 7, dtype=F32)
    x = np.array([-np.inf, -1, -0.0, 0.0, 1e-30, np.inf], F32)
    assert kernels.relu_vjp(g, kernels.relu(x)).tolist() == [0, 0, 0, 0, 5, 6]


def test_the_slope_of_relu_is_a_factor():
    g = np.array([np.nan, np.nan, np.nan, -2, 2], F32)
    out = kernels.relu_vjp(g, np.array([0, 1, np.nan, 0, 0], F32))
    assert np.isnan(out[:3]).all()
    assert_same_bits(out[3:], np.array([-0.0, 0.0], F32))


# --- exp, log, sin, cos ---
@glibc
def test_elementary_functions_are_the_c_librarys():
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    functions = {}
    for name in ("expf", "logf", "sinf", "cosf"):
        functions[name] = getattr(libm, name)
        functions[name].restype = ctypes.c_float
        functions[name].argtypes = [ctypes.c_float]

    def reference(name, values):
        return np.array([functions[name](float(v)) for v in values], F32)

    rng = np.random.default_rng(3)
    # Arrays of seven: less than a packet, so that the kernels take the C library's functions.
    x = rng.uniform(-87, 88, (400, 7)).astype(F32)
    x[0] = [0, -0.0, 1, -1, 88.7, -87.3, 1e-20]
    assert_same_bits(
        np.concatenate([kernels.exponential(row) for row in x]), reference("expf", x.ravel())
    )
    x = np.exp(rng.uniform(-80, 80, (400, 7))).astype(F32)
    x[0] = [1, 1.0000001, 0.99999994, 2, 0.5, 1e-7, 3e38]
    assert_same_bits(
        np.concatenate([kernels.logarithm(row) for row in x]), reference("logf", x.ravel())
    )
    angles = np.concatenate([rng.uniform(0, 2 * np.pi, 3000), [0, 0.785398, np.pi, 6.2831853]])
    angles = angles.astype(F32)
    sin_cos = numba.njit(lambda angle: _math.libm_sin_cos(angle))  # it is for kernels to call
    both = np.array([sin_cos(a) for a in angles], F32)
    assert_same_bits(both[:, 0].copy(), reference("sinf", angles))
    assert_same_bits(both[:, 1].copy(), reference("cosf", angles))


@pytest.mark.parametrize("n", [7, 16])  # the C library's functions, and Eigen's
def test_exp_and_log_at_the_edges(n):
    def each(function, value):
        out = function(np.full(n, value, F32))
        assert np.isnan(out).all() or (out == out[0]).all()
        return float(out[0])

    assert each(kernels.exponential, 0) == 1
    assert each(kernels.exponential, 1) == F32(np.e)
    assert each(kernels.exponential, 100) == np.inf
    assert each(kernels.exponential, np.inf) == np.inf
    assert each(kernels.exponential, -np.inf) == 0
    assert each(kernels.exponential, -100) == 0  # 3.8e-44 is denormal: flushed
    assert np.isnan(each(kernels.exponential, np.nan))
    assert each(kernels.logarithm, 1) == 0
    assert each(kernels.logarithm, 0) == -np.inf
    assert each(kernels.logarithm, DENORMAL) == -np.inf
    assert each(kernels.logarithm, np.inf) == np.inf
    assert np.isnan(each(kernels.logarithm, -1))
    assert np.isnan(each(kernels.logarithm, np.nan))


@pytest.mark.parametrize("dtype", [F32, np.float64])
def test_exp_and_log_are_accurate(dtype):
    x = np.random.default_rng(0).uniform(-80, 80, 4096).astype(dtype)
    limit = 2 * np.finfo(dtype).eps
    exact = np.exp(x.astype(np.longdouble))
    assert np.max(np.abs(kernels.exponential(x) / exact - 1)) < limit
    positive = np.abs(x) + dtype(2)
    assert (
        np.max(np.abs(kernels.logarithm(positive) / np.log(positive.astype(np.longdouble)) - 1))
        < limit
    )


# --- softmax and cross-entropy ---
@pytest.mark.parametrize("dtype", [F32, np.float64])
def test_softmax_values(dtype):
    z = normals(9, 10, dtype=dtype) * dtype(10)
    e = np.exp(z.astype(np.longdouble) - z.max(1, keepdims=True))
    p = kernels.softmax(z, 16)
    assert p.dtype == dtype
    np.testing.assert_allclose(p, e / e.sum(1, keepdims=True), rtol=40 * np.finfo(dtype).eps)


def test_softmax_of_large_tied_and_broken_logits():
    z = np.array([[1e30, 1e30, -1e30], [5, 5, 5], [np.inf, 0, 0], [np.nan, 0, 0]], F32)
    with np.errstate(all="ignore"):
        p = kernels.softmax(z, 16)
    assert p[0].tolist() == [0.5, 0.5, 0]
    np.testing.assert_allclose(p[1], 1 / 3, rtol=1e-6)
    assert np.isnan(p[2:]).all()


@pytest.mark.parametrize("rows", [1, 3, 8, 32])
def test_cross_entropy_in_eigens_order(rows):
    logits = normals(rows, 10) * F32(5)
    labels = np.random.default_rng(5).integers(0, 10, rows)
    y = np.eye(10, dtype=F32)[labels]
    z = logits - logits.max(1, keepdims=True)
    sums = []
    for row in z:
        e = np.concatenate(
            [kernels.exponential(row[:8].copy()), kernels.exponential(row[8:].copy())]
        )
        sums.append(eigen_sum(e))
    sums = np.array(sums, F32)
    log_sums = kernels.logarithm(sums)
    loss = np.array([eigen_sum(a * (b - c)) for a, b, c in zip(y, log_sums, z, strict=True)])
    assert_same_bits(kernels.softmax_cross_entropy(logits, y), loss)
    gradient = kernels.exponential(z.reshape(-1)).reshape(z.shape) / sums[:, None] - y
    assert_same_bits(kernels.softmax_cross_entropy_backprop(logits, y), gradient)
    sparse = kernels.sparse_softmax_cross_entropy_backprop(logits, labels)
    assert_same_bits(sparse, gradient)
    np.testing.assert_allclose(
        kernels.sparse_softmax_cross_entropy(logits, labels), loss, rtol=1e-5, atol=1e-6
    )


def test_a_hopeless_sample_keeps_its_loss_and_gradient():
    logits, y = np.array([[200, 0, 0]], F32), np.array([[0, 1, 0]], F32)
    assert kernels.softmax_cross_entropy(logits, y).tolist() == [200]
    assert kernels.softmax_cross_entropy_backprop(logits, y).tolist() == [[1, -1, 0]]


def test_the_gradient_is_p_minus_y_even_for_labels_that_do_not_sum_to_one():
    logits, y = np.zeros((1, 4), F32), np.array([[2, 0, 0, 0]], F32)
    out = kernels.softmax_cross_entropy_backprop(logits, y)
    assert out.tolist() == [[-1.75, 0.25, 0.25, 0.25]]


@pytest.mark.parametrize("kernel", ["softmax_cross_entropy", "softmax_cross_entropy_backprop"])
def test_cross_entropy_shows_nan(kernel):
    logits, y = np.zeros((2, 3), F32), np.eye(3, dtype=F32)[:2].copy()
    logits[1, 2] = np.nan
    out = getattr(kernels, kernel)(logits, y)
    assert np.isfinite(out[0]).all()
    assert np.isnan(out[1]).all()


# --- updates ---
@pytest.mark.parametrize("dtype", [F32, np.float64])
def test_updates_round_every_product_and_every_sum(dtype):
    w, v, g = (normals(1000, seed=s, dtype=dtype) for s in range(3))
    lr, mu = dtype(0.01), dtype(0.9)

    received = w.copy()
    kernels.sgd_inplace(received, g, lr)
    assert_same_bits(received, w - g * lr)

    received, velocity = w.copy(), v.copy()
    kernels.momentum_inplace(received, velocity, g, lr, mu)
    assert_same_bits(velocity, v * mu - g * lr)
    assert_same_bits(received, w + (v * mu - g * lr))

    received, velocity = w.copy(), v.copy()
    kernels.nesterov_inplace(received, velocity, g, lr, mu)
    new = v * mu - g * lr
    assert_same_bits(velocity, new)
    assert_same_bits(received, w + (new * mu - g * lr))


def test_a_fused_update_would_differ():
    w, g, lr = normals(1000), normals(1000, seed=1), np.full(1000, 0.01, F32)
    received = w.copy()
    kernels.sgd_inplace(received, g, lr[0])
    fused = w - g.astype(np.float64) * lr  # the product is exact: one rounding at the end
    assert np.count_nonzero(received != fused.astype(F32)) > 0


# --- the processor's mode ---
def denormals_work():
    return bool(DENORMAL * F32(1) > 0) and bool((np.array([DENORMAL]) + F32(0))[0] > 0)


CALLS = {
    "add": lambda d: kernels.add(d, np.zeros_like(d)),
    "subtract": lambda d: kernels.subtract(d, np.zeros_like(d)),
    "multiply": lambda d: kernels.multiply(d, np.ones_like(d)),
    "divide": lambda d: kernels.divide(d, np.ones_like(d)),
    "matmul": lambda d: kernels.matmul(d, np.ones((8, 1), F32)),
    "dense": lambda d: kernels.dense(d, np.ones((8, 1), F32), np.zeros(1, F32)),
    "sum_all": lambda d: kernels.sum_all(d),
    "sum_first": lambda d: kernels.sum_first(d),
    "sum_last": lambda d: kernels.sum_last(d),
    "sum_rows": lambda d: kernels.sum_rows(d),
    "clipped_by_value": lambda d: kernels.clipped_by_value(d.reshape(-1), F32(1)),
}


@pytest.mark.parametrize("name", CALLS)
def test_denormals_are_zero_inside_a_kernel_and_nowhere_else(name):
    assert denormals_work()
    out = CALLS[name](np.full((1, 8), DENORMAL, F32))
    assert not out.any()
    assert denormals_work(), f"{name} left the processor flushing denormals"


def test_updates_flush_denormals():
    w, v, g = (np.full(8, DENORMAL, F32) for _ in range(3))
    kernels.momentum_inplace(w, v, g, F32(0), F32(0.9))
    assert not v.any()
    assert not w.any()
    assert denormals_work()


# --- Philox ---
@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [
        ((0, 0), (0, 0, 0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 4, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0xA4093822, 0x299F31D0),
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_known_answers(key, counter, words):
    out = kernels.philox_uint32(np.array(key, np.uint32), np.array(counter, np.uint32), 4)
    assert " ".join(f"{word:08x}" for word in out) == words


def test_philox_counter_carries_through_all_words():
    key = np.array([1, 2], np.uint32)
    top = 0xFFFFFFFF
    stream = kernels.philox_uint32(key, np.array([top, top, 5, 6], np.uint32), 12)
    for block, counter in enumerate([(top, top, 5, 6), (0, 0, 6, 6), (1, 0, 6, 6)]):
        alone = kernels.philox_uint32(key, np.array(counter, np.uint32), 4)
        assert alone.tolist() == stream[4 * block : 4 * block + 4].tolist()


def test_philox_prefix_does_not_depend_on_length():
    key, counter = np.array([1, 2], np.uint32), np.array([3, 4, 5, 6], np.uint32)
    bounds = (F32(-1), F32(1))
    for kernel, arguments in (
        (kernels.philox_uint32, ()),
        (kernels.philox_uniform, bounds),
        (kernels.philox_normal, bounds),
        (kernels.philox_truncated_normal, bounds),
    ):
        whole = kernel(key, counter, *arguments, 23)
        for n in (0, 1, 2, 3, 4, 5, 22):
            assert kernel(key, counter, *arguments, n).tolist() == whole[:n].tolist()


def test_shuffle_is_a_permutation():
    key, counter = np.array([1, 2], np.uint32), np.array([0, 0, 5, 6], np.uint32)
    for n in (0, 1, 2, 3, 1000):
        order = kernels.philox_shuffle(key, counter, n)
        assert order.dtype == np.int64
        assert sorted(order.tolist()) == list(range(n))


def test_two_processes_fill_an_empty_cache_at_once(tmp_path):
    """Each finds its own signature's code afterwards, and the other's."""
    code = """if True:
        import sys
        import numpy as np
        import minisgd_kernels as kernels
        for dtype in sys.argv[1:]:
            total = kernels.sum_all(np.ones((1, 50), dtype))
            assert total == 50 and total.dtype == dtype
    """
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }

    def start(*dtypes):
        return subprocess.Popen([sys.executable, "-c", code, *dtypes], env=environment)

    for process in [start("f4"), start("f8")]:
        assert process.wait(120) == 0
    saved = sorted(path.name for path in tmp_path.rglob("*sum_all*.nbc"))
    assert len(saved) == 2
    assert start("f4", "f8").wait(120) == 0
