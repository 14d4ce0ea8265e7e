"""Checks of arguments that many classes and functions share."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_flag(value: Any, name: str) -> bool:
    """True or False; anything else, though it has a truth value, is a mistake.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise ValueError(f"`{name}`: expected True or False, received {value!r}")
