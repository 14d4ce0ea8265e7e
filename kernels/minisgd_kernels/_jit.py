"""How minisgd compiles: every Numba option in one decorator, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy.typing as npt
from numba import types
from numba.core import config as numba_config
from numba.core.typing.templates import infer_global

from minisgd_kernels._cache import CodeCache
from minisgd_kernels._pipeline import HelperCompiler, KernelCompiler

Array = npt.NDArray[Any]
Scalar = Any  # a number of an array's dtype, or an index: Numba infers which
F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {
    "nogil": True,  # other Python threads go on while a kernel runs
    "error_model": "numpy",  # x / 0 is inf or nan, as in NumPy and TensorFlow, not an exception
    "fastmath": False,  # the order of rounding is the product: LLVM must not reassociate
    "boundscheck": False,  # the layers check shapes before a kernel sees an array
    "no_cfunc_wrapper": True,  # no kernel is passed to another one, or to C
    "no_cpython_wrapper": True,  # `KernelCompiler` makes one all the same
}


def kernel(function: F) -> F:
    """Compile a compute kernel on its first call and keep the machine code on disk.

    Signatures are lazy: an import compiles nothing. Where no folder can be written the kernel is
    compiled anew in every process (`_cache`).
    """
    if numba_config.DISABLE_JIT:
        return function
    compiled = numba.njit(**_OPTIONS, pipeline_class=KernelCompiler)(function)
    compiled._cache = CodeCache(function)
    return compiled  # type: ignore[no-any-return]


def part(function: F) -> F:
    """Compile a kernel that does one thread's part of a training step.

    It is called by a printed step, which sets the thread's denormal mode once for all parts. For
    printed steps it is compiled and kept as a helper; Python calls it (in tests) as a kernel.
    """
    compiled: Any = kernel(function)
    if not numba_config.DISABLE_JIT:
        linked = numba.njit(**_OPTIONS, pipeline_class=HelperCompiler)(function)
        linked._cache = CodeCache(function, linked=True)
        _take_numbers_as_variables(linked)
        compiled.get_call_template, compiled.get_overload = (
            linked.get_call_template,
            linked.get_overload,
        )
    return compiled  # type: ignore[no-any-return]


def helper(function: F) -> F:
    """Let kernels call a function, which becomes part of their machine code.

    Python calls it as it is: so no machine code of its own is made.
    """
    if numba_config.DISABLE_JIT:
        return function
    compiled = numba.njit(**_OPTIONS, pipeline_class=HelperCompiler)(function)
    _take_numbers_as_variables(compiled)
    infer_global(function, types.Dispatcher(compiled))  # what the function's name means in a kernel
    vars(function)["compiled"] = compiled  # Numba keeps but a weak reference
    return function


def stands_for(chosen: Callable[..., Callable[..., Any]]) -> Callable[[F], F]:
    """Mark a helper that is one of several, by the types of its arguments.

    Kernels call at once the one that ``chosen(*types)`` returns; the marked function itself is what
    Python runs.
    """

    def mark(function: F) -> F:
        if numba_config.DISABLE_JIT:
            return function
        compiled: Any = numba.njit(**_OPTIONS)(function)  # never compiled: see the two lines below

        def one(kinds: Any) -> Any:
            return vars(chosen(*kinds))["compiled"]

        compiled.get_call_template = lambda kinds, names: one(kinds).get_call_template(kinds, names)
        compiled.get_overload = lambda kinds: one(kinds).get_overload(kinds)
        infer_global(function, types.Dispatcher(compiled))
        vars(function)["compiled"] = compiled
        return function

    return mark


def _take_numbers_as_variables(compiled: Any) -> None:
    """Let a number that is written out in a call be passed like any other.

    Numba would compile the function once more for each such number.
    """
    resolve = compiled.get_call_template

    def resolve_plain(arguments: Any, keywords: Any) -> Any:
        plain = {name: types.unliteral(kind) for name, kind in keywords.items()}
        return resolve(tuple(types.unliteral(kind) for kind in arguments), plain)

    compiled.get_call_template = resolve_plain
