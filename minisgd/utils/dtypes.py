"""Names of data types, as Keras writes them."""

from __future__ import annotations

from typing import Any

_OF_PYTHON: dict[Any, str] = {
    None: "float32", bool: "bool", int: "int64", float: "float32", str: "string", "int": "int64",
    complex: "complex128",
}  # fmt: skip
_KNOWN = (
    "float16", "float32", "float64", "uint8", "uint16", "uint32", "uint64", "int8", "int16",
    "int32", "int64", "bfloat16", "bool", "string", "float8_e4m3fn", "float8_e5m2", "complex64",
    "complex128",
)  # fmt: skip


def standardize_dtype(dtype: Any) -> str:
    """Keras's name of a data type.

    Parameters
    ----------
    dtype : str, type, numpy.dtype or None
        None stands for float32; Python's types for what TensorFlow makes of them;
        anything else with a ``name`` or ``__name__`` for that.

    Raises
    ------
    ValueError
        If Keras knows none of this name.

    Examples
    --------
    >>> standardize_dtype(int), standardize_dtype(None)
    ('int64', 'float32')

    References
    ----------
    Keras, ``keras.utils.standardize_dtype`` (backend/common/variables.py).
    """
    name = _OF_PYTHON.get(dtype, dtype)
    name = getattr(name, "name", getattr(name, "__name__", name))
    if not isinstance(name, str) and ("torch" in str(name) or "jax.numpy" in str(name)):
        name = str(name).rpartition(".")[2]
    if name not in _KNOWN:
        msg = f"Invalid dtype: {name}. `dtype`: expected one of {', '.join(_KNOWN)}"
        raise ValueError(msg)
    return str(name)


def check_dtype(dtype: Any) -> str:
    """Name of the dtype that a loss or metric computes in.

    Raises
    ------
    ValueError
        If it is neither None nor float32.
    """
    if dtype is None or str(getattr(dtype, "name", dtype)) == "float32":
        return "float32"
    msg = (
        f"`dtype`: expected None or 'float32', received {dtype!r}; for sums in float64 use "
        "compile(numerics='accurate')."
    )
    raise ValueError(msg)
