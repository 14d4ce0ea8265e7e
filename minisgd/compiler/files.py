"""Printed steps as files: written once, imported, compiled by Numba, which keeps the machine code.

A file lies in the user's own folder of compiled kernels, whose name holds a digest of all kernels
and of Numba's version; the file's own name holds a digest of the text.
"""

from __future__ import annotations

import hashlib
import importlib.util
import linecache
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Function = Callable[..., Any]

_loaded: dict[str, Function] = {}
_lock = threading.RLock()


def path_of(text: str, kind: str) -> Path | None:
    """Where a printed step lies, or would lie; None where no folder can be written."""
    from minisgd_kernels._jit import cache_directory

    try:
        folder = Path(cache_directory()) / "steps"
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    return folder / f"{kind}_{hashlib.sha256(text.encode()).hexdigest()[:16]}.py"


def is_compiled(text: str, kind: str) -> bool:
    """Whether its machine code is there already: in this process or in a file."""
    if text in _loaded:
        return True
    path = path_of(text, kind)
    if path is None or not path.exists():
        return False
    return next(path.parent.parent.rglob(f"{path.stem}.*.nbi"), None) is not None


def load(text: str, kind: str) -> Function:
    """The function of a printed step."""
    with _lock:
        if text not in _loaded:
            _loaded[text] = _import(text, kind)
        return _loaded[text]


def _import(text: str, kind: str) -> Function:
    path = path_of(text, kind)
    if path is not None and not _written(path, text):
        path = None
    name = f"{kind}_steps"
    if path is None:  # from memory; tracebacks and inspect find the lines all the same
        source = f"<minisgd {name} {hashlib.sha256(text.encode()).hexdigest()[:16]}>"
        linecache.cache[source] = (len(text), None, text.splitlines(keepends=True), source)
        namespace: dict[str, Any] = {"__name__": f"minisgd_{kind}_steps"}
        exec(compile(text, source, "exec"), namespace)  # noqa: S102
        return namespace[name]  # type: ignore[no-any-return]
    spec = importlib.util.spec_from_file_location(f"minisgd_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"expected a Python file, received {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Numba's cached code looks for its module by name
    spec.loader.exec_module(module)
    return getattr(module, name)  # type: ignore[no-any-return]


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
