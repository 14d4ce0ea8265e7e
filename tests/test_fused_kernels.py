"""The fused kernels against the general ones, to the last bit, for any number of threads."""

import threading

import numba
import numpy as np
import pytest

import minisgd_kernels as kernels
from minisgd_kernels import _block, _threads, _tile, fused, fused_loss, packing
from minisgd_kernels._intrinsics import flush_denormals, restore_denormals
from minisgd_kernels.fused_update import (
    MOMENTUM,
    NESTEROV,
    SGD,
    STORE,
    bias_step,
    sums_size,
    weight_step,
)

F32 = np.float32
LR, MU = F32(0.01), F32(0.9)
BEFORE = 3  # samples of the data before the batch


def assert_same_bits(received, expected):
    assert received.dtype == expected.dtype == F32
    assert received.shape == expected.shape
    nan = np.isnan(received) & np.isnan(expected)
    different = (received.view(np.int32) != expected.view(np.int32)) & ~nan
    assert not different.any(), f"{different.sum()} of {different.size} differ"


def normals(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F32)


def in_room(a):
    """A copy in a matrix that has room for whole tiles, beside garbage."""
    rows, columns = a.shape
    room = packing.aligned_zeros((packing.padded(rows), packing.padded(columns)))
    room[:] = np.nan
    room[:rows, :columns] = a
    return room


def packed(w):
    p = packing.aligned_zeros(packing.packed_size(*w.shape))
    packing.pack(w, p)
    return p


def unpacked(p, shape):
    w = np.empty(shape, F32)
    packing.unpack(p, w)
    return w


def zero_maps(x, threads=1):
    maps = packing.new_maps(x)
    for thread in range(threads):
        packing.zero_maps(thread, threads, x, *maps)
    return maps


