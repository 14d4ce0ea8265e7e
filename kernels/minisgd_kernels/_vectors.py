"""Vectors of floats in LLVM's language: what tiles of a matrix product are written with."""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import config as numba_config

from minisgd_kernels._intrinsics import call_llvm

WORD = 64  # bits in a word of a bit map


def _has_avx512() -> bool:
    """Whether Numba compiles for registers of sixteen floats."""
    users_choice = numba_config.CPU_FEATURES
    if users_choice is not None:
        return "+avx512f" in users_choice
    return bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))


# LLVM splits vectors that a processor does not have, so AVX2's serve all others, too.
LANES = 16 if _has_avx512() else 8

F32, I1, I32, I64 = ir.FloatType(), ir.IntType(1), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(F32, LANES)
ZEROS = ir.Constant(VECTOR, [0.0] * LANES)
MINUS_ZEROS = ir.Constant(VECTOR, [-0.0] * LANES)  # adding to it changes nothing, not even -0
_ALIGNMENT = ir.Constant(I32, 4)  # NumPy promises no more


def integer(n: int) -> Any:
    return ir.Constant(I64, n)


def data_of(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Pointer to the elements of an array of this Numba type."""
    return context.make_array(kind)(context, builder, array).data


def vector_at(builder: Any, pointer: Any, index: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [index]), VECTOR.as_pointer())


def load(builder: Any, pointer: Any, index: Any) -> Any:
    return builder.load(builder.gep(pointer, [index]))


def _masked(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Call what reads or writes those lanes whose mask is 1, and touches no others."""
    return call_llvm(builder, f"llvm.masked.{name}.v{LANES}f32.p0", result, *arguments)


def load_vector(builder: Any, pointer: Any, index: Any, mask: Any = None) -> Any:
    place = vector_at(builder, pointer, index)
    if mask is not None:
        return _masked(builder, "load", VECTOR, place, _ALIGNMENT, mask, ZEROS)
    return builder.load(place, align=_ALIGNMENT.constant)


def store_vector(builder: Any, value: Any, pointer: Any, index: Any, mask: Any = None) -> None:
    place = vector_at(builder, pointer, index)
    if mask is not None:
        _masked(builder, "store", ir.VoidType(), value, place, _ALIGNMENT, mask)
    else:
        builder.store(value, place, align=_ALIGNMENT.constant)


def splat(builder: Any, number: Any, lanes: int = LANES) -> Any:
    """A vector of copies of a number."""
    undefined = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    one = builder.insert_element(undefined, number, ir.Constant(I32, 0))
    first_lane = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return builder.shuffle_vector(one, undefined, first_lane)


def first_lanes(builder: Any, count: Any) -> Any:
    """A mask of ones for so many lanes, or for all of them."""
    lanes = ir.Constant(ir.VectorType(I64, LANES), list(range(LANES)))
    return builder.icmp_signed("<", lanes, splat(builder, count))


def fma_vectors(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return call_llvm(builder, f"llvm.fma.v{LANES}f32", VECTOR, a, b, c)


def _sums(builder: Any, block: Any, values: list[Any]) -> list[Any]:
    """One phi node for each sum, which enters with these values from a block."""
    nodes = [builder.phi(value.type) for value in values]
    _continue_sums(nodes, values, block)
    return nodes


def _continue_sums(nodes: list[Any], values: list[Any], block: Any) -> None:
    for node, value in zip(nodes, values, strict=True):
        node.add_incoming(value, block)


def over_range(builder: Any, step: Any, sums: list[Any], start: Any, stop: Any) -> list[Any]:
    """Sums after ``step(sums, k)`` for k in ``range(start, stop)``."""
    before = builder.block
    loop, after = builder.append_basic_block("k"), builder.append_basic_block("k_end")
    builder.cbranch(builder.icmp_signed("<", start, stop), loop, after)
    builder.position_at_end(loop)
    k = builder.phi(I64)
    inside = _sums(builder, before, sums)
    added = step(inside, k)
    following = builder.add(k, integer(1))
    k.add_incoming(start, before)
    k.add_incoming(following, loop)
    _continue_sums(inside, added, loop)
    builder.cbranch(builder.icmp_signed("<", following, stop), loop, after)
    builder.position_at_end(after)
    done = _sums(builder, before, sums)
    _continue_sums(done, added, loop)
    return done


def over_bits(
    builder: Any, step: Any, sums: list[Any], words: Any, word: Any, far: Any, start: Any, stop: Any
) -> list[Any]:
    """Sums after ``step(sums, k)`` for the ones of a bit map, in every word at distance `far`.

    Bit 0 of ``words[word]`` stands for `start`.
    """
    before = builder.block
    names = "next_word in_word next_bit k_end"
    outer, look, inner, after = [builder.append_basic_block(name) for name in names.split()]
    builder.branch(outer)

    builder.position_at_end(outer)
    base, place = builder.phi(I64), builder.phi(I64)
    outside = _sums(builder, before, sums)
    builder.cbranch(builder.icmp_signed("<", base, stop), look, after)

    builder.position_at_end(look)
    bits = load(builder, words, place)
    next_base, next_place = builder.add(base, integer(WORD)), builder.add(place, far)
    builder.cbranch(builder.icmp_signed("!=", bits, integer(0)), inner, outer)

    builder.position_at_end(inner)
    left = builder.phi(I64)
    inside = _sums(builder, look, outside)
    k = builder.add(base, builder.cttz(left, ir.Constant(I1, 1)))
    added = step(inside, k)
    rest = builder.and_(left, builder.sub(left, integer(1)))  # without the lowest one
    left.add_incoming(bits, look)
    left.add_incoming(rest, inner)
    _continue_sums(inside, added, inner)
    builder.cbranch(builder.icmp_signed("!=", rest, integer(0)), inner, outer)

    for node, first, following in ((base, start, next_base), (place, word, next_place)):
        node.add_incoming(first, before)
        node.add_incoming(following, look)
        node.add_incoming(following, inner)
    _continue_sums(outside, outside, look)
    _continue_sums(outside, added, inner)
    builder.position_at_end(after)
    return outside
