"""Compiled kernels as files: private to their user, verified before use.

Numba unpickles what it finds in its cache: a damaged file crashes the process or changes results,
and a stranger's file runs as code. So kernels are kept here, in a file of their own for each
signature, which begins with the SHA-256 of the rest.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import secrets
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numba
from numba.core import config as numba_config
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from minisgd_kernels._pipeline import as_linked

SUFFIX = ".nbc"
_DIGEST_SIZE = hashlib.sha256().digest_size
_WRITABLE_BY_OTHERS = 0o022

_said: list[str] = []  # what is said once in a process


@functools.cache
def _directory(users_choice: str) -> Path:
    sources = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    if users_choice:
        root = Path(users_choice).absolute()
    elif sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", "~")).expanduser()
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    root.mkdir(parents=True, exist_ok=True)
    return private(private(root / "minisgd") / f"kernels-{sources.hexdigest()[:16]}")


def cache_directory() -> Path:
    """Folder for compiled kernels: private to the user, one for each state of the sources.

    Numba notices an edit only in the file that holds the kernel itself, not in a helper that the
    kernel calls from another file; with a digest of all sources in the path no code can be stale.
    ``NUMBA_CACHE_DIR`` is respected.

    Raises
    ------
    OSError
        If it can't be made, or others than the user can write in it.
    """
    try:
        return _directory(numba_config.CACHE_DIR)
    except RuntimeError as error:  # there is no home
        raise FileNotFoundError(str(error)) from None


def private(folder: Path) -> Path:
    """Make a folder that is the user's alone, or see that one is.

    Raises
    ------
    OSError
        If it can't be made, belongs to somebody else, or others can write in it.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "geteuid"):  # not Windows, where the user's folder is private
        state = folder.stat()
        if state.st_uid != os.geteuid():
            raise PermissionError(
                f"{folder} belongs to another user (number {state.st_uid}): expected a folder of "
                "one's own, since the code in it is run"
            )
        if state.st_mode & _WRITABLE_BY_OTHERS:
            raise PermissionError(
                f"other users can write in {folder} (mode {state.st_mode & 0o777:o}): expected a "
                f"private folder, since the code in it is run; `chmod 700 {folder}`"
            )
    return folder


class CodeCache:
    """The machine code of one kernel, with the methods of Numba's own cache.

    Nothing here stops a kernel: without a file, or with a damaged one, it is compiled; if it can't
    be saved, the next process compiles it once more. Either is said once.

    Parameters
    ----------
    function : function
        What is compiled.
    linked : bool
        Whether this is the form of a function that is linked to kernels.
    """

    def __init__(self, function: Callable[..., Any], linked: bool = False) -> None:
        self._function = function
        self._kind = as_linked if linked else nullcontext
        module = Path(function.__code__.co_filename).stem
        line = function.__code__.co_firstlineno
        name = function.__qualname__.replace("<", "").replace(">", "")  # for Windows
        self._stem = f"{module}.{name}{'-linked' * linked}-{line}.{sys.implementation.cache_tag}"

    @property
    def cache_path(self) -> str | None:
        """The folder; None if there is none."""
        try:
            return str(cache_directory())
        except OSError:
            return None

    def is_kept(self) -> bool:
        """Whether code for any signature is there already; also if none can be kept."""
        folder = self.cache_path
        return folder is None or any(Path(folder).glob(f"{self._stem}.*{SUFFIX}"))

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Code for a signature; None if it is to be compiled."""
        context.refresh()
        key = self._key(signature, context.codegen())
        payload = self._read(key)
        if payload is None:
            return None
        with self._kind(context.codegen()):
            return CompileResult._rebuild(context, *payload)

    def save_overload(self, signature: Any, code: Any) -> None:
        """Keep code for a signature."""
        if code.lifted or code.library.has_dynamic_globals:
            return  # of no use to another process
        key = self._key(signature, code.codegen)
        contents = dumps((key, code._reduce()))
        try:
            path = self._path(key)
            # Whole or not at all; a power cut that tears it all the same shows in the digest.
            temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
            try:
                temporary.write_bytes(hashlib.sha256(contents).digest() + contents)
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            say_once(
                "unwritable",
                f"minisgd: compiled kernels can't be kept ({error}). All goes on, but every "
                "process compiles them anew, which takes up to a minute: let NUMBA_CACHE_DIR name "
                "a folder of your own with 100 MB to spare.",
            )

    def flush(self) -> None:
        """Forget all signatures."""
        if self.cache_path is not None:
            for path in Path(self.cache_path).glob(f"{self._stem}.*"):
                path.unlink(missing_ok=True)

    def _read(self, key: Any) -> Any:
        try:
            path = self._path(key)
            with path.open("rb") as file:
                owner, contents = os.fstat(file.fileno()).st_uid, file.read()
        except OSError:
            return None
        digest, contents = contents[:_DIGEST_SIZE], contents[_DIGEST_SIZE:]
        if hasattr(os, "geteuid") and owner != os.geteuid():
            problem = f"belongs to another user (number {owner})"
        elif hashlib.sha256(contents).digest() != digest:
            problem = "is damaged"
        else:
            found, payload = pickle.loads(contents)  # noqa: S301
            return payload if found == key else None
        say_once("damaged", f"minisgd: {path} {problem}; its kernel is compiled anew.")
        return None

    def _key(self, signature: Any, codegen: Any) -> Any:
        """What the code depends on, besides the sources."""
        cells = tuple(cell.cell_contents for cell in self._function.__closure__ or ())
        code = hashlib.sha256(self._function.__code__.co_code + dumps(cells)).hexdigest()
        return signature, codegen.magic_tuple(), code

    def _path(self, key: Any) -> Path:
        number = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return cache_directory() / f"{self._stem}.{number}{SUFFIX}"


def say_once(about: str, text: str) -> None:
    """Warn, the first time in this process."""
    if about not in _said:
        _said.append(about)
        warnings.warn(text, stacklevel=2)