class Case:
    """A layer, a batch of data in any order, and a gradient."""

    def __init__(self, batch, inputs, units, threads, skip=False):
        self.sizes = batch, inputs, units
        self.threads = threads
        rng = np.random.default_rng(batch + inputs + units)
        x = normals(batch + 8, inputs)
        if skip:
            x *= rng.random(x.shape) < 0.2
            x[:, : inputs // 2] = 0
        self.data, self.order = x, rng.permutation(batch + 8)
        self.x = x[self.order[BEFORE : BEFORE + batch]]
        self.w, self.b, self.v = normals(inputs, units), normals(units), normals(inputs, units)
        self.g = normals(batch, units, seed=1)
        self.pixels, self.groups = zero_maps(x) if skip else packing.no_maps()
        self.words = packing.aligned_zeros(fused.words_size(max(inputs, units), batch), np.int64)
        sums = sums_size(inputs, units, batch)
        self.scratch = packing.aligned_zeros(max(fused.scratch_size(units), sums))

    def each_thread(self, part, *arguments):
        for thread in range(self.threads):
            part(thread, self.threads, *arguments)

    def dense(self, relu, w=None):
        batch, inputs, units = self.sizes
        out = in_room(np.zeros((batch, units), F32))
        bias = np.pad(self.b, (0, packing.padded(units) - units))
        w = packed(self.w) if w is None else w
        self.each_thread(
            fused.dense, self.data, self.order, BEFORE, batch, inputs, units, w, bias, out, relu,
            self.pixels, self.words,
        )  # fmt: skip
        return out[:batch, :units].copy()

    def input_gradient(self, act, relu):
        batch, inputs, units = self.sizes
        turned, out = packed(np.zeros((units, inputs), F32)), in_room(np.zeros_like(self.x))
        rows = np.arange(packing.padded(batch))
        self.each_thread(fused.turn, packed(self.w), inputs, units, turned)
        assert_same_bits(unpacked(turned, (units, inputs)), np.ascontiguousarray(self.w.T))
        self.each_thread(
            fused.input_gradient, in_room(self.g), rows, batch, inputs, units, turned,
            in_room(act), relu, out, self.words,
        )  # fmt: skip
        return out[:batch, :inputs].copy()

    def steps(self, rule):
        """Weights, velocities, biases and their velocities after an update."""
        batch, inputs, units = self.sizes
        w, v, g = packed(self.w), packed(self.v), in_room(self.g)
        b, vb = (np.pad(a, (0, packing.padded(units) - units)) for a in (self.b, self.v[0]))
        self.each_thread(
            weight_step, self.data, self.order, BEFORE, batch, inputs, units, g, w, v, rule,
            LR, MU, self.groups, self.words, self.scratch,
        )  # fmt: skip
        self.each_thread(bias_step, g, batch, units, b, vb, rule, LR, MU, self.scratch)
        shape = self.w.shape
        return unpacked(w, shape), unpacked(v, shape), b[:units].copy(), vb[:units].copy()


def stepped(rule, w, v, g):
    """Weights and velocities after an update by the general kernels."""
    w, v, g = w.copy(), v.copy(), g.reshape(-1)
    flat_w, flat_v = w.reshape(-1), v.reshape(-1)
    if rule == STORE:
        flat_w[:] = g
    elif rule == SGD:
        kernels.sgd_inplace(flat_w, g, LR)
    elif rule == MOMENTUM:
        kernels.momentum_inplace(flat_w, flat_v, g, LR, MU)
    else:
        kernels.nesterov_inplace(flat_w, flat_v, g, LR, MU)
    return w, v


SHAPES = [(784, 128), (785, 100), (128, 10), (1, 5), (7, 1), (1, 1), (3, 65), (400, 33), (130, 80)]
BATCHES = [1, 2, 15, 16, 33, 64, 100, 400]


@pytest.mark.parametrize("skip", [False, True], ids=["all", "skipping"])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch", BATCHES)
def test_layers_have_the_bits_of_the_general_kernels(batch, threads, skip):
    for inputs, units in SHAPES:
        case = Case(batch, inputs, units, threads, skip)
        z = kernels.dense(case.x, case.w, case.b)
        assert_same_bits(case.dense(relu=0), z)
        y = kernels.relu(z)
        assert_same_bits(case.dense(relu=1), y)
        dx = kernels.matmul_nt(case.g, case.w)
        assert_same_bits(case.input_gradient(case.x, relu=0), dx)
        assert_same_bits(case.input_gradient(case.x, relu=1), kernels.relu_vjp(dx, case.x))
        dw = kernels.matmul_tn(case.x, case.g)
        # A bias of one unit is summed as a vector (`minisgd.ops.reduce.bias_gradient`).
        db = kernels.sum_rows(case.g) if units > 1 else kernels.sum_all(case.g).reshape(1)
        for rule in (
            STORE,
            SGD,
            MOMENTUM,
            NESTEROV,
        ):
            expected = *stepped(rule, case.w, case.v, dw), *stepped(rule, case.b, case.v[0], db)
            for one, other in zip(case.steps(rule), expected, strict=True):
                assert_same_bits(one, other)


def test_products_that_the_reference_splits_or_packs():
    """A batch of one in halves, packed blocks of K, a bias gradient in halves."""
    for batch, inputs, units in ((1, 784, 500), (130, 1024, 1024), (12_500, 5, 10)):
        case = Case(batch, inputs, units, 2)
        assert_same_bits(case.dense(relu=0), kernels.dense(case.x, case.w, case.b))
        dw = kernels.matmul_tn(case.x, case.g)
        # A bias of one unit is summed as a vector (`minisgd.ops.reduce.bias_gradient`).
        db = kernels.sum_rows(case.g) if units > 1 else kernels.sum_all(case.g).reshape(1)
        w, _, b, _ = case.steps(SGD)
        assert_same_bits(w, stepped(SGD, case.w, case.v, dw)[0])
        assert_same_bits(b, stepped(SGD, case.b, case.v[0], db)[0])


# --- the cross-entropies ---
def losses(logits, y, order, threads, sparse, of_logits=0, gradient=True):
    batch, classes = logits.shape
    part = fused_loss.softmax_cross_entropy_step
    if sparse:
        part = fused_loss.sparse_softmax_cross_entropy_step
    g = in_room(np.zeros_like(logits)) if gradient else np.zeros((0, 16), F32)
    out, hits = np.zeros(packing.padded(batch), F32), np.zeros(16 * threads, np.int64)
    scratch = packing.aligned_zeros(fused.scratch_size(classes))
    for thread in range(threads):
        part(
            thread, threads, in_room(logits), y, order, BEFORE, batch, classes,
            F32(1) / F32(batch), of_logits, g, out, hits, scratch,
        )  # fmt: skip
    mean = fused_loss.batch_loss(out, batch, scratch)
    return out[:batch].copy(), g[:batch, :classes].copy(), hits[::16].sum(), mean


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 2, 7, 9, 16, 31, 32, 60, 451, 1000])
def test_cross_entropies_have_the_bits_of_the_general_kernels(batch, threads):
    rng = np.random.default_rng(batch)
    order = rng.permutation(batch + 8)
    chosen = order[BEFORE : BEFORE + batch]
    for classes in (1, 2, 3, 8, 10, 17, 31, 32, 40, 100, 1000):
        logits = 4 * normals(batch, classes)
        factor = F32(1) / F32(batch)
        labels = rng.integers(0, classes, batch + 8)
        y = np.eye(classes, dtype=F32)[labels]
        y[::3] = rng.random(y[::3].shape)  # distributions, too
        predicted = kernels.softmax(logits, 16).argmax(-1)

        loss, g, hits, mean = losses(logits, y, order, threads, sparse=False)
        assert_same_bits(loss, kernels.softmax_cross_entropy(logits, y[chosen]))
        backprop = kernels.softmax_cross_entropy_backprop(logits, y[chosen])
        assert_same_bits(g, backprop * factor)
        assert hits == (predicted == y[chosen].argmax(-1)).sum()
        assert mean == kernels.sum_all(loss) / F32(batch)

        loss, g, hits, _ = losses(logits, labels, order, threads, sparse=True)
        assert_same_bits(loss, kernels.sparse_softmax_cross_entropy(logits, labels[chosen]))
        backprop = kernels.sparse_softmax_cross_entropy_backprop(logits, labels[chosen])
        assert_same_bits(g, backprop * factor)
        assert hits == (predicted == labels[chosen]).sum()


