"""Picking rows, and what undoes picking elements."""

from __future__ import annotations

import numpy as np

from minisgd_kernels._intrinsics import flush_denormals, restore_denormals
from minisgd_kernels._jit import Array, kernel


@kernel
def gather_rows(x: Array, rows: Array) -> Array:
    """``x[rows]``, a batch of samples; any shape and dtype, rows (n,) int64."""
    mode = flush_denormals()
    out = x[rows]
    restore_denormals(mode)
    return out


@kernel
def scatter_add(g: Array, positions: Array, size: int) -> Array:
    """Zeros of shape (size,) with ``out[positions[i]] += g[i]``, i ascending; g, positions (n,)."""
    mode = flush_denormals()
    out = np.zeros(size, g.dtype)
    for i in range(g.size):
        out[positions[i]] += g[i]
    restore_denormals(mode)
    return out
