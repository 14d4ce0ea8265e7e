"""Arrays in HDF5 files: written with a checksum each, and read as if the file meant harm.

HDF5 can do more than hold arrays. Links and external or virtual datasets lead into other files,
filters run plugins, and a few bytes can declare terabytes. Keras's files need none of that: what
is not a plain array of numbers, stored in one piece within the file, is refused by its structure,
before a value is read or memory allocated for it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from minisgd.saving.errors import UnreadableFileError
from minisgd.tensor import Array

CHECKSUM = "sha256"  # name of the attribute; Keras ignores it


def digest(path: str, array: Array) -> str:
    """SHA-256 of an array and of what it is: its path in the file, its dtype and its shape."""
    array = np.asarray(array)
    title = f"{path} {array.dtype.str} {array.shape}\n".encode()
    return hashlib.sha256(title + array.tobytes()).hexdigest()


# --- writing ---
def write_group(file: Any, path: str, name: str, arrays: Sequence[Array]) -> None:
    """Make a group with the arrays 0, 1, ... and an attribute `name`, as Keras has it."""
    group = file.create_group(path)
    group.attrs["name"] = name
    for index, array in enumerate(arrays):
        dataset = group.create_dataset(str(index), data=array)
        checksum = digest(f"{path}/{index}", array).encode()
        dataset.attrs.create(CHECKSUM, np.array(checksum, f"S{len(checksum)}"))


# --- reading ---
@contextmanager
def reading(source: str | os.PathLike[str] | IO[bytes], named: str) -> Iterator[Reader]:
    """The file, open; whatever HDF5 makes of damage becomes one error.

    Parameters
    ----------
    source : path or binary file
    named : str
        What messages call it.

    Raises
    ------
    UnreadableFileError
        (An OSError and a ValueError.) If it is no HDF5 file, or a damaged one.
    """
    import h5py  # imported late: `import minisgd` should not pay for it

    try:
        with h5py.File(source, "r") as file:
            reader = Reader(file, named)
            yield reader
            reader.refuse_lost_checksums()
    except UnreadableFileError:
        raise  # says it already
    # h5py reports damage inside of a file by any of these.
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError,
            ArithmeticError, MemoryError, SystemError, NotImplementedError) as error:  # fmt: skip
        msg = f"`filepath`: expected a complete HDF5 file, {named} cannot be read: {error}"
        raise UnreadableFileError(msg) from error


class Reader:
    """The members of an open HDF5 file, each checked before it is used."""

    def __init__(self, file: Any, named: str) -> None:
        self._file = file
        self._named = named
        self._with_checksum: list[str] = []
        self._without: list[str] = []

    def refuse_lost_checksums(self) -> None:
        """Refuse a file of which some arrays have a checksum and others have lost theirs.

        Raises
        ------
        UnreadableFileError
        """
        if self._with_checksum and self._without:
            raise self.refuse(self._without[0], "has no checksum, which other arrays have: damaged")

    def refuse(self, path: str, reason: str) -> UnreadableFileError:
        """Error about one member."""
        return UnreadableFileError(f"`filepath`: {self._named}: '{path}' {reason}")

    def members(self, path: str) -> list[str]:
        """Names in a group; none if there is no such group."""
        group = self._group(path)
        return [] if group is None else list(group)

    def datasets(self, path: str) -> dict[str, Any]:
        """Datasets of a group by name; none if there is no such group."""
        import h5py

        group = self._group(path)
        found = {}
        for name in group if group is not None else ():
            member = self._member(group, name, f"{path}/{name}")
            if isinstance(member, h5py.Dataset):
                self._check(member, f"{path}/{name}")
                found[name] = member
        return found

    def values(self, dataset: Any, path: str) -> Array:
        """The array of a checked dataset; verified, if the file has its checksum."""
        array = np.asarray(dataset[()])
        if CHECKSUM not in dataset.attrs:
            self._without.append(path)
            return array
        self._with_checksum.append(path)
        attribute = dataset.attrs.get_id(CHECKSUM)
        if attribute.shape != () or attribute.dtype != np.dtype("S64"):
            raise self.refuse(path, "has a checksum that is none")
        if dataset.attrs[CHECKSUM] != digest(path, array).encode():
            raise self.refuse(path, "is damaged: its values do not match their SHA-256 checksum")
        return array

    def _group(self, path: str) -> Any:
        """The group, reached by way of plain groups only; None if it is not there."""
        import h5py

        group, walked = self._file, ""
        for name in path.split("/"):
            walked = f"{walked}/{name}".lstrip("/")
            if not group.id.links.exists(name.encode()):
                return None
            group = self._member(group, name, walked)
            if not isinstance(group, h5py.Group):
                return None
        return group

    def _member(self, group: Any, name: str, path: str) -> Any:
        """Member of a group, which lives in this file.

        `h5py` itself would follow a link to see whether it leads somewhere.
        """
        import h5py

        kind = group.id.links.get_info(name.encode()).type
        if kind != h5py.h5l.TYPE_HARD:
            known = {h5py.h5l.TYPE_SOFT: "SoftLink", h5py.h5l.TYPE_EXTERNAL: "ExternalLink"}
            word = known.get(kind, "an unknown link")
            raise self.refuse(path, f"could lead anywhere: H5 file with {word}, not allowed")
        return group[name]

    def _check(self, dataset: Any, path: str) -> None:
        """Refuse all but numbers, stored whole, in one piece and within the file."""
        import h5py

        if dataset.external:
            raise self.refuse(path, "keeps its values in another file: H5 file with external data")
        layout = dataset.id.get_create_plist().get_layout()
        if dataset.is_virtual or layout not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
            raise self.refuse(
                path,
                "is virtual, chunked or compressed: expected an array stored in one piece, as "
                "Keras and minisgd write it",
            )
        if dataset.shape is None or dataset.dtype not in _NUMBERS:
            raise self.refuse(path, f"holds no numbers but {dataset.dtype}")
        declared, stored = dataset.nbytes, dataset.id.get_storage_size()
        if layout == h5py.h5d.CONTIGUOUS and declared:
            start = dataset.id.get_offset()
            inside = start is not None and start + declared <= self._file.id.get_filesize()
        else:
            inside = True
        if declared != stored or not inside:
            raise self.refuse(
                path,
                f"declares {declared} bytes (shape {dataset.shape}), but the file holds "
                f"{stored if inside else 'fewer'}: it is damaged, or made to exhaust the memory",
            )


_NUMBERS = [
    np.dtype(order + kind)
    for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
    for order in "<>"
]