def test_without_a_gradient_only_losses_and_hits_are_computed():
    logits, order = normals(20, 5), np.arange(28)
    y = np.eye(5, dtype=F32)[np.arange(28) % 5]
    loss, _, hits, _ = losses(logits, y, order, 2, sparse=False)
    again, _, same, _ = losses(logits, y, order, 2, sparse=False, gradient=False)
    assert_same_bits(again, loss)
    assert hits == same


def test_hits_are_those_of_the_probabilities():
    top = F32(0.25)
    near = np.nextafter(top, F32(0))  # another logit, but the same probability
    logits = np.array([[near, top, 0], [near, top, 0], [0, np.nan, 1], [np.inf, 0, 0]], F32)
    assert kernels.softmax(logits, 16)[0, 0] == kernels.softmax(logits, 16)[0, 1]
    labels = np.array([9, 9, 9, 0, 1, 1, 0])
    order = np.arange(7)
    for sparse in (False, True):
        y = labels if sparse else np.eye(10, 3, dtype=F32)[labels]
        assert losses(logits, y, order, 1, sparse)[2] == 1  # the first row
        assert losses(logits, y, order, 1, sparse, of_logits=1)[2] == 1  # the second
        assert np.isnan(losses(logits, y, order, 1, sparse)[0][2:]).all()


# --- what is not finite, and what is too small ---
@numba.njit
def set_mode():
    """The denormal mode, which a printed step sets before it calls the parts."""
    return flush_denormals()


@numba.njit
def reset_mode(mode):
    restore_denormals(mode)


def test_nan_and_infinity_pass():
    case = Case(20, 70, 40, 2)
    case.data[case.order[BEFORE + 1], 5] = np.nan
    case.data[case.order[BEFORE + 2], 6] = np.inf
    case.w[7, 3] = -np.inf
    case.g[4, 2] = np.nan
    case.x = case.data[case.order[BEFORE : BEFORE + 20]]
    z = kernels.dense(case.x, case.w, case.b)
    assert np.isnan(z[1]).all()
    assert_same_bits(case.dense(relu=1), kernels.relu(z))
    dx = kernels.relu_vjp(kernels.matmul_nt(case.g, case.w), case.x)
    assert_same_bits(case.input_gradient(case.x, relu=1), dx)
    expected = stepped(SGD, case.w, case.v, kernels.matmul_tn(case.x, case.g))[0]
    assert_same_bits(case.steps(SGD)[0], expected)


