"""Finding and reading data files: what ``mnist`` and ``fashion_mnist`` share.

Every reader here treats its file as untrusted: nothing is unpickled, and what does not have the
form of the data set is a ``ValueError`` that names the file.
"""

import gzip
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Split: TypeAlias = tuple[tuple[Bytes, Bytes], tuple[Bytes, Bytes]]
"""``(x_train, y_train), (x_test, y_test)``: images (N, 28, 28) and labels (N,), all uint8."""

DATA_VARIABLE = "MINISGD_DATA"
IMAGE_SHAPE = (28, 28)
CLASSES = 10

_IDX_UNSIGNED_BYTE = 0x08


def data_folder() -> Path | None:
    """Return the folder that ``MINISGD_DATA`` names, or None where it is unset or empty."""
    name = os.environ.get(DATA_VARIABLE, "")
    return Path(name).expanduser() if name else None


def read_npz(path: Path) -> Split:
    """Read an ``.npz`` file that holds x_train, y_train, x_test and y_test.

    Raises
    ------
    ValueError
        If the file is not a zip archive of such arrays (pickled objects are refused).
    """
    names = ("x_train", "y_train", "x_test", "y_test")
    # Opened here, since np.load leaves a file open when the archive in it is broken.
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise _bad_file(path, "an .npz file (a zip archive of arrays)", "something else")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in names if name in archive.files}
        # Damage surfaces as any of a dozen types (BadZipFile, zlib.error, TokenError from the
        # array headers, MemoryError for absurd shapes, ValueError for objects): all are the file's.
        except Exception as error:
            expected = "a readable .npz file of plain numeric arrays"
            raise _bad_file(path, expected, f"{type(error).__name__}: {error}") from error
    missing = [name for name in names if name not in arrays]
    if missing:
        expected = f"an .npz file with the arrays {', '.join(names)}"
        raise _bad_file(path, expected, f"one without {', '.join(missing)}")
    for name, array in arrays.items():
        if array.dtype != np.uint8:
            raise _bad_file(path, f"{name} of dtype uint8", f"dtype {array.dtype}")
    x_train, y_train, x_test, y_test = (arrays[name] for name in names)
    check_split(x_train, y_train, f"{path} (train)")
    check_split(x_test, y_test, f"{path} (test)")
    return (x_train, y_train), (x_test, y_test)


def read_idx(path: Path, ndim: int) -> Bytes:
    """Read a gzip-compressed idx file of unsigned bytes into a new writable array.

    The format: a big-endian magic number (two zero bytes, 0x08 for unsigned byte, the number of
    dimensions), one big-endian 32-bit size a dimension, then the values, last axis fastest.

    Raises
    ------
    ValueError
        If the magic number, the sizes or the length of the file are not as the format has them.

    References
    ----------
    The idx file format, as described with the MNIST database by LeCun, Cortes and Burges.
    """
    try:
        with gzip.open(path, "rb") as file:
            content = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _bad_file(path, "a complete gzip file", f"{type(error).__name__}: {error}") from error
    header_size = 4 * (1 + ndim)
    if len(content) < header_size:
        expected = f"an idx header of {header_size} bytes"
        raise _bad_file(path, expected, f"a file of {len(content)} bytes")
    magic, *shape = struct.unpack_from(f">{1 + ndim}I", content)
    expected_magic = _IDX_UNSIGNED_BYTE << 8 | ndim
    if magic != expected_magic:
        expected = f"the idx magic number {expected_magic:#010x} (uint8, {ndim} dimensions)"
        raise _bad_file(path, expected, f"{magic:#010x}")
    size = math.prod(shape)
    if len(content) - header_size != size:
        expected = f"{size} values for the shape {tuple(shape)} in its header"
        raise _bad_file(path, expected, f"{len(content) - header_size}")
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(shape).copy()


def check_split(x: Bytes, y: Bytes, source: str) -> None:
    """Check that `x` holds images (N, 28, 28) and `y` their N labels, all below 10."""
    if x.ndim != 3 or x.shape[1:] != IMAGE_SHAPE or len(x) == 0:
        raise _bad_file(source, "images of shape (N, 28, 28), N > 0", f"shape {x.shape}")
    if y.shape != x.shape[:1]:
        raise _bad_file(source, f"labels of shape ({len(x)},), one an image", f"shape {y.shape}")
    if y.max() >= CLASSES:
        raise _bad_file(source, "labels in 0-9", f"the label {y.max()}")


def _bad_file(source: Path | str, expected: str, received: str) -> ValueError:
    return ValueError(
        f"The data file {source} cannot be used: expected {expected}, received {received}. "
        "The file may be damaged or of another data set: obtain it again, or name another."
    )
