"""Errors of this package: of Keras's type, and a ValueError as well."""

from __future__ import annotations


class UnreadableFileError(OSError, ValueError):
    """A file is damaged, incomplete, or not what its name says.

    Keras lets HDF5's OSError through. Python's own ``io.UnsupportedOperation`` is both, too.
    """


class UnknownObjectError(TypeError, ValueError):
    """A configuration names a class or function that is not known, or arguments it does not take.

    Keras raises TypeError.
    """
