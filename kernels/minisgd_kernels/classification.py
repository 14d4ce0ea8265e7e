"""Softmax and the cross-entropy from logits.

The two differ in rounding because TensorFlow computes them with two libraries: the probabilities
with oneDNN, the loss and its gradient with Eigen. For each row, with ``z = logits - max(logits)``:

    softmax        exp(z) * (1 / sum(exp(z)))
    loss           sum(y * (log(sum(exp(z))) - z))
    its gradient   exp(z) / sum(exp(z)) - y

Eigen works in packets of eight floats and leaves what fills no packet to the C library, whose exp
and log round otherwise: the last ``C % 8`` classes in the sum of exponentials, the last ``N % 8``
rows in the logarithm, the last few elements of the whole array (or of a tile of it) in the
gradient. For class numbers TensorFlow has a kernel of its own, which takes the C library's
logarithm for every row.
"""

from __future__ import annotations

import numpy as np

from minisgd_kernels import _onednn
from minisgd_kernels._intrinsics import flush_denormals, restore_denormals
from minisgd_kernels._jit import Array, Scalar, helper, kernel
from minisgd_kernels._math import exp, exp_tail, log, log_tail
from minisgd_kernels.reduce import PACKET, fold, sum_vector

_exp_softmax = _onednn.exp

# Elements in a tile of the gradient: Eigen's cost model, 40,000 / 8.875.
_TILE = 4507


@helper
def _row_max(row: Array) -> Scalar:
    """Largest element; NaN if there is one."""
    largest = row[0]
    for c in range(1, row.size):
        if row[c] > largest or row[c] != row[c]:
            largest = row[c]
    return largest


@helper
def _shift_and_sum(logits: Array, i: int, z: Array, e: Array, lanes: Array) -> Scalar:
    """Row `i`: ``z = logits - max``; returns ``sum(exp(z))``. `e` and `lanes` are scratch."""
    largest = _row_max(logits[i])
    in_packets = z.size // PACKET * PACKET
    for c in range(z.size):
        z[c] = logits[i, c] - largest
    for c in range(in_packets):
        e[c] = exp(z[c])
    for c in range(in_packets, z.size):
        e[c] = exp_tail(z[c])
    return sum_vector(e, 0, e.size, lanes)


@helper
def _in_packet(i: int, c: int, rows: int, classes: int, tile: int) -> bool:
    """Whether element (i, c) is one of the whole packets of its tile.

    Eigen evaluates ``exp(z) / sum`` in tiles: the whole array if it has at most `tile` elements,
    else as many whole rows as reach that number, else parts of a row.
    """
    if rows * classes <= tile:
        index, size = i * classes + c, rows * classes
    elif classes <= tile:
        tile_rows = (tile + classes - 1) // classes
        first = i // tile_rows * tile_rows
        index, size = (i - first) * classes + c, min(tile_rows, rows - first) * classes
    else:
        first = c // tile * tile
        index, size = c - first, min(tile, classes - first)
    return index < size // PACKET * PACKET


