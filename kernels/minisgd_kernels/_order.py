"""In which pieces TensorFlow sums a matrix product on the reference setup: by shapes alone.

oneDNN's single-precision product chooses among kernels by shape, and each cuts K in its own way
(cpu/gemm/gemm_driver.cpp, cpu/x64/gemm). A few of its conditions ask for the number of threads and
the size of a core's second-level cache: here they are the reference machine's, whoever runs this.
Found by experiment; what it was compared with is in docs/reference/rounding-order.md.
"""

from __future__ import annotations

import numpy as np

from minisgd_kernels._jit import Array, Scalar, helper

_THREADS = 2
_L2_BYTES = 1 << 20
K_BLOCK = 384  # longest block of K, AVX-512
_SMALL = 378  # a product with sides up to here is cheap to pack

# Up to which number of elements TensorFlow sums the rows of a bias gradient in one go, and up to
# which width it splits the rows at all: one range of rows for each thread.
_ROWS_SPLIT_FROM = 124_445
_ROWS_SPLIT_WIDTH = 32 * _THREADS


@helper
def block_end(k: Scalar, k_end: Scalar, k_block: int) -> Scalar:
    """End of the block of K that starts at `k`: full blocks, but the last two share what is left.

    With ``k_block=384`` K = 784 is cut into 384 + 200 + 200.
    """
    rest = k_end - k
    if rest >= 2 * k_block:
        return k + k_block
    if rest > k_block:
        return k + (rest + 1) // 2
    return k_end


@helper
def _threads(rows: int, columns: int, k: int) -> int:
    """TensorFlow gives a product whose matrices fit into the cache to a single thread."""
    elements = rows * columns + k * (rows + columns)
    return 1 if 4 * elements < 1.01 * _L2_BYTES else _THREADS


@helper
def _packs(rows: int, columns: int, k: int, a_turned: bool, b_turned: bool) -> bool:
    """Whether oneDNN copies both matrices into packed blocks first, as it does with large ones.

    `a_turned`, `b_turned`: whether the operand is stored transposed. Row lengths that are multiples
    of 256 speak for packing, since unpacked rows would compete for the same places of the cache.
    """
    threads = _threads(rows, columns, k)
    a_row, b_row = rows if a_turned else k, k if b_turned else columns
    plain = not a_turned and not b_turned
    if b_turned and threads == 1 and columns > 100:
        if (columns < 1200 and rows < 200 and k < 1200) or (a_row % 256 == 0 and b_row % 256 == 0):
            return True
    if plain and columns % 1024 == 0 and k > 500 and rows > 100:
        return True
    gradient_of_kernel = a_turned and not b_turned
    thin = 1.0 / columns + 1.0 / rows >= 0.00196
    if thin and not (gradient_of_kernel and columns % 1024 == 0):
        return False
    if a_row % 256 == 0 or b_row % 256 == 0 or columns % 256 == 0:
        wide_enough = k >= 6400 or b_turned or columns == 4096
        if columns >= 32 and (rows > 16 or (rows == 16 and wide_enough)):
            return True
    if k >= threads * _SMALL:
        if columns >= threads * _SMALL or (columns <= _SMALL and rows <= _SMALL):
            return True
    if rows <= threads * 28 or k <= threads:
        return False
    return columns > threads * 28 or (a_turned and columns < rows)


@helper
def k_ends(rows: int, columns: int, k: int, a_turned: bool, b_turned: bool) -> Array:
    """Ends of the blocks of K in a product (rows, k) @ (k, columns); block sums are added in order.

    A single row or column is one block, or one for each thread. Packed, K from 768 on is cut into
    full blocks and a rest (784 = 384 + 384 + 16).
    """
    ends = np.empty(k // K_BLOCK + 2, np.int64)
    count, position = 0, 0
    vector = rows == 1 or columns == 1
    halves = vector and _threads(rows, columns, k) > 1 and rows * columns <= 1000 and k >= 256
    packed = not vector and k >= 2 * K_BLOCK and _packs(rows, columns, k, a_turned, b_turned)
    while position < k:
        if halves and count == 0:
            position = (k + 1) // 2
        elif vector:
            position = k
        elif packed:
            position = min(position + K_BLOCK, k)
        else:
            position = block_end(position, k, K_BLOCK)
        ends[count] = position
        count += 1
    return ends[:count]


@helper
def first_rows(rows: int, columns: int) -> int:
    """How many rows of a bias gradient are summed before the others: all, or the first half."""
    if columns <= _ROWS_SPLIT_WIDTH and rows * columns >= _ROWS_SPLIT_FROM:
        return (rows + 1) // 2
    return rows
