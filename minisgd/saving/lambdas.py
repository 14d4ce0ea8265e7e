"""Lambdas in configurations: Python's byte code, as Keras writes it.

Byte code runs whatever its author wants, and only in the version of Python that made it:
`minisgd.saving.serialization` lets it in when the user says ``safe_mode=False``, never otherwise.
"""

from __future__ import annotations

import base64
import binascii
import marshal
import types
from collections.abc import Callable
from typing import Any


def dump(function: types.FunctionType) -> list[Any]:
    """Code, defaults and values from outside (Keras: ``func_dump`` in utils/python_utils.py)."""
    code = base64.encodebytes(marshal.dumps(function.__code__)).decode("ascii")
    outside = function.__closure__
    return [code, function.__defaults__, outside and [cell.cell_contents for cell in outside]]


def load(value: Any) -> Callable[..., Any]:
    """Function that `dump` (ours or Keras's) wrote.

    Raises
    ------
    ValueError
        If it is none, or another version of Python's.
    """
    try:
        text, defaults, outside = value
        code = marshal.loads(base64.decodebytes(text.encode("ascii")))
        return types.FunctionType(
            code,
            {"__builtins__": __builtins__},
            code.co_name,
            None if defaults is None else tuple(defaults),
            None if outside is None else tuple(types.CellType(v) for v in outside),
        )
    except (binascii.Error, AttributeError, EOFError, TypeError, ValueError) as error:
        msg = f"expected a lambda that this version of Python has written: {error}"
        raise ValueError(msg) from error
