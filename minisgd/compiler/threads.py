"""How many threads a compiled step uses: one setting for the process, and no effect on any bit."""

from __future__ import annotations

import os

_VARIABLE = "MINISGD_NUM_THREADS"
_chosen: list[int] = []  # empty: the default


def set_threads(n: int | None) -> None:
    """Let compiled steps use `n` threads from the next call on; None is the default again.

    The results do not depend on it. With one, no second process helps to compile what a first eager
    step calls, either.

    Raises
    ------
    ValueError
        If `n` is no whole number from 1 on.
    """
    if n is None:
        _chosen.clear()
        return
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"`n`: expected a number of threads from 1 on, received {n!r}")
    _chosen[:] = [n]


def get_threads() -> int:
    """How many threads compiled steps may use.

    By default the environment variable ``MINISGD_NUM_THREADS``, or as many as this process may use
    processors.

    Raises
    ------
    ValueError
        If the environment variable is no whole number from 1 on.
    """
    if _chosen:
        return _chosen[0]
    text = os.environ.get(_VARIABLE, "").strip()
    if not text:
        return processors()
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise ValueError(f"{_VARIABLE}: expected a number of threads from 1 on, received {text!r}")
    return int(text)


def processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