@pytest.mark.parametrize("skip", [False, True], ids=["all", "skipping"])
@pytest.mark.parametrize("units", [1, 10, 31, 64, 100])
def test_tiny_products_and_signed_zeros_of_a_single_sample(units, skip):
    """Products that are flushed, also to -0, and sums that are."""
    case = Case(1, 150, units, 2, skip)
    case.w *= F32(1e-18) * (case.v > 0.3)  # many are 0 or -0
    case.g *= F32(1e-19)
    assert np.signbit(case.w[case.w == 0]).any()
    products = np.abs(case.w.astype(float) * case.g)
    assert ((0 < products) & (products < np.finfo(F32).tiny)).any()
    assert (products > np.finfo(F32).tiny).any()
    dx = kernels.matmul_nt(case.g, case.w)
    expected = stepped(SGD, case.w, case.v, kernels.matmul_tn(case.x, case.g))[0]
    mode = set_mode()
    try:
        received = case.input_gradient(case.x, relu=0), case.steps(SGD)[0]
    finally:
        reset_mode(mode)
    assert_same_bits(received[0], dx)
    assert_same_bits(received[1], expected)


def test_packing_flushes_denormals_and_keeps_all_else():
    w = normals(5, 70)
    w[0, 0], w[1, 1], w[2, 2] = 1e-40, -1e-40, np.nan
    expected = w.copy()
    expected[0, 0], expected[1, 1] = 0.0, -0.0
    p = packed(w)
    assert_same_bits(unpacked(p, w.shape), expected)
    assert p.ctypes.data % 128 == 0


@pytest.mark.parametrize("columns", [1, 3, 63, 64, 65, 100, 784])
def test_maps_of_zeros(columns):
    x = normals(5, columns)
    x[np.random.default_rng(columns).random(x.shape) < 0.7] = 0
    x[0, 0], x[1, -1] = np.nan, -np.inf
    pixels, groups = zero_maps(x)
    bits = np.unpackbits(pixels.view(np.uint8), axis=1, bitorder="little")
    np.testing.assert_array_equal(bits[:, :columns], x != 0)
    assert not bits[:, columns:].any()
    wide = np.zeros((5, 4 * groups.shape[1]), bool)
    wide[:, :columns] = x != 0
    np.testing.assert_array_equal(groups, wide.reshape(5, -1, 4).any(-1))


def test_checks_before_zeros_are_skipped():
    x = np.zeros((3, 70), F32)
    x[1, 65], x[2, 3], x[2, 0] = 1, -2, 1e-40
    pixels, groups = zero_maps(x, threads=2)
    assert pixels.tolist() == [[0, 0], [0, 2], [8, 0]]
    assert np.argwhere(groups).tolist() == [[1, 16], [2, 0]]
    flat = x.reshape(-1)
    assert packing.count_zeros(flat) == 208
    assert packing.all_finite(flat)
    for wrong in (np.nan, np.inf, -np.inf):
        flat[-1] = wrong
        assert not packing.all_finite(flat)


# --- shares and barriers ---
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_shares_cover_everything_once(threads):
    for extent in (1, 16, 17, 100, 128, 784, 4096):
        shares = [packing.share(extent, thread, threads) for thread in range(threads)]
        assert shares[0][0] == 0
        assert shares[-1][1] == packing.padded(extent)
        assert all(a[1] == b[0] for a, b in zip(shares, shares[1:], strict=False))
        own = [packing.sample_share(extent, thread, threads) for thread in range(threads)]
        assert sum(stop - start for start, stop in own) == extent


