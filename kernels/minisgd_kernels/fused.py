"""The products of a training step, fused with what surrounds them; one thread's part of each.

A *fused* kernel does at once what takes several kernels in eager execution, and never writes what
lies between them to memory: the batch is gathered while it is multiplied, bias and relu are applied
to a tile while it is in the cache, weights are updated as their gradient leaves the registers.
Each operation still rounds as in `linear`, `elementwise` and `update`, in the same order.

Every kernel here begins with ``(thread, threads)`` and computes that thread's part, by the rules of
`packing.share`. A printed step calls them one after the other, with a barrier where a thread needs
what another one wrote. Which element a thread computes never changes how it is computed.

Sample i of a batch is row ``rows[first + i]`` of `x`. Matrices that the kernels write have room for
whole tiles: `packing.padded` rows and columns.
"""

from __future__ import annotations

import numpy as np

from minisgd_kernels import _tile
from minisgd_kernels._ahead import BYTES, SAMPLES, WORDS, ask_for_columns, ask_for_row
from minisgd_kernels._block import turn_block
from minisgd_kernels._intrinsics import fma
from minisgd_kernels._jit import Array, Scalar, helper, part
from minisgd_kernels._order import first_rows, k_ends
from minisgd_kernels._single import (
    dots,
    rank_one_narrow,
    rank_one_narrow_skipping,
    rank_one_wide,
    rank_one_wide_skipping,
)
from minisgd_kernels._tile import KEEP, NARROW, ROWS, WIDE, WORD
from minisgd_kernels.fused_loss import rows_of_scratch
from minisgd_kernels.packing import GROUP, _nonzero, by_units, padded, place, sample_share, share
from minisgd_kernels.reduce import PACKET, sum_vector

# What becomes of a gradient: it is kept, or taken for a step by one of the rules of `update`.
STORE, SGD, MOMENTUM, NESTEROV = _tile.STORE, _tile.SGD, _tile.MOMENTUM, _tile.NESTEROV

_CHUNK = 32  # samples that pass a panel of weights while it is in the cache
_BIASES = 128  # bias gradients that are summed side by side
# From this batch size on, a gradient's sum may be cut into blocks. All sums over one block are made
# before those over the next, while its samples are in the cache: there must be room for them.
_TWO_BLOCKS = 256
_FEW_ROWS = 16  # below it the gradient of the inputs is summed in sixteen lanes

_rows_wide, _rows_wide_skipping = _tile.rows_wide, _tile.rows_wide_skipping
_rows_narrow, _rows_narrow_skipping = _tile.rows_narrow, _tile.rows_narrow_skipping
_row_wide, _row_wide_skipping = _tile.row_wide, _tile.row_wide_skipping
_columns_wide, _columns_wide_skipping = _tile.columns_wide, _tile.columns_wide_skipping
_columns_narrow, _columns_narrow_skipping = _tile.columns_narrow, _tile.columns_narrow_skipping


# --- scratch memory, one piece for each thread ---
@helper
def scratch_size(classes: int) -> int:
    """Length of `scratch` (float32) for a last layer of so many units."""
    return max(2 * PACKET * WIDE, ROWS * WIDE, 2 * NARROW * rows_of_scratch(classes))


@helper
def sums_size(inputs: int, units: int, batch: int) -> int:
    """Length of `scratch` that `weight_step` needs for a weight matrix: see `_TWO_BLOCKS`."""
    return padded(inputs) * padded(units) if batch >= _TWO_BLOCKS else 0


