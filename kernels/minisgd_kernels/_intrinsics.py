"""Instructions that Numba lacks: fused multiply-add, bit casts, the processor's denormal mode.

Each is a plain Python function, which runs under ``NUMBA_DISABLE_JIT=1`` (for debugging and
coverage; the bits are not promised there), and the LLVM instruction that compiled kernels get.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core import config as numba_config
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])


def compiles_to(code: Callable[..., Any]) -> Callable[[F], F]:
    """Pair a Python function with the LLVM code that stands for it in kernels."""

    def pair(function: F) -> F:
        return function if numba_config.DISABLE_JIT else intrinsic(code)

    return pair


def _fma_code(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return a(a, a, a), code


@compiles_to(_fma_code)
def fma(a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` with a single rounding; LLVM vectorises it like any product."""
    return type(c)(np.float64(a) * np.float64(b) + np.float64(c))


def _floor_code(typing_context: Any, x: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call_llvm(builder, "llvm.floor.f32", arguments[0].type, arguments[0])

    return types.float32(types.float32), code


@compiles_to(_floor_code)
def floor(x: Any) -> Any:
    """The largest integer that is not above a float32, as a float32.

    `math.floor` makes an int64 of it, by a call that LLVM doesn't vectorise everywhere.
    """
    return np.floor(x)


def _cast(source: Any, target: Any, llvm_type: Any) -> Callable[..., Any]:
    def cast_code(typing_context: Any, x: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], llvm_type)

        return target(source), code

    return cast_code


@compiles_to(_cast(types.float32, types.int32, ir.IntType(32)))
def bits_of(x: Any) -> Any:
    """Bit pattern of a float32 as an int32."""
    return np.float32(x).view(np.int32)


@compiles_to(_cast(types.int32, types.float32, ir.FloatType()))
def float_of(n: Any) -> Any:
    """Float32 with the bit pattern of an int32."""
    return np.int32(n).view(np.float32)


@compiles_to(_cast(types.float64, types.int64, ir.IntType(64)))
def bits_of_double(x: Any) -> Any:
    """Bit pattern of a float64 as an int64."""
    return np.float64(x).view(np.int64)


@compiles_to(_cast(types.int64, types.float64, ir.DoubleType()))
def double_of(n: Any) -> Any:
    """Float64 with the bit pattern of an int64."""
    return np.int64(n).view(np.float64)


# --- the denormal mode: each processor family keeps it in a register of its own ---
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_MACHINE = platform.machine().lower()
_X86 = _MACHINE in ("x86_64", "amd64", "i386", "i686")
_ARM = _MACHINE in ("aarch64", "arm64")
_FLUSH = 0x8040 if _X86 else 1 << 24 if _ARM else 0  # MXCSR's FTZ and DAZ; FPCR's FZ


def call_llvm(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Call one of LLVM's own functions."""
    kind = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _read_mode(builder: Any) -> Any:
    if _X86:
        slot = cgutils.alloca_once(builder, _I32)
        pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
        call_llvm(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), pointer)
        return builder.zext(builder.load(slot), _I64)
    if _ARM:
        return call_llvm(builder, "llvm.aarch64.get.fpcr", _I64)
    return ir.Constant(_I64, 0)


def _write_mode(builder: Any, mode: Any) -> None:
    if _X86:
        slot = cgutils.alloca_once(builder, _I32)
        builder.store(builder.trunc(mode, _I32), slot)
        pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
        call_llvm(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), pointer)
    elif _ARM:
        call_llvm(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), mode)


def _flush_code(typing_context: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        mode = _read_mode(builder)
        _write_mode(builder, builder.or_(mode, ir.Constant(_I64, _FLUSH)))
        return mode

    return types.int64(), code


def _restore_code(typing_context: Any, mode: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _write_mode(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), code


@compiles_to(_flush_code)
def flush_denormals() -> int:
    """Make this thread treat denormal numbers as zero, as TensorFlow does; returns the old mode.

    A kernel calls this first and `restore_denormals` last, so that the caller's own NumPy code
    never sees the mode.
    """
    return 0  # Python can't reach the register


@compiles_to(_restore_code)
def restore_denormals(mode: int) -> None:
    """Give the thread its old floating-point mode back."""
