"""Reading ``.keras`` files: ZIP archives, of which nothing is believed and nothing is unpacked.

Members are read into memory, never onto the disk, and only when their declared sizes have passed:
what they say after inflating, compared with what the file holds and what the model can use.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from minisgd.saving.errors import UnreadableFileError

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"

_LARGEST_JSON = 1 << 24
_MOST_MEMBERS = 1000
# Keras stores members as they are. Someone may have packed a file anew, but weights do not shrink
# to a hundredth, and DEFLATE can claim a thousandfold.
_LARGEST_RATIO = 100


class Archive:
    """A ``.keras`` file, open; a context manager.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    UnreadableFileError
        (An OSError and a ValueError.) If it is no ZIP file, a damaged one, or one made to do harm.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._refuse_large_directory()
        try:
            self._zip = zipfile.ZipFile(path)
        except _DAMAGE as error:
            raise self.refuse(f"cannot be read as a ZIP file: {error}") from error

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def refuse(self, reason: str) -> UnreadableFileError:
        """Error about this file."""
        return UnreadableFileError(f"`filepath`: {self._path} {reason}")

    def config(self) -> Any:
        """What ``config.json`` holds."""
        return self._json(CONFIG)

    def metadata(self) -> Any:
        """What ``metadata.json`` holds; an empty dict if there is none (Keras never reads it)."""
        return self._json(METADATA) if METADATA in self._zip.namelist() else {}

    def weights_size(self) -> int:
        """Size of the weights file."""
        return self._member(WEIGHTS).file_size

    def weights(self, largest: int) -> io.BytesIO:
        """The weights file, of at most so many bytes."""
        return io.BytesIO(self._read(WEIGHTS, largest))

    def _json(self, name: str) -> Any:
        try:
            return json.loads(self._read(name, _LARGEST_JSON))
        except RecursionError as error:
            raise self.refuse(f"holds a {name} that is nested too deeply") from error
        except UnreadableFileError:
            raise
        except ValueError as error:
            raise self.refuse(f"holds a {name} that is no JSON: {error}") from error

    def _member(self, name: str) -> zipfile.ZipInfo:
        """The one member with this name, whose sizes can be true."""
        found = [info for info in self._zip.infolist() if info.filename == name]
        if len(found) != 1:
            names = sorted(self._zip.namelist())[:10]
            raise self.refuse(f"holds {len(found)} members {name!r}, expected one; it has {names}")
        info = found[0]
        packed = info.compress_type != zipfile.ZIP_STORED
        most = info.compress_size * _LARGEST_RATIO + 4096 if packed else info.compress_size
        if info.file_size > most or info.compress_size > self._path.stat().st_size:
            raise self.refuse(
                f"is not allowed: ZIP member {name!r} declares {info.file_size} bytes but only "
                f"{info.compress_size} are stored: a damaged file, or a decompression bomb"
            )
        return info

    def _read(self, name: str, largest: int) -> bytes:
        info = self._member(name)
        if info.file_size > largest:
            raise self.refuse(
                f"is not allowed: ZIP member {name!r} declares {info.file_size} bytes, and at most "
                f"{largest} can be needed"
            )
        try:
            return self._zip.read(info)  # checks the CRC, too
        except _DAMAGE as error:
            raise self.refuse(f"cannot be read: member {name!r}: {error}") from error

    def _refuse_large_directory(self) -> None:
        """The table of contents is read whole by `zipfile`: it has to be small."""
        size = self._path.stat().st_size
        with open(self._path, "rb") as file:
            file.seek(max(0, size - (1 << 16) - 22))
            tail = file.read()
        end = tail.rfind(b"PK\x05\x06")
        if end < 0 or len(tail) < end + 22:
            raise self.refuse(
                "is no complete `.keras` file: expected a ZIP archive, found no end of one"
            )
        members, directory = struct.unpack("<HI", tail[end + 10 : end + 16])
        # Larger numbers would stand in a second record, which small files have no use for.
        second = tail.rfind(b"PK\x06\x07", 0, end) >= 0 and size < 1 << 32
        if members > _MOST_MEMBERS or directory > 1 << 20 or second:
            raise self.refuse(
                f"declares {members} members: a model has three, and at most {_MOST_MEMBERS} are "
                "accepted"
            )


# What `zipfile` raises for damage.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, LookupError,
    struct.error, OverflowError, MemoryError, NotImplementedError, AttributeError, TypeError,
)  # fmt: skip
