"""Compile what an eager step calls in two processes: this one, and one that begins at the end.

Numba compiles one function at a time, in one thread. A first eager step calls a dozen kernels, of
which none may be compiled yet. Another process then compiles the same kernels, the last one first,
into the folder of compiled kernels. This process goes its way and compiles what it does not find
there; somewhere in the middle the two meet. Nobody waits, and nothing depends on the other process:
without it, all takes longer.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minisgd_kernels
from minisgd.compiler.threads import get_threads, processors
from minisgd.primitive import Primitive
from minisgd.tensor import Tensor

_WORTH_A_PROCESS = 4  # kernels: fewer are compiled before the other process has started
_MOST_PATIENT = 19
_SHORT = 64  # longest axis of an array in the other process
_begun: list[subprocess.Popen[bytes]] = []  # at most one

Job = tuple[str, tuple[Any, ...], tuple[Any, ...]]  # primitive or kernel, inputs, parameters


def job(name: str, inputs: Iterable[Any], params: tuple[Any, ...]) -> Job:
    """A call of which only shapes and types are kept."""
    arrays = [x._array if isinstance(x, Tensor) else x for x in inputs]
    kept = (_shape(x) if isinstance(x, np.ndarray) else x for x in arrays)
    plain = (np.float32(x) if isinstance(x, np.float32) else x for x in kept)  # no `record.Symbol`
    return name, tuple(plain), params


class _Shape(tuple[Any, ...]):
    """Dtype and shape of an array."""

    def __new__(cls, dtype: str, shape: tuple[int, ...]) -> _Shape:
        return super().__new__(cls, (dtype, shape))

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)


def _shape(array: np.ndarray[Any, Any]) -> _Shape:
    """Dtype and shape, shortened: machine code is the same for all lengths, a call is not.

    Lengths that were equal still are.
    """
    return _Shape(array.dtype.str, tuple(min(n, _SHORT) for n in array.shape))


def begin(jobs: list[Job], kernels: Iterable[str]) -> None:
    """Let another process compile what these calls need, if it would be of use.

    Parameters
    ----------
    jobs : list
        What `job` has made of the calls, in the order in which they come.
    kernels : iterable of str
        Names of the compute kernels behind them.
    """
    if _begun or min(get_threads(), processors()) < 2 or not _is_python(sys.executable):
        return
    missing = [name for name in kernels if not _is_kept(getattr(minisgd_kernels, name))]
    if len(missing) < _WORTH_A_PROCESS:
        return
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    with contextlib.suppress(OSError):  # it only makes things faster
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {__name__} import main; main()"],
            bufsize=0,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # on Windows
        )
        _begun.append(process)
        atexit.register(_end, process)
        threading.Thread(target=process.wait, daemon=True).start()
        assert process.stdin is not None  # noqa: S101
        process.stdin.write(pickle.dumps(jobs))  # and left open: its end is that of this process


def _is_python(program: str | None) -> bool:
    """Whether a second interpreter can be started: not from inside another program."""
    name = Path(program or "").stem.lower()
    return name.startswith("python") and not getattr(sys, "frozen", False)


def _is_kept(kernel: Any) -> bool:
    """Whether some machine code of a kernel is in its folder, or can't be."""
    cache = getattr(kernel, "_cache", None)
    return cache is None or cache.is_kept()


def _end(process: subprocess.Popen[bytes]) -> None:
    """At exit: leave nobody behind who writes into a folder that may go away."""
    process.kill()
    process.wait()


def _run(jobs: list[Job]) -> None:
    """Make the calls on ones, the last one first."""
    primitives = list(_primitives())
    for name, inputs, params in reversed(jobs):
        arrays = [np.ones(x[1], x[0]) if isinstance(x, _Shape) else x for x in inputs]
        functions: list[Any] = [p.forward for p in primitives if p.name == name]
        for function in functions or [getattr(minisgd_kernels, name, None)]:
            with contextlib.suppress(Exception):  # the first process will say what is wrong
                function(*arrays, *params)


def _primitives() -> Iterator[Primitive]:
    for name, module in list(sys.modules.items()):
        if name.startswith("minisgd."):
            yield from (p for p in vars(module).values() if isinstance(p, Primitive))


def main() -> None:
    """What the other process does."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(0)  # the first process has ended

    if hasattr(os, "nice"):
        os.nice(_MOST_PATIENT)  # on a busy machine it takes no time from anybody
    jobs = pickle.load(sys.stdin.buffer)  # noqa: S301
    threading.Thread(target=watch, daemon=True).start()
    try:
        _run(jobs)
    finally:
        os._exit(0)  # the thread holds a lock that an orderly end would wait for