@helper
def words_size(inputs: int, batch: int) -> int:
    """Length of `words` (int64) for layers of up to so many inputs and batches up to this size."""
    forward = _CHUNK // ROWS * (inputs // WORD + 1 + 2 * (inputs // 192 + 2))
    backward = (inputs // GROUP + 1) * (batch // WORD + batch // 192 + 2)
    return max(forward, backward)


# --- forward ---
@helper
def _ones_of_rows(
    pixels: Array, rows: Array, first: int, last: int, ends: Array, words: Array, at: int
) -> int:
    """Where any of four samples is not zero, one bit map a block of K; returns the place behind."""
    k = 0
    for block in range(ends.size):
        stop = ends[block]
        for word in range(k // WORD, (stop + WORD - 1) // WORD):
            bits = np.int64(0)
            for r in range(ROWS):
                bits |= pixels[rows[min(first + r, last)], word]
            begin = word * WORD
            if begin < k:
                bits &= np.int64(-1) << np.int64(k - begin)
            if begin + WORD > stop:
                bits &= (np.int64(1) << np.int64(stop - begin)) - np.int64(1)
            words[at] = bits
            at += 1
        k = stop
    return at


@helper
def _products(
    out: Array, x: Array, rows: Array, first: int, start: int, stop: int, c_start: int, c_stop: int,
    k_end: int, units: int, w: Array, ends: Array, pixels: Array, words: Array,
) -> None:  # fmt: skip
    """``out = x @ w``, some columns of some samples: `_CHUNK` of them at most."""
    skip = pixels.shape[0] > 0
    flat_pixels = pixels.reshape(-1)
    last = first + stop - 1
    words_of_tile = 0
    if skip:
        for i in range(start, stop, ROWS):
            at = (i - start) // ROWS * words_of_tile
            words_of_tile = _ones_of_rows(pixels, rows, first + i, last, ends, words, at) - at
    column = c_start
    while column < c_stop:
        w_at, stride = place(column, k_end, units)
        wide = stride == WIDE and column % WIDE == 0 and column + WIDE <= c_stop
        for i in range(start, stop, ROWS):
            single = i + 1 == stop
            c_at, c_stride = i * out.shape[1] + column, out.shape[1]
            row = first + i
            if skip and column == c_start:
                for r in range(ROWS):
                    if row + _CHUNK + r < rows.size:
                        ask_for_row(flat_pixels, rows[row + _CHUNK + r], pixels.shape[1], WORDS)
            k, word = 0, (i - start) // ROWS * words_of_tile
            for block in range(ends.size):
                add, end = min(block, 1), ends[block]
                if skip:
                    k = k // WORD * WORD
                    if not wide:
                        _rows_narrow_skipping(
                            out, c_at, c_stride, add, x, rows, row, 0, last, words, word, 1, k, end,
                            w, w_at, stride,
                        )  # fmt: skip
                    elif single:
                        _row_wide_skipping(
                            out, c_at, c_stride, add, x, rows, row, 0, last, words, word, 1, k, end,
                            w, w_at, stride,
                        )  # fmt: skip
                    else:
                        _rows_wide_skipping(
                            out, c_at, c_stride, add, x, rows, row, 0, last, words, word, 1, k, end,
                            w, w_at, stride,
                        )  # fmt: skip
                    word += (end + WORD - 1) // WORD - k // WORD
                elif not wide:
                    _rows_narrow(
                        out, c_at, c_stride, add, x, rows, row, 0, last, words, 0, 1, k, end, w,
                        w_at, stride,
                    )  # fmt: skip
                elif single:
                    _row_wide(
                        out, c_at, c_stride, add, x, rows, row, 0, last, words, 0, 1, k, end, w,
                        w_at, stride,
                    )  # fmt: skip
                else:
                    _rows_wide(
                        out, c_at, c_stride, add, x, rows, row, 0, last, words, 0, 1, k, end, w,
                        w_at, stride,
                    )  # fmt: skip
                k = end
        column += WIDE if wide else NARROW


@helper
def _add_products(sums: Array, a: Scalar, w: Array, w_at: int) -> None:
    """``sums += a * w[w_at:]``, fused."""
    row = w[w_at : w_at + sums.size]
    for j in range(sums.size):
        sums[j] = fma(a, row[j], sums[j])


@helper
def _sixteen_lanes(
    out: Array, at: int, width: int, x: Array, row: int, k_end: int, w: Array, w_at: int,
    stride: int, lanes: Array,
) -> None:  # fmt: skip
    """One row of a product in sixteen lanes over k: `linear._sixteen_lanes`."""
    half = PACKET
    lanes[: 2 * PACKET * width] = 0
    for k in range(k_end):
        lane = k % (2 * PACKET) * width
        _add_products(lanes[lane : lane + width], x[row, k], w, w_at + k * stride)
    while half > 0:
        low, high = lanes[: half * width], lanes[half * width : 2 * half * width]
        for j in range(low.size):
            low[j] += high[j]
        half //= 2
    sums = out[at : at + width]
    for j in range(width):  # not slice to slice: see `philox.philox_stream`
        sums[j] = lanes[j]


@helper
def _add_bias(
    out: Array, start: int, stop: int, c_start: int, c_stop: int, b: Array, relu: int
) -> None:
    """The bias, and relu if there is one."""
    bias = b[c_start:c_stop]
    for i in range(start, stop):
        row = out[i, c_start:c_stop]
        for j in range(row.size):
            z = row[j] + bias[j]
            row[j] = 0 if relu and z < 0 else z


@part
def dense(
    thread: int, threads: int, x: Array, rows: Array, first: int, count: int, inputs: int,
    units: int, w: Array, b: Array, out: Array, relu: int, pixels: Array, words: Array,
    scratch: Array,
) -> None:  # fmt: skip
    """``x[rows] @ w + b``, with relu if `relu` is 1: own columns, or own samples, of `out`.

    `w` is packed. Zeros of `x` are skipped with the bit maps `pixels` of `packing.zero_maps`,
    which is exact as long as `x` and the weights are finite.
    """
    if by_units(units, threads):
        start, stop = 0, count
        c_start, c_stop = share(units, thread, threads)
    else:
        start, stop = sample_share(count, thread, threads)
        c_start, c_stop = 0, padded(units)
    ends = k_ends(count, units, inputs, False, False)
    flat = out.reshape(-1)
    for chunk in range(start, stop, _CHUNK):
        end = min(chunk + _CHUNK, stop)
        if units == 1 and count > 1:
            for i in range(chunk, end):
                row = rows[first + i] * x.shape[1]
                dots(flat, i * out.shape[1], x, row, inputs, w, 0, NARROW)
        else:
            _products(
                out, x, rows, first, chunk, end, c_start, c_stop, inputs, units, w, ends, pixels,
                words,
            )  # fmt: skip
        _add_bias(out, chunk, end, c_start, c_stop, b, relu)


# --- backward ---
@part
def turn(thread: int, threads: int, w: Array, inputs: int, units: int, turned: Array) -> None:
    """Own columns (shares of `inputs`) of the transposed weights; both matrices are packed."""
    start, stop = share(inputs, thread, threads)
    for column in range(start, stop, NARROW):
        t_at, t_stride = place(column, units, inputs)
        for c in range(0, units, NARROW):
            at, stride = place(c, inputs, units)
            if column + NARROW <= inputs:
                to, last = t_at + c * t_stride, min(units - c, NARROW) - 1
                turn_block(w, at + column * stride, stride, turned, to, t_stride, last)
                continue
            for i in range(min(NARROW, units - c)):
                row = turned[t_at + (c + i) * t_stride : t_at + (c + i) * t_stride + NARROW]
                source = w[at + column * stride + i : at + inputs * stride : stride]
                for j in range(min(NARROW, inputs - column)):
                    row[j] = source[j]


@part
def input_gradient(
    thread: int, threads: int, g: Array, rows: Array, count: int, inputs: int, units: int,
    turned: Array, act: Array, relu: int, out: Array, words: Array, scratch: Array,
) -> None:  # fmt: skip
    """``g @ w.T``: own columns (shares of `inputs`) of `out`; `turned` is w.T, packed.

    If `relu` is 1, the result is times 0 where `act`, the layer's input, is not positive: the
    gradient behind the relu that made it. `rows` is 0, 1, 2, ...
    """
    c_start, c_stop = share(inputs, thread, threads)
    zero, one = g.dtype.type(0), g.dtype.type(1)
    ends = k_ends(count, inputs, units, False, True)
    flat, no_pixels = out.reshape(-1), words[:0].reshape((0, 1))
    for chunk in range(0, count, _CHUNK):
        end = min(chunk + _CHUNK, count)
        if count >= _FEW_ROWS and inputs > 1:
            _products(
                out, g, rows, 0, chunk, end, c_start, c_stop, units, inputs, turned, ends,
                no_pixels, words,
            )  # fmt: skip
        else:
            column = c_start
            while column < c_stop:
                t_at, stride = place(column, units, inputs)
                wide = stride == WIDE and column % WIDE == 0 and column + WIDE <= c_stop
                width = WIDE if wide else NARROW
                for i in range(chunk, end):
                    at = i * out.shape[1] + column
                    if count == 1 or inputs == 1:
                        for j in range(0, width, NARROW):
                            dots(flat, at + j, g, i * g.shape[1], units, turned, t_at + j, stride)
                    else:
                        _sixteen_lanes(flat, at, width, g, i, units, turned, t_at, stride, scratch)
                column += width
        if relu:
            for i in range(chunk, end):
                row, y = out[i, c_start:c_stop], act[i, c_start:c_stop]
                for j in range(row.size):
                    row[j] = row[j] * (zero if y[j] <= 0 else one)


# --- update ---
@helper
def _update(g: Array, w: Array, v: Array, rule: int, lr: Scalar, mu: Scalar) -> None:
    """What becomes of some weights (or of their gradient), by the rules of `update`."""
    if rule == SGD:
        for j in range(g.size):
            w[j] = w[j] - g[j] * lr
    elif rule == STORE:
        for j in range(g.size):
            w[j] = g[j]
    elif rule == MOMENTUM:
        for j in range(g.size):
            velocity = v[j] * mu - g[j] * lr
            v[j] = velocity
            w[j] = w[j] + velocity
    else:
        for j in range(g.size):
            step = g[j] * lr
            velocity = v[j] * mu - step
            v[j] = velocity
            w[j] = w[j] + (velocity * mu - step)


@helper
def _ones_of_groups(
    groups: Array, rows: Array, first: int, g_start: int, g_stop: int, ends: Array, words: Array
) -> None:
    """In which samples four neighbouring columns are not zero: bit maps, one a block of the batch.

    All groups' first words come first, then all groups' second words: eight samples make a byte of
    each, and the loop over the groups runs over neighbours.
    """
    size, k, at = g_stop - g_start, 0, 0
    for block in range(ends.size):
        while k < ends[block]:
            word = words[at : at + size]
            word[:] = 0
            stop = min(k + WORD, ends[block])
            for shift in range(0, stop - k, 8):
                n, last = first + k + shift, first + stop - 1
                s0 = groups[rows[n], g_start:g_stop]
                s1 = groups[rows[min(n + 1, last)], g_start:g_stop]
                s2 = groups[rows[min(n + 2, last)], g_start:g_stop]
                s3 = groups[rows[min(n + 3, last)], g_start:g_stop]
                s4 = groups[rows[min(n + 4, last)], g_start:g_stop]
                s5 = groups[rows[min(n + 5, last)], g_start:g_stop]
                s6 = groups[rows[min(n + 6, last)], g_start:g_stop]
                s7 = groups[rows[min(n + 7, last)], g_start:g_stop]
                used = (np.int64(1) << np.int64(min(8, stop - k - shift))) - np.int64(1)
                for g in range(size):
                    low = s0[g] | s1[g] << 1 | s2[g] << 2 | s3[g] << 3
                    high = s4[g] | s5[g] << 1 | s6[g] << 2 | s7[g] << 3
                    byte = np.int64(low) | np.int64(high) << np.int64(4)
                    word[g] |= (byte & used) << np.int64(shift)
            k = stop
            at += size


@helper
def _rank_one_step(
    x: Array, row: int, k_start: int, k_stop: int, inputs: int, units: int, g: Array, c_start: int,
    c_stop: int, w: Array, lr: Scalar, skip: bool, words: Array,
) -> None:  # fmt: skip
    """SGD's step for a single sample, row `row` of `x`: some rows and columns of the weights."""
    size, x_at = k_stop - k_start, row * x.shape[1] + k_start
    if skip:
        flat, whole = x.reshape(-1), size // WORD
        for word in range(whole):
            words[word] = _nonzero(flat, x_at + word * WORD)
        bits = np.int64(0)
        for k in range(whole * WORD, size):
            bits |= np.int64(flat[x_at + k] != 0) << np.int64(k - whole * WORD)
        words[whole] = bits
    column = c_start
    while column < c_stop:
        at, stride = place(column, inputs, units)
        at += k_start * stride
        wide = stride == WIDE and column % WIDE == 0 and column + WIDE <= c_stop
        if wide and skip:
            rank_one_wide_skipping(w, at, stride, x, x_at, words, size, g, column, lr)
        elif wide:
            rank_one_wide(w, at, stride, x, x_at, words, size, g, column, lr)
        elif skip:
            rank_one_narrow_skipping(w, at, stride, x, x_at, words, size, g, column, lr)
        else:
            rank_one_narrow(w, at, stride, x, x_at, words, size, g, column, lr)
        column += WIDE if wide else NARROW


@part
def weight_step(
    thread: int, threads: int, x: Array, rows: Array, first: int, count: int, inputs: int,
    units: int, g: Array, w: Array, v: Array, rule: int, lr: Scalar, mu: Scalar, groups: Array,
    words: Array, scratch: Array,
) -> None:  # fmt: skip
    """The gradient of packed weights, ``x[rows].T @ g``, and what SGD does with it at once.

    Own columns of `w`, or own rows (shares of `inputs`). `rule` is SGD, MOMENTUM or NESTEROV (`v`
    is the velocity), or STORE: then `w` is where the gradient goes. Zeros of `x` are skipped with
    the bit maps `groups` of `packing.zero_maps`.
    """
    if by_units(units, threads):
        c_start, c_stop = share(units, thread, threads)
        k_start, k_stop = 0, inputs
    else:
        c_start, c_stop = 0, padded(units)
        k_start, k_stop = share(inputs, thread, threads)
        k_stop = min(k_stop, inputs)
    ends = k_ends(inputs, units, count, True, False)
    skip, g_start, g_stop = groups.shape[0] > 0, k_start // GROUP, (k_stop + GROUP - 1) // GROUP
    far = g_stop - g_start
    if count == 1 and rule == SGD:
        _rank_one_step(
            x, rows[first], k_start, k_stop, inputs, units, g, c_start, c_stop, w, lr, skip, words
        )
        return
    flat_x, flat_groups = x.reshape(-1), groups.reshape(-1)
    next_stop = min(first + count + min(count, SAMPLES), rows.size)
    if skip:
        _ones_of_groups(groups, rows, first, g_start, g_stop, ends, words)
    k, words_before, tall = 0, 0, (k_stop - k_start + ROWS - 1) // ROWS * ROWS
    for block in range(ends.size):
        add, end = min(block, 1), ends[block]
        n = end - k
        column = c_start
        while column < c_stop:
            w_at, stride = place(column, inputs, units)
            wide = stride == WIDE and column % WIDE == 0 and column + WIDE <= c_stop
            width = WIDE if wide else NARROW
            g_at = k * g.shape[1] + column
            for row in range(k_start, k_stop, ROWS):
                if column == c_start and block == 0:
                    ask_for_columns(flat_x, inputs, rows, first + count, next_stop, row)
                    if skip and first + count + row // ROWS < next_stop:
                        sample = rows[first + count + row // ROWS]
                        ask_for_row(flat_groups, sample, groups.shape[1], BYTES)
                word = words_before + row // GROUP - g_start
                if skip and rule == SGD and ends.size == 1 and n <= WORD and words[word] == 0:
                    continue  # all zeros: the gradient is 0, and the weights stay what they are
                full = row + ROWS <= k_stop
                what = rule if full and end == count else KEEP
                p_at = w_at + row * stride
                at = (column - c_start) * tall + (row - k_start) * width if ends.size > 1 else 0
                if skip and wide:
                    _columns_wide_skipping(
                        scratch, at, width, add, x, rows, first + k, row, inputs - 1, words, word,
                        far, 0, n, g, g_at, g.shape[1], what, w, v, p_at, stride, lr, mu,
                    )  # fmt: skip
                elif skip:
                    _columns_narrow_skipping(
                        scratch, at, width, add, x, rows, first + k, row, inputs - 1, words, word,
                        far, 0, n, g, g_at, g.shape[1], what, w, v, p_at, stride, lr, mu,
                    )  # fmt: skip
                elif wide:
                    _columns_wide(
                        scratch, at, width, add, x, rows, first + k, row, inputs - 1, words, 0,
                        0, 0, n, g, g_at, g.shape[1], what, w, v, p_at, stride, lr, mu,
                    )  # fmt: skip
                else:
                    _columns_narrow(
                        scratch, at, width, add, x, rows, first + k, row, inputs - 1, words, 0,
                        0, 0, n, g, g_at, g.shape[1], what, w, v, p_at, stride, lr, mu,
                    )  # fmt: skip
                if not full and end == count:  # a tile that reaches beyond the last row
                    for r in range(k_stop - row):
                        to = p_at + r * stride
                        piece = scratch[at + r * width : at + (r + 1) * width]
                        _update(piece, w[to : to + width], v[to : to + width], rule, lr, mu)
            column += width
        words_before += (n + WORD - 1) // WORD * far
        k = end


@part
def bias_step(
    thread: int, threads: int, g: Array, count: int, units: int, b: Array, v: Array, rule: int,
    lr: Scalar, mu: Scalar, scratch: Array,
) -> None:  # fmt: skip
    """The gradient of a bias, `linear.sum_rows` of `g`, and what SGD does with it: own columns."""
    start, stop = share(units, thread, threads)
    half = first_rows(count, units)
    for column in range(start, stop, _BIASES):
        size = min(_BIASES, stop - column)
        sums, second = scratch[:size], scratch[_BIASES : _BIASES + size]
        sums[:] = -g.dtype.type(0)  # adding to -0 changes nothing, not even -0
        second[:] = -g.dtype.type(0)
        if units == 1:
            values = g[:count, 0].copy()
            sums[0] = sum_vector(values, 0, count, np.empty((4, PACKET), g.dtype))
        else:
            for i in range(count):
                row, total = g[i, column : column + size], sums if i < half else second
                for j in range(size):
                    total[j] += row[j]
            if half < count:
                for j in range(size):
                    sums[j] += second[j]
        _update(sums, b[column : column + size], v[column : column + size], rule, lr, mu)
