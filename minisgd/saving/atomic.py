"""Write a file so that it is there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name in the same folder, which becomes `path` when the block ends well.

    The new contents are on the disk before the old ones go: whatever happens, power cuts and
    ``kill -9`` included, `path` is the old file or the new one. If the block raises, `path` is what
    it was, and the temporary file is gone. Through a symbolic link the file behind it is replaced.

    Parameters
    ----------
    path : str or path-like

    Yields
    ------
    pathlib.Path
        Where the block is to write the file. It must be closed when the block ends.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    """
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        msg = f"`filepath`: the folder {path.parent} does not exist: make it first."
        raise FileNotFoundError(msg)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """The new name, too, has to survive a power cut. Not all systems can open a folder."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
