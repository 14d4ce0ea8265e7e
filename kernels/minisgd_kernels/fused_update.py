"""The gradients of weights and biases, and what SGD does with them at once: one thread's part.

The conventions are those of `fused`: thread first, packed weights, sample i of a batch in row
``rows[first + i]`` of `x`.
"""

from __future__ import annotations

import numpy as np

from minisgd_kernels import _tile
from minisgd_kernels._ahead import BYTES, FLOATS, SAMPLES, ask_for_columns, ask_for_row
from minisgd_kernels._jit import Array, Scalar, helper, part
from minisgd_kernels._order import first_rows, k_ends
from minisgd_kernels._single import (
    rank_one_narrow,
    rank_one_narrow_skipping,
    rank_one_wide,
    rank_one_wide_skipping,
)
from minisgd_kernels._tile import KEEP, NARROW, ROWS, WIDE
from minisgd_kernels._vectors import WORD
from minisgd_kernels._zeros import nonzero
from minisgd_kernels.packing import GROUP, by_units, padded, place, share
from minisgd_kernels.reduce import PACKET, sum_vector

# What becomes of a gradient: it is kept, or taken for a step by one of the rules of `update`.
STORE, SGD, MOMENTUM, NESTEROV = _tile.STORE, _tile.SGD, _tile.MOMENTUM, _tile.NESTEROV

BIASES = 128  # bias gradients that are summed side by side
# From this batch size on, a gradient's sum may be cut into blocks. All sums over one block are made
# before those over the next, while its samples are in the cache: there must be room for them.
_TWO_BLOCKS = 256

_columns_wide, _columns_wide_skipping = _tile.columns_wide, _tile.columns_wide_skipping
_columns_narrow, _columns_narrow_skipping = _tile.columns_narrow, _tile.columns_narrow_skipping


@helper
def sums_size(inputs: int, units: int, batch: int) -> int:
    """Length of `scratch` that `weight_step` needs for a weight matrix: see `_TWO_BLOCKS`."""
    return padded(inputs) * padded(units) if batch >= _TWO_BLOCKS else 0


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
            words[word] = nonzero(flat, x_at + word * WORD)
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
        if first + 1 < rows.size:
            ask_for_row(x.reshape(-1), rows[first + 1], inputs, FLOATS)
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
    for column in range(start, stop, BIASES):
        size = min(BIASES, stop - column)
        sums, second = scratch[:size], scratch[BIASES : BIASES + size]
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
