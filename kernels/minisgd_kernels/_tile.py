"""The micro-kernel of every fused product: a small tile of results, kept in vector registers.

A tile is ``c = a @ w`` for a few rows (1 or 4) and 16 or 64 columns. For each k, a few registers of
``w[k]`` and one number of each row of `a` are loaded, and every pair of them makes a fused
multiply-add. The sums don't leave the registers until the last k: that is what makes a product
fast. Each result is still one chain of FMAs over k ascending, so no bit depends on the tile.

Compilers don't find this arrangement by themselves, so the loop is written out in LLVM's language,
once. The kinds of tile differ in two places:

* where `a` is read: along its rows, or down its columns, which is ``a.T @ w``;
* which k there are: a range, or the places of the ones in a bit map, which skips zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core import config as numba_config
from numba.extending import intrinsic

from minisgd_kernels._intrinsics import fma
from minisgd_kernels._jit import Array
from minisgd_kernels._vectors import (
    LANES,
    MINUS_ZEROS,
    WORD,
    ZEROS,
    fma_vectors,
    integer,
    load,
    load_vector,
    over_bits,
    over_range,
    splat,
    store_vector,
)

ROWS = 4  # of a tile
KEEP, STORE, SGD, MOMENTUM, NESTEROV = range(-1, 4)  # what happens to a gradient

NARROW = 16  # columns of the narrow tile: every width is padded to a multiple of it
# Sixteen sums of sixteen floats fill half of AVX-512's registers. AVX2 has room for eight of eight.
WIDE = 64 if LANES == 16 else NARROW

_ARGUMENTS = (
    "c c_at c_stride add a rows first column last words word far start stop w w_at w_stride "
    "rule p v p_at p_stride lr mu"
)
_ARRAYS = "c a rows words w p v"


def _store(builder: Any, p: dict[str, Any], sums: list[list[Any]]) -> None:
    """Sums into `c`, or added to what there is."""
    add = builder.icmp_signed("!=", p["add"], integer(0))
    for r, row in enumerate(sums):
        at = builder.add(p["c_at"], builder.mul(p["c_stride"], integer(r)))
        for v, sum_ in enumerate(row):
            place = builder.add(at, integer(v * LANES))
            before = builder.select(add, load_vector(builder, p["c"], place), MINUS_ZEROS)
            total = builder.fadd(before, sum_)
            store_vector(builder, total, p["c"], place)


def _update(builder: Any, p: dict[str, Any], g: Any, place: Any, rule: int) -> None:
    """Parameters and velocities at a place, after a step with the gradient `g`: as in `update`."""
    lr, mu = splat(builder, p["lr"]), splat(builder, p["mu"])
    new = g
    if rule != STORE:
        change = builder.fmul(g, lr)
        if rule != SGD:
            old = builder.fmul(load_vector(builder, p["v"], place), mu)
            velocity = builder.fsub(old, change)
            store_vector(builder, velocity, p["v"], place)
        before = load_vector(builder, p["p"], place)
        if rule == SGD:
            new = builder.fsub(before, change)
        elif rule == MOMENTUM:
            new = builder.fadd(before, velocity)
        else:
            new = builder.fadd(before, builder.fsub(builder.fmul(velocity, mu), change))
    store_vector(builder, new, p["p"], place)


def _store_or_update(builder: Any, p: dict[str, Any], sums: list[list[Any]]) -> None:
    """What `rule` says: KEEP stores the sums in `c`; the others take them for gradients of `p`."""
    end = builder.append_basic_block("updated")
    keep = builder.append_basic_block("keep")
    switch = builder.switch(p["rule"], keep)
    builder.position_at_end(keep)
    _store(builder, p, sums)
    builder.branch(end)
    for rule in (STORE, SGD, MOMENTUM, NESTEROV):
        block = builder.append_basic_block("update")
        switch.add_case(integer(rule), block)
        builder.position_at_end(block)
        add = builder.icmp_signed("!=", p["add"], integer(0))
        for r, row in enumerate(sums):
            at = builder.add(p["p_at"], builder.mul(p["p_stride"], integer(r)))
            c_at = builder.add(p["c_at"], builder.mul(p["c_stride"], integer(r)))
            for v, sum_ in enumerate(row):
                place = builder.add(c_at, integer(v * LANES))
                before = builder.select(add, load_vector(builder, p["c"], place), MINUS_ZEROS)
                g = builder.fadd(before, sum_)
                _update(builder, p, g, builder.add(at, integer(v * LANES)), rule)
        builder.branch(end)
    builder.position_at_end(end)


def _compiled(height: int, width: int, by_rows: bool, bits: bool) -> Any:
    """The tile as an intrinsic: Numba calls `code` to have it put into a kernel."""
    vectors = range(width // LANES)
    names = _ARGUMENTS.split()
    if by_rows:
        names = names[: names.index("rule")]

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        p = dict(zip(names, arguments, strict=True))
        for name, kind in zip(names, signature.args, strict=True):
            if isinstance(kind, types.Array):
                array = context.make_array(kind)(context, builder, p[name])
                p[name] = array.data
                if name == "a":
                    a_stride = cgutils.unpack_tuple(builder, array.shape, 2)[1]

        def row_of_a(position: Any) -> Any:
            return builder.mul(load(builder, p["rows"], position), a_stride)

        # The part of an element's place in `a` that the row of the tile decides. Beyond the edge
        # the last row or column is computed again; nobody reads the result.
        places = []
        for r in range(height):
            place = builder.add(p["first"] if by_rows else p["column"], integer(r))
            inside = builder.icmp_signed("<", place, p["last"])
            place = builder.select(inside, place, p["last"])
            places.append(row_of_a(place) if by_rows else place)

        def step(sums: list[Any], k: Any) -> list[Any]:
            along = k if by_rows else row_of_a(builder.add(p["first"], k))
            row = builder.add(p["w_at"], builder.mul(k, p["w_stride"]))
            w = [
                load_vector(builder, p["w"], builder.add(row, integer(v * LANES))) for v in vectors
            ]
            out = []
            for r, place in enumerate(places):
                a = splat(builder, load(builder, p["a"], builder.add(place, along)))
                out += [fma_vectors(builder, a, w[v], sums[r * len(w) + v]) for v in vectors]
            return out

        sums = [ZEROS] * (height * len(vectors))
        if bits:
            ones = p["words"], p["word"], p["far"], p["start"], p["stop"]
            sums = over_bits(builder, step, sums, *ones)
        else:
            sums = over_range(builder, step, sums, p["start"], p["stop"])
        by_row = [sums[r * len(vectors) : (r + 1) * len(vectors)] for r in range(height)]
        (_store if by_rows else _store_or_update)(builder, p, by_row)
        return context.get_dummy_value()

    def kinds(given: tuple[Any, ...]) -> Any:
        def kind(name: str, received: Any) -> Any:
            number = types.float32 if name in ("lr", "mu") else types.intp
            return received if name in _ARRAYS.split() else number

        return types.void(*map(kind, names, given)), code

    # Numba reads the parameters' names off the function.
    parameters = ", ".join(names)
    scope: dict[str, Any] = {"kinds": kinds}
    exec(f"def tile(context, {parameters}):\n    return kinds(({parameters},))", scope)
    return intrinsic(scope["tile"])


def _interpreted(height: int, width: int, by_rows: bool, bits: bool) -> Any:
    """The same in plain Python, for ``NUMBA_DISABLE_JIT=1``."""

    def tile(
        c: Array, c_at: int, c_stride: int, add: int, a: Array, rows: Array, first: int,
        column: int, last: int, words: Array, word: int, far: int, start: int, stop: int,
        w: Array, w_at: int, w_stride: int, rule: int = KEEP, p: Any = None, v: Any = None,
        p_at: int = 0, p_stride: int = 0, lr: Any = 0, mu: Any = 0,
    ) -> None:  # fmt: skip
        flat = c.reshape(-1)
        for r in range(height):
            sums = np.zeros(width, w.dtype)
            for k in range(start, stop):
                n = k - start
                if bits and not int(words[word + n // WORD * far]) >> (n % WORD) & 1:
                    continue
                if by_rows:
                    number = a[rows[min(first + r, last)], k]
                else:
                    number = a[rows[first + k], min(column + r, last)]
                for j in range(width):
                    sums[j] = fma(number, w.reshape(-1)[w_at + k * w_stride + j], sums[j])
            out = flat[c_at + r * c_stride :][:width]
            if add:
                sums += out
            at = slice(p_at + r * p_stride, p_at + r * p_stride + width)
            if rule == KEEP:
                out[:] = sums
            elif rule == STORE:
                p[at] = sums
            elif rule == SGD:
                p[at] -= sums * lr
            else:
                v[at] = v[at] * mu - sums * lr
                p[at] += v[at] if rule == MOMENTUM else v[at] * mu - sums * lr

    return tile


def _tile(height: int, width: int, by_rows: bool, bits: bool) -> Any:
    make = _interpreted if numba_config.DISABLE_JIT else _compiled
    return make(height, width, by_rows, bits)


# c[c_at + r * c_stride + j] = sum over k of a[...] * w[w_at + k * w_stride + j], added to what is
# there if `add` is 1. `c` and `w` are read as flat arrays, `a` is a matrix, read at
# [rows[first + r], k], but at no row beyond rows[last].
rows_wide = _tile(ROWS, WIDE, True, False)
rows_wide_skipping = _tile(ROWS, WIDE, True, True)
rows_narrow = _tile(ROWS, NARROW, True, False)
rows_narrow_skipping = _tile(ROWS, NARROW, True, True)
row_wide = _tile(1, WIDE, True, False)
row_wide_skipping = _tile(1, WIDE, True, True)
# The same with `a` read at [rows[first + k], column + r], at no column beyond `last`. Unless `rule`
# is KEEP, the result goes at once into the parameters at p[p_at + r * p_stride + j].
columns_wide = _tile(ROWS, WIDE, False, False)
columns_wide_skipping = _tile(ROWS, WIDE, False, True)
columns_narrow = _tile(ROWS, NARROW, False, False)
columns_narrow_skipping = _tile(ROWS, NARROW, False, True)
