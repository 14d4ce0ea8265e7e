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
from minisgd_kernels._ahead import WORDS, ask_for_row
from minisgd_kernels._block import turn_block
from minisgd_kernels._jit import Array, helper, part
from minisgd_kernels._order import k_ends
from minisgd_kernels._single import dots, dots_by_halves
from minisgd_kernels._tile import NARROW, ROWS, WIDE
from minisgd_kernels._vectors import WORD
from minisgd_kernels.fused_loss import rows_of_scratch
from minisgd_kernels.fused_update import BIASES
from minisgd_kernels.packing import GROUP, by_units, padded, place, sample_share, share

_CHUNK = 32  # samples that pass a panel of weights while it is in the cache
_FEW_ROWS = 16  # below it the gradient of the inputs is summed in sixteen lanes

_rows_wide, _rows_wide_skipping = _tile.rows_wide, _tile.rows_wide_skipping
_rows_narrow, _rows_narrow_skipping = _tile.rows_narrow, _tile.rows_narrow_skipping
_row_wide, _row_wide_skipping = _tile.row_wide, _tile.row_wide_skipping


# --- scratch memory, one piece for each thread ---
@helper
def scratch_size(classes: int) -> int:
    """Length of `scratch` (float32) for a last layer of so many units."""
    return max(2 * BIASES, ROWS * WIDE, 2 * NARROW * rows_of_scratch(classes))


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
                for r in range(min(ROWS, stop - i)):
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
    turned: Array, act: Array, relu: int, out: Array, words: Array,
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
                    x_at = i * g.shape[1]
                    for j in range(0, width, NARROW):
                        if count == 1 or inputs == 1:
                            dots(flat, at + j, g, x_at, units, turned, t_at + j, stride)
                        else:
                            dots_by_halves(flat, at + j, g, x_at, units, turned, t_at + j, stride)
                column += width
        if relu:
            for i in range(chunk, end):
                row, y = out[i, c_start:c_stop], act[i, c_start:c_stop]
                for j in range(row.size):
                    row[j] = row[j] * (zero if y[j] <= 0 else one)
