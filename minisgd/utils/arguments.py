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


def check_flags(**values: Any) -> None:
    """Refuse arguments that are neither True nor False; see `check_flag`."""
    for name, value in values.items():
        check_flag(value, name)