@kernel
def softmax(logits: Array, width: int) -> Array:
    """Probabilities, each row summing to 1; shape (N, C) -> (N, C).

    oneDNN adds as many lanes as a vector has, `width` (16 on AVX-512, 8 on AVX2): whole groups of
    so many classes to four sums in turn, the rest to the first. It adds the four pairwise, folds
    them by halves, and multiplies by the reciprocal.
    """
    mode = flush_denormals()
    out = np.empty_like(logits)
    sums = np.empty((4, width), logits.dtype)
    in_groups = logits.shape[1] // width * width
    for i in range(logits.shape[0]):
        largest = _row_max(logits[i])
        sums[:] = 0
        for c in range(logits.shape[1]):
            out[i, c] = _exp_softmax(logits[i, c] - largest)
            sums[c // width % 4 if c < in_groups else 0, c % width] += out[i, c]
        lanes = sums[0]
        for lane in range(width):
            lanes[lane] = (lanes[lane] + sums[1, lane]) + (sums[2, lane] + sums[3, lane])
        for lane in range(PACKET, width):
            lanes[lane - PACKET] += lanes[lane]
        lanes[0] = 1 / fold(lanes)
        for c in range(logits.shape[1]):
            out[i, c] *= lanes[0]
    restore_denormals(mode)
    return out


@kernel
def log_softmax(logits: Array) -> Array:
    """``z - log(sum(exp(z)))``, row by row; shape (N, C)."""
    mode = flush_denormals()
    rows, classes = logits.shape
    out = np.empty_like(logits)
    scratch = np.empty(classes, logits.dtype)
    lanes = np.empty((4, PACKET), logits.dtype)
    in_packets = rows // PACKET * PACKET
    for i in range(rows):
        total = _shift_and_sum(logits, i, out[i], scratch, lanes)
        log_sum = log(total) if i < in_packets else log_tail(total)
        for c in range(classes):
            out[i, c] -= log_sum
    restore_denormals(mode)
    return out


@kernel
def softmax_cross_entropy(logits: Array, y: Array) -> Array:
    """Loss of each row in nats; logits (N, C) and distributions y (N, C) -> (N,)."""
    mode = flush_denormals()
    rows, classes = logits.shape
    out = np.empty(rows, logits.dtype)
    z, terms = np.empty(classes, logits.dtype), np.empty(classes, logits.dtype)
    lanes = np.empty((4, PACKET), logits.dtype)
    in_packets = rows // PACKET * PACKET
    for i in range(rows):
        total = _shift_and_sum(logits, i, z, terms, lanes)
        log_sum = log(total) if i < in_packets else log_tail(total)
        for c in range(classes):
            terms[c] = y[i, c] * (log_sum - z[c])
        out[i] = sum_vector(terms, 0, classes, lanes)
    restore_denormals(mode)
    return out


@kernel
def softmax_cross_entropy_backprop(logits: Array, y: Array) -> Array:
    """Gradient of each row's loss with respect to its logits, ``p - y``; shape (N, C).

    True where y sums to 1; TensorFlow and Keras use it for every y.
    """
    mode = flush_denormals()
    rows, classes = logits.shape
    out = np.empty_like(logits)
    z, scratch = np.empty(classes, logits.dtype), np.empty(classes, logits.dtype)
    lanes = np.empty((4, PACKET), logits.dtype)
    for i in range(rows):
        total = _shift_and_sum(logits, i, z, scratch, lanes)
        for c in range(classes):
            packet = _in_packet(i, c, rows, classes, _TILE)
            out[i, c] = (exp(z[c]) if packet else exp_tail(z[c])) / total - y[i, c]
    restore_denormals(mode)
    return out


@kernel
def sparse_softmax_cross_entropy(logits: Array, labels: Array) -> Array:
    """Loss of each row in nats; logits (N, C) and class numbers (N,) int64 -> (N,)."""
    mode = flush_denormals()
    rows, classes = logits.shape
    out = np.empty(rows, logits.dtype)
    z, scratch = np.empty(classes, logits.dtype), np.empty(classes, logits.dtype)
    lanes = np.empty((4, PACKET), logits.dtype)
    for i in range(rows):
        out[i] = log_tail(_shift_and_sum(logits, i, z, scratch, lanes)) - z[labels[i]]
    restore_denormals(mode)
    return out


@kernel
def sparse_softmax_cross_entropy_backprop(logits: Array, labels: Array) -> Array:
    """Gradient of each row's loss with respect to its logits, ``p - one_hot``; shape (N, C)."""
    mode = flush_denormals()
    rows, classes = logits.shape
    out = np.empty_like(logits)
    z, scratch = np.empty(classes, logits.dtype), np.empty(classes, logits.dtype)
    lanes = np.empty((4, PACKET), logits.dtype)
    for i in range(rows):
        total = _shift_and_sum(logits, i, z, scratch, lanes)
        for c in range(classes):
            packet = _in_packet(i, c, rows, classes, logits.size)
            out[i, c] = (exp(z[c]) if packet else exp_tail(z[c])) / total
        out[i, labels[i]] -= 1
    restore_denormals(mode)
    return out