@numba.njit(nogil=True)
def count_together(barrier, thread, threads, numbers, rounds):
    """Each thread writes its number; behind the barrier it must see everybody's."""
    missed = 0
    for n in range(1, rounds + 1):
        numbers[16 * thread] = n
        _threads.wait(barrier, thread, threads, 2 * n - 1)
        for other in range(threads):
            missed += numbers[16 * other] != n
        _threads.wait(barrier, thread, threads, 2 * n)
    return missed


def meet(threads, rounds):
    """What each thread has missed."""
    barrier, numbers = _threads.new_barrier(threads), np.zeros(16 * threads, np.int64)
    missed = [-1] * threads

    def run(thread):
        missed[thread] = count_together(barrier, thread, threads, numbers, rounds)

    workers = [threading.Thread(target=run, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    return missed


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_behind_a_barrier_a_thread_sees_what_the_others_wrote(threads):
    assert meet(threads, 500) == [0] * threads


# --- the tile itself ---
def test_the_interpreted_tile_agrees_with_the_compiled_one(monkeypatch):
    monkeypatch.setattr(_tile, "fma", lambda a, b, c: F32(np.float64(a) * b + c))

    @numba.njit(nogil=True)
    def compiled(c, a, rows, words, w):
        mode = flush_denormals()
        _tile.rows_narrow_skipping(c, 1, 20, 1, a, rows, 2, 0, 4, words, 1, 1, 64, 72, w, 3, 16)
        restore_denormals(mode)

    interpreted = _tile._interpreted(_tile.ROWS, _tile.NARROW, True, True)
    a, w, rows = normals(8, 90), normals(2000, seed=1), np.array([5, 0, 7, 2, 1])
    words = np.array([-1, 0b10110101], np.int64)
    one, other = normals(90, seed=2), normals(90, seed=2)
    compiled(one, a, rows, words, w)
    interpreted(other, 1, 20, 1, a, rows, 2, 0, 4, words, 1, 1, 64, 72, w, 3, 16)
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert_same_bits(one[:1], normals(90, seed=2)[:1])


def test_a_block_is_turned_up_to_its_last_row():
    @numba.njit(nogil=True)
    def turn(a, b, last):
        _block.turn_block(a, 3, 40, b, 2, 30, last)

    def turn_interpreted(a, b, last):
        _block._turn_interpreted(a, 3, 40, b, 2, 30, last)

    for last in (0, 8, 15):
        expected = np.zeros((20, 30), F32)
        expected[: last + 1, 2:18] = normals(16, 40)[:, 3:19].T[: last + 1]
        for function in (turn, turn_interpreted):
            received = np.zeros((20, 30), F32)
            function(normals(16, 40), received, last)
            assert_same_bits(received, expected)


def interpreted():
    """Run by the next test in a process without the compiler: three shapes of everything."""
    for batch, inputs, units in ((17, 9, 17), (3, 5, 3), (1, 70, 20)):
        for skip in (False, True):
            case = Case(batch, inputs, units, 2, skip)
            z = kernels.dense(case.x, case.w, case.b)
            dx = kernels.matmul_nt(case.g, case.w)
            received = [case.dense(relu=1), case.input_gradient(case.x, relu=0)]
            expected = [np.maximum(z, 0), dx]
            dw, db = kernels.matmul_tn(case.x, case.g), kernels.sum_rows(case.g)
            for rule in (
                STORE,
                SGD,
                MOMENTUM,
                NESTEROV,
            ):
                received += case.steps(rule)
                expected += stepped(rule, case.w, case.v, dw)
                expected += stepped(rule, case.b, case.v[0], db)
            for one, other in zip(received, expected, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        labels = np.arange(batch + 8) % units
        logits, order, y = normals(batch, units), labels * 0, np.eye(units, dtype=F32)[labels]
        one, other = (losses(logits, a, order, 2, a is labels) for a in (y, labels))
        np.testing.assert_allclose(one[1], other[1], rtol=1e-5, atol=1e-5)
        assert one[2] == other[2]
    assert meet(2, 3) == [0, 0]


def test_without_the_compiler_the_parts_compute_the_same(run_python):
    code = f"import runpy; runpy.run_path({__file__!r})['interpreted'](); print('same')"
    assert run_python(code, NUMBA_DISABLE_JIT=1).strip() == "same"
