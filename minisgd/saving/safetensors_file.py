"""Weights as ``.safetensors``: a format that other frameworks read, and that holds no code.

Needs the package ``safetensors``, an extra. Keras itself has no such format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from minisgd.saving.errors import UnreadableFileError
from minisgd.saving.hdf5 import CHECKSUM, digest
from minisgd.tensor import Array, Variable

_Shape = tuple[int, ...]


def _package() -> Any:
    """The package, or how to get it.

    Raises
    ------
    ImportError
    """
    try:
        import safetensors.numpy
    except ImportError as error:
        msg = (
            "`filepath`: a .safetensors file needs the package safetensors: "
            'pip install "minisgd[safetensors]", or use a name that ends in .weights.h5'
        )
        raise ImportError(msg) from error
    return safetensors


def write(path: Path, variables: Iterable[tuple[str, Variable]]) -> None:
    """Write named variables, with a SHA-256 of each among the file's metadata."""
    arrays = {name: variable.numpy() for name, variable in variables}
    checksums = {f"{CHECKSUM} {name}": digest(name, array) for name, array in arrays.items()}
    contents = _package().numpy.save(arrays, {"format": "minisgd", **checksums})
    path.write_bytes(contents)  # which raises an OSError on a full disk; the package does not


def read(path: Path, shapes: Mapping[str, _Shape]) -> dict[str, Array | _Shape]:
    """Array of each name in `shapes`; the shape alone where it is another, or the name unknown.

    Raises
    ------
    UnreadableFileError
        (An OSError and a ValueError.) If the file is damaged.
    """
    package = _package()
    found: dict[str, Array | _Shape] = {}
    try:
        with package.safe_open(path, framework="numpy") as file:
            checksums = file.metadata() or {}
            for name in file.keys():  # noqa: SIM118  # no mapping
                shape = tuple(file.get_slice(name).get_shape())
                found[name] = file.get_tensor(name) if shape == shapes.get(name) else shape
    except (package.SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        msg = f"`filepath`: expected a complete safetensors file, {path} cannot be read: {error}"
        raise UnreadableFileError(msg) from error
    for name, array in found.items():
        checksum = checksums.get(f"{CHECKSUM} {name}")
        ours = checksums.get("format") == "minisgd" or any(
            k.startswith(CHECKSUM) for k in checksums
        )
        if not ours or isinstance(array, tuple):
            continue
        if checksum != digest(name, array):  # one that was lost is damage, too
            msg = f"`filepath`: {path}: '{name}' is damaged: its values do not match their SHA-256"
            raise UnreadableFileError(f"{msg} checksum")
    return found
