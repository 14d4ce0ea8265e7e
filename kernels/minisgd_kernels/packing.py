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
from minisgd_kernels._tile import NARROW, WIDE
from minisgd_kernels._vectors import WORD
from minisgd_kernels._zeros import nonzero

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
    column = 0
    while column < units:
        start, stride = place(column, k, units)
        size = min(stride, units - column)
        for i in range(k):
            row = packed[start + i * stride : start + (i + 1) * stride]
            source = weights[i, column : column + size]
            row[size:] = 0
            for j in range(size):
                row[j] = source[j] * _ZERO if abs(source[j]) < _SMALLEST else source[j]
        column += stride
    restore_denormals(mode)


@kernel
def unpack(packed: Array, weights: Array) -> None:
    """Fill a matrix (k, units) from `packed`."""
    mode = flush_denormals()
    k, units = weights.shape
    column = 0
    while column < units:
        start, stride = place(column, k, units)
        size = min(stride, units - column)
        for i in range(k):
            row = packed[start + i * stride : start + i * stride + size]
            target = weights[i, column : column + size]
            for j in range(size):
                target[j] = row[j]
        column += stride
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
def zero_maps(thread: int, threads: int, x: Array, pixels: Array, groups: Array) -> None:
    """What is not zero in a matrix of samples (n, k), as bits: one thread's samples.

    `pixels` gets a bit an element, ``ceil(k / 64)`` words a sample; `groups`, of shape
    (n, ceil(k / 4)), is 1 where any of four neighbouring columns is not zero. A denormal counts as
    zero.
    """
    mode = flush_denormals()
    n, k = x.shape
    flat, whole = x.reshape(-1), k // WORD
    for i in range(n * thread // threads, n * (thread + 1) // threads):
        words = pixels[i]
        for word in range(whole):
            words[word] = nonzero(flat, i * k + word * WORD)
        if whole < words.size:
            bits = np.int64(0)
            for c in range(whole * WORD, k):
                bits |= np.int64(x[i, c] != 0) << np.int64(c - whole * WORD)
            words[whole] = bits
        group, halves = groups[i], words.view(np.uint8)
        for byte in range(group.size // 2):
            group[2 * byte] = (halves[byte] & 15) != 0
            group[2 * byte + 1] = halves[byte] > 15
        if group.size % 2:
            group[group.size - 1] = (halves[group.size // 2] & 15) != 0
    restore_denormals(mode)


def new_maps(x: Array) -> tuple[Array, Array]:
    """Room for the maps of `zero_maps`."""
    n, k = x.shape
    words, groups = (k + WORD - 1) // WORD, (k + GROUP - 1) // GROUP
    return np.empty((n, words), np.int64), np.empty((n, groups), np.uint8)


def no_maps() -> tuple[Array, Array]:
    """Maps that switch skipping off."""
    return np.zeros((0, 1), np.int64), np.zeros((0, 1), np.uint8)
