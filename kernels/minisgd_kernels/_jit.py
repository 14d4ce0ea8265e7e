"""How minisgd compiles: one decorator with every Numba option, and the two instructions Numba lacks.

Numba has no fused multiply-add and no access to the processor's denormal mode; both are one LLVM
instruction away. With ``NUMBA_DISABLE_JIT=1`` plain Python stands in for them (for debugging and
coverage; the bits are then not promised).
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core import config as numba_config
from numba.extending import intrinsic

Array = npt.NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {
    "nogil": True,  # other Python threads go on while a kernel runs
    "error_model": "numpy",  # x / 0 is inf or nan, as in NumPy and TensorFlow, not an exception
    "fastmath": False,  # the order of rounding is the product: LLVM must not reassociate
    "boundscheck": False,  # the layers check shapes before a kernel sees an array
}


def _cache_directory() -> str:
    """Folder for compiled kernels: private to the user, one for each state of the sources.

    Numba notices an edit only in the file that holds the kernel itself, not in a helper that the
    kernel calls from another file; with a digest of all sources in the path it can't serve stale
    code. ``NUMBA_CACHE_DIR`` is respected.
    """
    sources = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    if numba_config.CACHE_DIR:
        root = Path(numba_config.CACHE_DIR)
    elif sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", "~")).expanduser()
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = root / "minisgd" / f"kernels-{sources.hexdigest()[:16]}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(folder)


def kernel(function: F) -> F:
    """Compile a compute kernel on its first call and keep the machine code on disk.

    Signatures are lazy: an import compiles nothing. Where no folder can be written the kernel is
    compiled anew in every process.
    """
    users_choice = numba_config.CACHE_DIR
    try:
        # Numba reads this setting while it decorates; other users of Numba must not see ours.
        numba_config.CACHE_DIR = _cache_directory()
        return numba.njit(cache=True, **_OPTIONS)(function)  # type: ignore[no-any-return]
    except (OSError, RuntimeError):
        return numba.njit(**_OPTIONS)(function)  # type: ignore[no-any-return]
    finally:
        numba_config.CACHE_DIR = users_choice


def helper(function: F) -> F:
    """Compile a function that only kernels call: it becomes part of the kernel's machine code."""
    return numba.njit(**_OPTIONS)(function)  # type: ignore[no-any-return]


if numba_config.DISABLE_JIT:

    def fma(a: Any, b: Any, c: Any) -> Any:
        """``a * b + c``; in float64, so that float32 rounds once, but for double rounding."""
        return type(c)(np.float64(a) * np.float64(b) + np.float64(c))

    def bits_of(x: Any) -> Any:
        """Bit pattern of a float32 as an int32."""
        return np.float32(x).view(np.int32)

    def float_of(n: Any) -> Any:
        """Float32 with the bit pattern of an int32."""
        return np.int32(n).view(np.float32)

    def bits_of_double(x: Any) -> Any:
        """Bit pattern of a float64 as an int64."""
        return np.float64(x).view(np.int64)

    def double_of(n: Any) -> Any:
        """Float64 with the bit pattern of an int64."""
        return np.int64(n).view(np.float64)

    def flush_denormals() -> int:
        """Python can't reach the processor's denormal mode: do nothing."""
        return 0

    def restore_denormals(mode: int) -> None:
        """Do nothing, as `flush_denormals`."""

else:

    @intrinsic
    def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
        """``a * b + c`` with a single rounding (LLVM's ``fma``, vectorised like any product)."""

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.fma(*arguments)

        return a(a, a, a), code

    def _bitcast(result: Any, llvm_type: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], llvm_type)

        return result, code

    @intrinsic
    def bits_of(typing_context: Any, x: Any) -> Any:
        """Bit pattern of a float32 as an int32."""
        return _bitcast(types.int32(types.float32), ir.IntType(32))

    @intrinsic
    def float_of(typing_context: Any, n: Any) -> Any:
        """Float32 with the bit pattern of an int32."""
        return _bitcast(types.float32(types.int32), ir.FloatType())

    @intrinsic
    def bits_of_double(typing_context: Any, x: Any) -> Any:
        """Bit pattern of a float64 as an int64."""
        return _bitcast(types.int64(types.float64), ir.IntType(64))

    @intrinsic
    def double_of(typing_context: Any, n: Any) -> Any:
        """Float64 with the bit pattern of an int64."""
        return _bitcast(types.float64(types.int64), ir.DoubleType())

    # Each processor family keeps the rounding mode in a register of its own.
    _I32, _I64 = ir.IntType(32), ir.IntType(64)
    _MACHINE = platform.machine().lower()
    _X86 = _MACHINE in ("x86_64", "amd64", "i386", "i686")
    _ARM = _MACHINE in ("aarch64", "arm64")
    _FLUSH = 0x8040 if _X86 else 1 << 24 if _ARM else 0  # MXCSR's FTZ | DAZ; FPCR's FZ

    def _read_mode(builder: Any) -> Any:
        if _X86:
            slot = cgutils.alloca_once(builder, _I32)
            pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
            kind = ir.FunctionType(ir.VoidType(), [pointer.type])
            name = "llvm.x86.sse.stmxcsr"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [pointer])
            return builder.zext(builder.load(slot), _I64)
        if _ARM:
            kind = ir.FunctionType(_I64, [])
            name = "llvm.aarch64.get.fpcr"
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return ir.Constant(_I64, 0)

    def _write_mode(builder: Any, mode: Any) -> None:
        if _X86:
            slot = cgutils.alloca_once(builder, _I32)
            builder.store(builder.trunc(mode, _I32), slot)
            pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
            kind = ir.FunctionType(ir.VoidType(), [pointer.type])
            name = "llvm.x86.sse.ldmxcsr"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [pointer])
        elif _ARM:
            kind = ir.FunctionType(ir.VoidType(), [_I64])
            name = "llvm.aarch64.set.fpcr"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [mode])

    @intrinsic
    def flush_denormals(typing_context: Any) -> Any:
        """Make this thread treat denormal numbers as zero, as TensorFlow does; return the old mode.

        A kernel calls this first and `restore_denormals` last, so that the caller's own NumPy code
        never sees the mode.
        """

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            mode = _read_mode(builder)
            _write_mode(builder, builder.or_(mode, ir.Constant(_I64, _FLUSH)))
            return mode

        return types.int64(), code

    @intrinsic
    def restore_denormals(typing_context: Any, mode: Any) -> Any:
        """Give the thread its old floating-point mode back."""

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _write_mode(builder, arguments[0])
            return context.get_dummy_value()

        return types.void(types.int64), code
