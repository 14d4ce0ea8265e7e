"""Which terms of a product are left out because they are zeros: bit maps of those that are not.

Leaving out ``0 * b`` changes no bit as long as `b` is finite and no sum underflows: then no sum is
-0, which the term would make 0. Sums of products are multiples of the product of two last bits, so
they don't underflow if the numbers on either side are 0 or not too small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from minisgd_kernels._intrinsics import call_llvm, compiles_to
from minisgd_kernels._jit import Array, Scalar, helper
from minisgd_kernels._tile import ROWS, WIDE
from minisgd_kernels._vectors import (
    I32,
    I64,
    LANES,
    WORD,
    data_of,
    integer,
    load_vector,
    over_range,
    splat,
)

# Together 2**-80; last bits are 2**-23 of that each: 2**-126 in all, the smallest normal number.
_LEAST_A, _LEAST_B = 2.0**-20, 2.0**-60
_MIN_ROWS = 16  # of the result: below, looking at `b` costs as much as it saves
_USED_TO_PAY = 0.75  # the largest share of terms that are taken: maps and looks cost something
_INFINITY = 0x7F800000  # as bits, which are ordered as the numbers are


def _nonzero_bits(builder: Any, pointer: Any, at: Any) -> Any:
    vector = ir.VectorType(ir.FloatType(), WORD)
    place = builder.bitcast(builder.gep(pointer, [at]), vector.as_pointer())
    values = builder.load(place, align=4)
    differs = builder.fcmp_unordered("!=", values, ir.Constant(vector, [0.0] * WORD))
    return builder.bitcast(differs, I64)


def _nonzero_code(typing_context: Any, x: Any, at: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = data_of(context, builder, signature.args[0], arguments[0])
        return _nonzero_bits(builder, data, arguments[1])

    return types.int64(x, types.intp), code


@compiles_to(_nonzero_code)
def nonzero(x: Array, at: int) -> Scalar:
    """Bits of ``x[at:at + 64] != 0``, `x` read as a flat array."""
    ones = np.packbits(x.reshape(-1)[at : at + WORD] != 0, bitorder="little")
    return int(ones.view(np.int64)[0])


_GROUPS = WORD // ROWS  # of four columns, that a word of bits is about


def _mark_code(
    typing_context: Any, x: Any, at: Any, stride: Any, count: Any, maps: Any, to: Any
) -> Any:
    vector = ir.VectorType(I64, _GROUPS)
    places = ir.Constant(vector, list(range(0, WORD, ROWS)))

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, at, stride, count, maps, to = arguments
        source = data_of(context, builder, signature.args[0], x)
        target = data_of(context, builder, signature.args[4], maps)

        def all_of(value: Any) -> Any:
            return splat(builder, value, _GROUPS)

        def step(words: list[Any], k: Any) -> list[Any]:
            bits = _nonzero_bits(builder, source, builder.add(at, builder.mul(k, stride)))
            used = bits
            for n in range(1, ROWS):
                used = builder.or_(used, builder.lshr(bits, integer(n)))
            used = builder.and_(builder.lshr(all_of(used), places), all_of(integer(1)))
            return [builder.or_(words[0], builder.shl(used, all_of(k)))]

        none = ir.Constant(vector, [0] * _GROUPS)
        (words,) = over_range(builder, step, [none], integer(0), count)
        place = builder.bitcast(builder.gep(target, [to]), vector.as_pointer())
        builder.store(words, place, align=8)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, types.intp, maps, types.intp), code


@compiles_to(_mark_code)
def _mark(x: Array, at: int, stride: int, count: int, maps: Array, to: int) -> None:
    """Sixteen words, to ``maps[to:]``: bit k of the g-th says whether four numbers are not all 0.

    They are those from ``x[at + k * stride + 4 * g]`` on. Both arrays are read as flat ones.
    """
    flat, words = x.reshape(-1), maps.reshape(-1)
    for g in range(_GROUPS):
        words[to + g] = 0
        for k in range(count):
            first = at + k * stride + ROWS * g
            words[to + g] |= np.int64(flat[first : first + ROWS].any()) << np.int64(k)


def _count_code(typing_context: Any, word: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), code


@compiles_to(_count_code)
def _count(word: Scalar) -> int:
    """How many bits of an int64 are 1."""
    return bin(int(word) & (2**WORD - 1)).count("1")


def _is_plain_code(typing_context: Any, x: Any, least: Any) -> Any:
    vector = ir.VectorType(I32, LANES)

    def all_of(value: int) -> Any:
        return ir.Constant(vector, [value] * LANES)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])

        def call(name: str, result: Any, *values: Any) -> Any:
            return call_llvm(builder, f"llvm.{name}.v{LANES}i32", result, *values)

        def step(limits: list[Any], vector_number: Any) -> list[Any]:
            at = builder.mul(vector_number, integer(LANES))
            at = builder.select(builder.icmp_signed("<", at, last), at, last)
            bits = builder.bitcast(load_vector(builder, array.data, at), vector)
            size = builder.and_(bits, all_of(0x7FFFFFFF))
            before = builder.sub(size, all_of(1))  # of 0, the largest of all
            smallest = call("umin", vector, limits[0], before)
            return [smallest, call("umax", vector, limits[1], size)]

        last = builder.sub(array.nitems, integer(LANES))
        stop = builder.sdiv(builder.add(array.nitems, integer(LANES - 1)), integer(LANES))
        limits = over_range(builder, step, [all_of(-1), all_of(0)], integer(0), stop)
        smallest = call("vector.reduce.umin", I32, limits[0])
        largest = call("vector.reduce.umax", I32, limits[1])
        least = builder.trunc(arguments[1], I32)
        return builder.and_(
            builder.icmp_unsigned(">=", smallest, builder.sub(least, ir.Constant(I32, 1))),
            builder.icmp_unsigned("<", largest, ir.Constant(I32, _INFINITY)),
        )

    return types.boolean(x, types.intp), code


@compiles_to(_is_plain_code)
def _is_plain(x: Array, least: int) -> bool:
    """Whether all numbers are finite, and 0 or no smaller than one with these bits.

    `x` has sixteen or more.
    """
    size = abs(x).view(np.int32)
    return bool(np.all((size == 0) | (size >= least)) and np.all(size < _INFINITY))


def _bits(x: float) -> int:
    return int(np.float32(x).view(np.int32))


_LEAST_BITS_A, _LEAST_BITS_B = _bits(_LEAST_A), _bits(_LEAST_B)


@helper
def _may_skip(a: Array, b: Array) -> bool:
    return _is_plain(a, _LEAST_BITS_A) and _is_plain(b, _LEAST_BITS_B)


@helper
def maps_of_rows(a: Array, b: Array, ends: Array) -> Array:
    """For four rows of `a` at a time, which k are not 0 in all: shape (row / 4, word).

    The words of a block of K come together, bit 0 for its first k. No rows if nothing is to be left
    out: that must pay, too.
    """
    rows, k_end = a.shape
    groups = (rows + ROWS - 1) // ROWS
    if rows < _MIN_ROWS or k_end < WORD or b.shape[1] < WIDE:
        groups = 0
    maps, i = np.empty((groups, k_end // WORD + ends.size), np.int64), 0
    while i < ROWS * groups:
        at, start, ones = 0, 0, 0
        for block in range(ends.size):
            for k in range(start, ends[block], WORD):
                word, too_far = np.int64(0), max(0, k + WORD - ends[block])
                for r in range(i, min(i + ROWS, rows)):
                    word |= nonzero(a, r * k_end + k - too_far)
                word = np.int64(np.uint64(word) >> np.uint64(too_far))
                maps[i // ROWS, at] = word
                ones += _count(word)
                at += 1
            start = ends[block]
        i += ROWS
        if ones > _USED_TO_PAY * k_end:
            groups = 0
    if groups > 0 and not _may_skip(a, b):
        groups = 0
    return maps[:groups]


@helper
def maps_of_columns(a: Array, b: Array, ends: Array) -> Array:
    """The same of four columns of `a`, down which k goes: shape (word, column / 4)."""
    k_end, columns = a.shape
    groups, whole = (columns + ROWS - 1) // ROWS, columns // ROWS
    words, ones = k_end // WORD + ends.size, 0
    if columns < WORD or k_end == 0 or b.shape[1] < WIDE:
        words = 0
    else:
        for c in range(0, columns, WORD):
            ones += _count(nonzero(a, min(c, columns - WORD)))
    if ones > _USED_TO_PAY * columns:
        words = 0
    maps, at, start = np.empty((words, groups), np.int64), 0, 0
    for block in range(ends.size if words > 0 else 0):
        for k in range(start, ends[block], WORD):
            count = min(WORD, ends[block] - k)
            for c in range(0, columns, WORD):
                first = min(c, ROWS * whole - WORD)
                _mark(a, k * columns + first, columns, count, maps, at * groups + first // ROWS)
            if whole < groups:  # not worth a look
                maps[at, whole] = np.int64(-1) if count == WORD else (np.int64(1) << count) - 1
            at += 1
        start = ends[block]
    if at > 0 and not _may_skip(a, b):
        at = 0
    return maps[:at]
