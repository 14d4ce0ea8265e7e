"""Warnings that point at the user's own line, however deep within minisgd they arise."""

from __future__ import annotations

import sys
import warnings


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the line outside of minisgd that led to it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_ours(module: str) -> bool:
    """Whether a module is minisgd's, or Python's own between two of ours (contextlib)."""
    return module.partition(".")[0] in ("minisgd", "contextlib", "functools")
