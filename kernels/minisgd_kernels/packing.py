"""How the fused kernels keep matrices: weights in panels, zeros in bit maps, threads' shares.

A matrix of weights (k, units) is stored panel by panel: 64 columns (or what is left, 16 at a time),
row after row. So a tile reads its weights in one stream, and a thread that owns some columns owns
memory that no other thread writes: two threads on one row-major matrix take three to five times
as long. Columns are padded with zeros to a multiple of 16.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd_kernels._intrinsics import flush_denormals, restore_denormals
from minisgd_kernels._jit import Array, helper, kernel
from minisgd_kernels._tile import NARROW, WIDE, WORD

GROUP = 4  # neighbouring columns of the data that the weights' gradient takes together
_ALIGNMENT = 128  # two cache lines: processors fetch them in pairs
_ZERO, _SMALLEST = np.float32(0), np.float32(np.finfo(np.float32).tiny)
_LARGEST = np.float32(np.finfo(np.float32).max)


def aligned_zeros(shape: Any, dtype: Any = np.float32) -> Array:
    """Array of zeros that starts on a boundary of 128 bytes."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    aligned: Array = memory[start : start + size].view(dtype).reshape(shape)
    return aligned


@helper
def padded(n: int) -> int:
    """`n`, rounded up to a multiple of 16."""
    return (n + NARROW - 1) // NARROW * NARROW


@helper
def packed_size(k: int, units: int) -> int:
    """Length of a packed matrix (k, units)."""
    return k * padded(units)


@helper
def place(column: int, k: int, units: int) -> tuple[int, int]:
    """Where a packed matrix (k, units) holds row 0 of a column (a multiple of 16); its stride."""
    panel = column // WIDE * WIDE
    if panel + WIDE <= padded(units):
        return panel * k + (column - panel), WIDE
    return column * k, NARROW


@helper
def by_units(units: int, threads: int) -> bool:
    """Whether a layer's columns are shared out; too few of them, and its samples are."""
    return padded(units) // NARROW >= threads


@helper
def share(extent: int, thread: int, threads: int) -> tuple[int, int]:
    """First column of a thread, and the first that is not its own: multiples of 16."""
    pieces = padded(extent) // NARROW
    start = (pieces * thread + threads - 1) // threads
    stop = (pieces * (thread + 1) + threads - 1) // threads
    return start * NARROW, stop * NARROW


@helper
def sample_share(count: int, thread: int, threads: int) -> tuple[int, int]:
    """First sample of a thread, and the first that is not its own: multiples of 16."""
    start, stop = share(count, thread, threads)
    return min(start, count), min(stop, count)


@kernel
def pack(weights: Array, packed: Array) -> None:
    """Fill `packed` from a matrix (k, units); denormals become 0, as any step would make them."""
    mode = flush_denormals()
    k, units = weights.shape
    for column in range(0, padded(units), NARROW):
        start, stride = place(column, k, units)
        for i in range(k):
            packed[start + i * stride : start + i * stride + NARROW] = 0
            for j in range(min(NARROW, units - column)):
                x = weights[i, column + j]
                packed[start + i * stride + j] = x * _ZERO if abs(x) < _SMALLEST else x
    restore_denormals(mode)


@kernel
def unpack(packed: Array, weights: Array) -> None:
    """Fill a matrix (k, units) from `packed`."""
    mode = flush_denormals()
    k, units = weights.shape
    for column in range(0, padded(units), NARROW):
        start, stride = place(column, k, units)
        for i in range(k):
            for j in range(min(NARROW, units - column)):
                weights[i, column + j] = packed[start + i * stride + j]
    restore_denormals(mode)


@kernel
def all_finite(x: Array) -> bool:
    """Whether an array of one axis holds neither NaN nor infinity."""
    mode = flush_denormals()
    wrong = 0
    for i in range(x.size):
        wrong += not abs(x[i]) <= _LARGEST
    restore_denormals(mode)
    return wrong == 0


@kernel
def count_zeros(x: Array) -> int:
    """How many elements of an array of one axis are 0."""
    mode = flush_denormals()
    zeros = 0
    for i in range(x.size):
        zeros += x[i] == 0
    restore_denormals(mode)
    return zeros


@kernel
def zero_maps(x: Array) -> tuple[Array, Array]:
    """What is not zero in a matrix of samples (n, k), as bits.

    The first map has a bit an element, ``ceil(k / 64)`` words a sample; the second, of shape
    (n, ceil(k / 4)), is 1 where any of four neighbouring columns is not zero. A denormal counts as
    zero.
    """
    mode = flush_denormals()
    n, k = x.shape
    words = (k + WORD - 1) // WORD
    pixels = np.zeros((n, words), np.int64)
    groups = np.zeros((n, (k + GROUP - 1) // GROUP), np.uint8)
    lit = np.zeros(words * WORD, np.uint8)  # a row's: bytes first, since they vectorise
    for i in range(n):
        row, group, pixel = x[i], groups[i], pixels[i]
        for c in range(k):
            lit[c] = row[c] != 0
        for g in range(group.size):
            at = GROUP * g
            group[g] = lit[at] | lit[at + 1] | lit[at + 2] | lit[at + 3]
        for word in range(words):
            bits = np.int64(0)
            for byte in range(8):
                at = WORD * word + 8 * byte
                low = lit[at] | lit[at + 1] << 1 | lit[at + 2] << 2 | lit[at + 3] << 3
                high = lit[at + 4] | lit[at + 5] << 1 | lit[at + 6] << 2 | lit[at + 7] << 3
                bits |= (np.int64(low) | np.int64(high) << 4) << np.int64(8 * byte)
            pixel[word] = bits
    restore_denormals(mode)
    return pixels, groups


def no_maps() -> tuple[Array, Array]:
    """Maps that switch skipping off."""
    return np.zeros((0, 1), np.int64), np.zeros((0, 1), np.uint8)
