"""Printed steps as files: written once for people to read, compiled, and the machine code kept.

A file lies in the user's own folder of compiled kernels, whose name holds a digest of all kernels
and of Numba's version; the file's own name holds a digest of the text. What runs is always the text
that was printed in this process, never what stands in a file.
"""

from __future__ import annotations

import hashlib
import linecache
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

Function = Callable[..., Any]

_loaded: dict[str, Function] = {}
_lock = threading.RLock()


def path_of(text: str, kind: str) -> Path | None:
    """Where a printed step lies, or would lie; None where no folder can be written."""
    from minisgd_kernels._cache import cache_directory, private

    try:
        return private(cache_directory() / "steps") / f"{_name_of(text, kind)}.py"
    except OSError:
        return None


def _name_of(text: str, kind: str) -> str:
    return f"{kind}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def is_compiled(text: str, kind: str) -> bool:
    """Whether its machine code is there already: in this process or in a file."""
    from minisgd_kernels._cache import SUFFIX

    if text in _loaded:
        return True
    path = path_of(text, kind)
    if path is None:
        return False
    return next(path.parent.parent.glob(f"{path.stem}.*{SUFFIX}"), None) is not None


def load(text: str, kind: str) -> Function:
    """The function of a printed step."""
    with _lock:
        if text not in _loaded:
            _loaded[text] = _import(text, kind)
        return _loaded[text]


def _import(text: str, kind: str) -> Function:
    path, name = path_of(text, kind), _name_of(text, kind)
    if path is not None and _written(path, text):
        source = str(path)
    else:  # tracebacks and inspect find the lines all the same
        source = f"<minisgd {name}>"
        linecache.cache[source] = (len(text), None, text.splitlines(keepends=True), source)
    module = ModuleType(f"minisgd_{name}")
    module.__file__ = source
    sys.modules[module.__name__] = module  # kept machine code looks for its module by name
    exec(compile(text, source, "exec"), vars(module))  # noqa: S102
    return getattr(module, f"{kind}_steps")  # type: ignore[no-any-return]


def _written(path: Path, text: str) -> bool:
    """Whether the file holds the text, written now if it did not; never half a file."""
    try:
        if path.read_text(encoding="utf-8") == text:
            return True
    except (OSError, UnicodeDecodeError):
        pass  # there is none, or it is broken
    try:
        handle, temporary = tempfile.mkstemp(".py.tmp", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        return False
    return True
