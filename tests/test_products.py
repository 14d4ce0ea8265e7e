"""Matrix products against plain NumPy that spells out the order of rounding, to the last bit."""

from fractions import Fraction

import numba
import numpy as np
import pytest

import minisgd_kernels as kernels
from minisgd.parity.compare import compare
from minisgd_kernels import _order, _tiled, _zeros

F32 = np.float32


def assert_same_bits(received, expected):
    difference = compare("product", received, expected)
    assert difference.equal, str(difference)


def normals(*shape, seed=0, dtype=F32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# --- an emulation of fused multiply-add, and of the matrix product's order ---
def fma32(a, b, c):
    """Float32 fma, exactly: the product is exact in float64, the sum is rounded to odd there."""
    p = a.astype(np.float64) * b.astype(np.float64)
    c = np.broadcast_to(c, p.shape).astype(np.float64)
    s = p + c
    back = s - p
    error = (p - (s - back)) + (c - back)  # Knuth's two-sum: p + c == s + error
    even = (s.view(np.int64) & 1) == 0
    odd = np.where((error != 0) & even, np.nextafter(s, np.copysign(np.inf, error)), s)
    return odd.astype(F32)


def fma64(a, b, c):
    """Float64 fma for one number, in exact rational arithmetic."""
    return float(Fraction(a) * Fraction(b) + Fraction(c))


def blocks_of(k_end):
    """oneDNN's cut of K: 384 while at least 768 are left, then halves, then the rest."""
    cuts, k = [], 0
    while k < k_end:
        rest = k_end - k
        size = 384 if rest >= 768 else (rest + 1) // 2 if rest > 384 else rest
        cuts.append((k, k + size))
        k += size
    return cuts


def chain(a, b, start, stop):
    """Fused products for k ascending, from 0."""
    s = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for k in range(start, stop):
        if a.dtype == F32:
            s = fma32(a[:, k, None], b[None, k, :], s)
        else:
            for i, j in np.ndindex(s.shape):
                s[i, j] = fma64(a[i, k], b[k, j], s[i, j])
    return s


def chains(a, b, blocks):
    """A chain for each block of K; their sums from left to right."""
    out = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for start, stop in blocks:
        out = out + chain(a, b, start, stop)
    return out


def lanes(a, b, start, stop, width):
    """`width` sums in turn over k."""
    return [
        chain(a[:, start + lane : stop : width], b[start + lane : stop : width], 0, n)
        for lane in range(width)
        for n in [len(range(start + lane, stop, width))]
    ]


def dots(a, b):
    """Eight lanes over whole sixteens, then over pieces of 8, 4, 2 and 1; each folded and added."""
    out, k, end = np.zeros((a.shape[0], b.shape[1]), a.dtype), 0, a.shape[1]
    for piece in (16, 8, 4, 2, 1):
        stop = k + (end - k) // piece * piece
        if stop > k:
            s = lanes(a, b, k, stop, 8)
            out = out + (((s[0] + s[1]) + (s[4] + s[5])) + ((s[2] + s[3]) + (s[6] + s[7])))
            k = stop
    return out


def sixteen(a, b):
    """Sixteen lanes, folded 8-4-2-1."""
    s = lanes(a, b, 0, a.shape[1], 16)
    while len(s) > 1:
        s = [s[i] + s[i + len(s) // 2] for i in range(len(s) // 2)]
    return s[0]


def product(a, b):
    """``a @ b`` in the order that `matmul` and `dense` promise for small matrices."""
    if b.shape[1] == 1 and a.shape[0] > 1:
        return dots(a, b)
    return chains(a, b, [(0, a.shape[1])] if a.shape[0] == 1 else blocks_of(a.shape[1]))


def product_tn(a, b):
    """``a.T @ b``."""
    k = a.shape[0]
    single = 1 in (a.shape[1], b.shape[1])
    return chains(a.T, b, [(0, k)] if single else blocks_of(k))


def product_nt(a, b):
    """``a @ b.T``."""
    if 1 in (a.shape[0], b.shape[0]):
        return dots(a, b.T)
    if a.shape[0] < 16:
        return sixteen(a, b.T)
    return chains(a, b.T, blocks_of(a.shape[1]))


def test_the_emulated_fma_rounds_once():
    def distance(value, exact):
        return abs(Fraction(float(value)) - exact)

    rng = np.random.default_rng(1)
    a, b, c = (rng.standard_normal(3000).astype(F32) for _ in range(3))
    c[::3] = (-a[::3].astype(np.float64) * b[::3] * (1 + rng.choice([0, 1e-7], 1000))).astype(F32)
    expected = []
    for x, y, z in zip(a.tolist(), b.tolist(), c.tolist(), strict=True):
        exact = Fraction(x) * Fraction(y) + Fraction(z)
        near = F32(float(exact))  # within an ulp: choose the nearest of three
        candidates = [np.nextafter(near, F32(-np.inf)), near, np.nextafter(near, F32(np.inf))]
        expected.append(min(candidates, key=lambda v: (distance(v, exact), v.view(np.int32) & 1)))
    assert np.array_equal(fma32(a, b, c), np.array(expected, F32))


def test_blocks_of_k():
    sizes = {k: [stop - start for start, stop in blocks_of(k)] for k in (384, 385, 767, 768, 784)}
    assert sizes == {
        384: [384],
        385: [193, 192],
        767: [384, 383],
        768: [384, 384],
        784: [384, 200, 200],
    }


SHAPES = [(1, 1), (1, 10), (3, 1), (3, 10), (4, 17), (7, 3), (15, 4), (16, 3), (18, 5)]


@pytest.mark.parametrize("k", [1, 2, 3, 5, 10, 15, 16, 17, 31, 100, 383, 384, 385, 767, 784, 1200])
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_matrix_products(rows, columns, k):
    a, b, bias = normals(rows, k), normals(k, columns, seed=1), normals(columns, seed=2)
    assert_same_bits(kernels.matmul(a, b), product(a, b))
    assert_same_bits(kernels.dense(a, b, bias), product(a, b) + bias)
    assert_same_bits(kernels.matmul_tn(a.T.copy(), b), product_tn(a.T, b))
    assert_same_bits(kernels.matmul_nt(a, b.T.copy()), product_nt(a, b.T))


# Wide tiles, what they leave to narrow ones, and what those leave to a mask.
TILED = [(1, 64), (1, 83), (2, 63), (4, 64), (5, 65), (6, 80), (7, 96), (18, 133), (64, 16)]


@pytest.mark.parametrize("k", [1, 2, 33, 385, 700])
@pytest.mark.parametrize(("rows", "columns"), TILED)
def test_matrix_products_of_many_columns(rows, columns, k):
    a, b, bias = normals(rows, k), normals(k, columns, seed=1), normals(columns, seed=2)
    assert_same_bits(kernels.matmul(a, b), product(a, b))
    assert_same_bits(kernels.dense(a, b, bias), product(a, b) + bias)
    assert_same_bits(kernels.matmul_tn(a.T.copy(), b), product_tn(a.T, b))
    assert_same_bits(kernels.matmul_nt(a, b.T.copy()), product_nt(a, b.T))


@pytest.mark.parametrize("dtype", [F32, np.float64])
@pytest.mark.parametrize(("rows", "columns"), [(1, 3), (3, 1), (2, 3), (17, 70)])
def test_a_product_over_nothing_is_zero(rows, columns, dtype):
    a, b, zeros = np.ones((rows, 0), dtype), np.ones((0, columns), dtype), np.zeros((rows, columns))
    for out in (
        kernels.matmul(a, b),
        kernels.matmul_tn(a.T.copy(), b),
        kernels.matmul_nt(a, b.T.copy()),
    ):
        assert_same_bits(out, zeros.astype(dtype))  # not -0


@pytest.mark.parametrize("turned", [False, True])
def test_any_layout_has_the_same_product(turned):
    a, b = normals(6, 400), normals(400, 70, seed=1)
    expected = kernels.matmul(a, b)
    if turned:
        assert_same_bits(kernels.matmul_tn(np.asfortranarray(a.T), b), expected)
    assert_same_bits(kernels.matmul(np.asfortranarray(a), b), expected)
    assert_same_bits(kernels.matmul(np.repeat(a, 2, 1)[:, ::2], b), expected)


@numba.njit
def between_guards(a, b, ends, memory, turned):
    """The product of tiles, in the middle of `memory`."""
    rows, columns = a.shape[1] if turned else a.shape[0], b.shape[1]
    out = memory[GUARD:-GUARD].reshape((rows, columns))
    if turned:
        _tiled.tiled_tn(out, a, b, ends)
    else:
        _tiled.tiled(out, a, b, ends)


GUARD = 100


@pytest.mark.parametrize(("rows", "columns"), TILED)
@pytest.mark.parametrize("turned", [False, True])
def test_tiles_write_nothing_beyond_the_matrix(rows, columns, turned):
    a, b, ends = normals(rows, 9), normals(9, columns, seed=1), np.array([4, 9])
    memory = np.full(rows * columns + 2 * GUARD, 7, F32)
    between_guards(a.T.copy() if turned else a, b, ends, memory, turned)
    assert (memory[:GUARD] == 7).all() and (memory[-GUARD:] == 7).all()
    assert_same_bits(memory[GUARD:-GUARD].reshape(rows, columns), chains(a, b, [(0, 4), (4, 9)]))


@pytest.mark.parametrize("k", [1, 7, 385])
@pytest.mark.parametrize(("rows", "columns"), [(5, 2), (1, 3), (17, 2)])
def test_matrix_products_in_float64(rows, columns, k):
    a = normals(rows, k, dtype=np.float64)
    b = normals(k, columns, seed=1, dtype=np.float64)
    bias = normals(columns, dtype=np.float64)
    assert_same_bits(kernels.matmul(a, b), product(a, b))
    assert_same_bits(kernels.dense(a, b, bias), product(a, b) + bias)
    assert_same_bits(kernels.matmul_tn(a.T.copy(), b), product_tn(a.T, b))
    assert_same_bits(kernels.matmul_nt(a, b.T.copy()), product_nt(a, b.T))


# Shapes for which oneDNN packs the matrices: full blocks of 384 and a rest.
@pytest.mark.parametrize(
    ("rows", "columns", "k", "ends"),
    [
        (32, 128, 784, [384, 584, 784]),
        (128, 1024, 784, [384, 768, 784]),  # rows of 1,024 elements
        (900, 1000, 784, [384, 584, 784]),
        (2048, 1030, 784, [384, 768, 784]),  # both sides large
        (1, 300, 784, [784]),
        (1, 500, 784, [392, 784]),  # does not fit into the cache: half of it for each thread
        (1, 2000, 784, [784]),
        (500, 1, 784, [392, 784]),
        (10, 10, 0, []),
    ],
)
def test_where_blocks_end(rows, columns, k, ends):
    assert _order.k_ends(rows, columns, k, False, False).tolist() == ends


def test_a_packed_product():
    a, b = normals(101, 800), normals(800, 1024, seed=1)
    out = kernels.matmul(a, b)[:3, :5]
    blocks = [(0, 384), (384, 768), (768, 800)]
    assert_same_bits(out, chains(a[:3], np.ascontiguousarray(b[:, :5]), blocks))


def test_the_gradient_of_a_kernel_is_packed_by_its_own_rule():
    assert _order.k_ends(784, 1024, 1000, True, False).tolist() == [384, 768, 1000]
    assert _order.k_ends(784, 512, 1000, True, False).tolist() == [384, 692, 1000]


def test_a_product_is_not_a_chain_of_rounded_products():
    a, b = normals(4, 64), normals(64, 4, seed=1)
    unfused = np.zeros((4, 4), F32)
    for k in range(64):
        unfused = unfused + a[:, k, None] * b[None, k, :]
    assert not np.array_equal(kernels.matmul(a, b), unfused)


def test_without_blocks_the_bits_are_others():
    a, b = normals(4, 784), normals(784, 8, seed=1)
    assert not np.array_equal(kernels.matmul(a, b), chains(a, b, [(0, 784)]))


@pytest.mark.parametrize("rows", [2, 3, 4, 5, 9])
def test_a_row_does_not_depend_on_its_batch_while_there_is_one_block(rows):
    x, w, b = normals(rows, 384), normals(384, 10, seed=1), normals(10, seed=2)
    together = kernels.dense(x, w, b)
    alone = [kernels.dense(x[i : i + 1].copy(), w, b) for i in range(rows)]
    assert_same_bits(together, np.concatenate(alone))
    assert_same_bits(
        kernels.softmax(together, 16), np.concatenate([kernels.softmax(z, 16) for z in alone])
    )


def test_products_do_not_hide_nan():
    a, b = np.zeros((5, 3), F32), np.zeros((3, 2), F32)
    a[4, 1] = np.nan
    out = kernels.matmul(a, b)
    assert np.isnan(out[4]).all()
    assert not out[:4].any()
    b[0, 0] = np.inf  # 0 * inf
    assert np.isnan(kernels.matmul(a, b)[0, 0])


# --- terms that are left out ---
@numba.njit
def maps(a, b, ends, turned):
    return _zeros.maps_of_columns(a, b, ends) if turned else _zeros.maps_of_rows(a, b, ends)


def pictures(rows, k):
    """Like images: most pixels are 0 in most of them, and those beside each other are alike."""
    x = normals(rows, k, seed=3)
    x[:, np.random.default_rng(4).random((k + 5) // 6).repeat(6)[:k] < 0.6] = 0
    x[np.random.default_rng(5).random((rows, k)) < 0.2] = 0
    return x


def bits(words, count):
    """The first bits of int64 words."""
    ones = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), bitorder="little")
    return ones[:count].astype(bool)


@pytest.mark.parametrize("ends", [[384], [385], [192, 385], [384, 584, 784], [384, 768, 784]])
@pytest.mark.parametrize("rows", [16, 19])
def test_maps_of_rows(rows, ends):
    a, b = pictures(rows, ends[-1]), normals(ends[-1], 64, seed=1)
    found = maps(a, b, np.array(ends), False)
    assert len(found) == (rows + 3) // 4
    for group, words in enumerate(found):
        at, start = 0, 0
        for end in ends:
            used = (a[4 * group : 4 * group + 4, start:end] != 0).any(axis=0)
            length = (end - start + 63) // 64
            padded = np.zeros(64 * length, bool)  # no bit is set beyond the block
            padded[: end - start] = used
            np.testing.assert_array_equal(bits(words[at : at + length], 64 * length), padded)
            at, start = at + length, end


@pytest.mark.parametrize("ends", [[3], [64], [150], [70, 150]])
@pytest.mark.parametrize("columns", [64, 130, 784])
def test_maps_of_columns(columns, ends):
    a, b = pictures(ends[-1], columns), normals(ends[-1], 64, seed=1)
    found, at, start = maps(a, b, np.array(ends), True), 0, 0
    assert found.shape == (sum((n + 63) // 64 for n in np.diff([0, *ends])), (columns + 3) // 4)
    for end in ends:
        length = (end - start + 63) // 64
        for group in range((columns + 3) // 4):
            used = (a[start:end, 4 * group : 4 * group + 4] != 0).any(axis=1)
            used |= 4 * group + 4 > columns  # taken without a look
            padded = np.zeros(64 * length, bool)
            padded[: end - start] = used
            words = found[at : at + length, group].copy()
            np.testing.assert_array_equal(bits(words, 64 * length), padded)
        at, start = at + length, end


@pytest.mark.parametrize("k", [64, 100, 385, 700])
@pytest.mark.parametrize(("rows", "columns"), [(16, 64), (18, 70), (33, 133)])
def test_leaving_out_zeros_changes_no_bit(rows, columns, k):
    a, b, bias = pictures(rows, k), normals(k, columns, seed=1), normals(columns, seed=2)
    assert len(maps(a, b, np.array([k]), False)) > 0
    assert_same_bits(kernels.matmul(a, b), product(a, b))
    assert_same_bits(kernels.dense(a, b, bias), product(a, b) + bias)
    assert_same_bits(kernels.matmul_nt(a, b.T.copy()), product_nt(a, b.T))


@pytest.mark.parametrize("k", [1, 32, 150, 385])
@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (101, 70), (784, 133)])
def test_leaving_out_zeros_changes_no_bit_of_a_gradient(rows, columns, k):
    a, b = pictures(k, rows), normals(k, columns, seed=1)
    assert len(maps(a, b, np.array([k]), True)) > 0
    assert_same_bits(kernels.matmul_tn(a, b), product_tn(a, b))


@pytest.mark.parametrize("turned", [False, True])
def test_where_zeros_are_not_left_out(turned):
    def is_left_out(a, b):
        return maps(a, b, np.array([100]), turned).size > 0

    shape = (100, 80) if turned else (80, 100)
    a, b = pictures(*shape), normals(100, 64, seed=1)
    assert is_left_out(a, b)
    assert is_left_out(a, np.where(b > 0, b, F32(-0.0)))
    assert not is_left_out(normals(*shape), b)  # there are none
    assert not is_left_out(a, b[:, :3].copy())  # few columns
    for wrong in (np.nan, np.inf, -np.inf, 1e-19, -1e-19, 1e-40):
        changed = b.copy()
        changed[-1, -1] = wrong
        assert not is_left_out(a, changed), wrong
    for wrong in (np.nan, np.inf, 9e-7, -9e-7, 1e-40):
        changed = a.copy()
        changed[-1, -1] = wrong
        assert not is_left_out(changed, b), wrong


@pytest.mark.parametrize("turned", [False, True])
def test_zeros_are_not_left_out_where_that_would_show(turned):
    a, b = np.zeros((64, 100), F32), np.ones((100, 64), F32)
    a[:, 0], b[0] = 1e-25, -1e-25  # the product is flushed to -0, which the next 0 makes 0
    b[50, 7] = np.inf
    out = kernels.matmul_tn(a.T.copy(), b) if turned else kernels.matmul(a, b)
    assert np.isnan(out[:, 7]).all()
    out[:, 7] = 0
    assert_same_bits(out, np.zeros_like(out))
    b[50, 7] = 1
    out = kernels.matmul_tn(a.T.copy(), b) if turned else kernels.matmul(a, b)
    assert_same_bits(out, np.zeros_like(out))
