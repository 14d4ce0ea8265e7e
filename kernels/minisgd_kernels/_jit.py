"""How minisgd compiles: every Numba option in one decorator, and where machine code is kept."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy.typing as npt
from numba import types
from numba.core import config as numba_config
from numba.core.typing.templates import infer_global

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Array = npt.NDArray[Any]
Scalar = Any  # a number of an array's dtype, or an index: Numba infers which
F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {
    "nogil": True,  # other Python threads go on while a kernel runs
    "error_model": "numpy",  # x / 0 is inf or nan, as in NumPy and TensorFlow, not an exception
    "fastmath": False,  # the order of rounding is the product: LLVM must not reassociate
    "boundscheck": False,  # the layers check shapes before a kernel sees an array
    "no_cfunc_wrapper": True,  # no kernel is passed to another one, or to C
}


@functools.cache
def _cache_directory(users_choice: str) -> str:
    """Folder for compiled kernels: private to the user, one for each state of the sources.

    Numba notices an edit only in the file that holds the kernel itself, not in a helper that the
    kernel calls from another file; with a digest of all sources in the path it can't serve stale
    code. ``NUMBA_CACHE_DIR`` is respected.
    """
    sources = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    if users_choice:
        root = Path(users_choice)
    elif sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", "~")).expanduser()
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = root / "minisgd" / f"kernels-{sources.hexdigest()[:16]}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(folder)


def cache_directory() -> str:
    """Folder for compiled kernels, as it is now.

    Raises
    ------
    OSError
        If it can't be made.
    """
    return _cache_directory(numba_config.CACHE_DIR)


def kernel(function: F) -> F:
    """Compile a compute kernel on its first call and keep the machine code on disk.

    Signatures are lazy: an import compiles nothing. Where no folder can be written the kernel is
    compiled anew in every process.
    """
    users_choice = numba_config.CACHE_DIR
    try:
        # Numba reads this setting while it decorates; other users of Numba must not see ours.
        numba_config.CACHE_DIR = _cache_directory(users_choice)
        compiled = numba.njit(cache=True, **_OPTIONS)(function)
        _save_one_at_a_time(compiled, _cache_directory(users_choice))
        return compiled  # type: ignore[no-any-return]
    except (OSError, RuntimeError):
        return numba.njit(**_OPTIONS)(function)  # type: ignore[no-any-return]
    finally:
        numba_config.CACHE_DIR = users_choice


def _save_one_at_a_time(compiled: Any, folder: str) -> None:
    """Let no two processes save machine code at once.

    Numba numbers the files of a kernel's signatures: of two processes that begin with an empty
    folder, each would write its own "1", and one signature would then find the other's code.
    """
    if fcntl is None or numba_config.DISABLE_JIT:
        return
    save = compiled._cache.save_overload

    def save_alone(signature: Any, code: Any) -> None:
        with open(Path(folder) / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
            save(signature, code)

    compiled._cache.save_overload = save_alone


def part(function: F) -> F:
    """Compile a kernel that does one thread's part of a training step, and keep it like `kernel`.

    It is called by a printed step, which sets the thread's denormal mode once for all parts.
    """
    compiled: Any = kernel(function)
    _take_numbers_as_variables(compiled)
    return compiled  # type: ignore[no-any-return]


def helper(function: F) -> F:
    """Let kernels call a function, which becomes part of their machine code.

    Python calls it as it is: so Numba need not compile a way in for Python.
    """
    if numba_config.DISABLE_JIT:
        return function
    compiled = numba.njit(**_OPTIONS, no_cpython_wrapper=True)(function)
    _take_numbers_as_variables(compiled)
    infer_global(function, types.Dispatcher(compiled))  # what the function's name means in a kernel
    vars(function)["compiled"] = compiled  # Numba keeps but a weak reference
    return function


def _take_numbers_as_variables(compiled: Any) -> None:
    """Let a number that is written out in a call be passed like any other.

    Numba would compile the function once more for each such number.
    """
    if numba_config.DISABLE_JIT:
        return
    resolve = compiled.get_call_template

    def resolve_plain(arguments: Any, keywords: Any) -> Any:
        plain = {name: types.unliteral(kind) for name, kind in keywords.items()}
        return resolve(tuple(types.unliteral(kind) for kind in arguments), plain)

    compiled.get_call_template = resolve_plain
