"""How large the weights of a model may get while it is made from a file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_left: ContextVar[list[int] | None] = ContextVar("weight_budget", default=None)


@contextmanager
def weight_budget(size: int) -> Iterator[None]:
    """Within the block layers may make weights of this many bytes, all together.

    A file holds every weight of its model: a model that wants more than the file has is refused
    before anything is allocated, whatever its configuration says.
    """
    token = _left.set([size])
    try:
        yield
    finally:
        _left.reset(token)


def spend(shape: Sequence[int], itemsize: int, name: str) -> None:
    """Take a weight's size from the budget, if there is one.

    Raises
    ------
    ValueError
        If it is used up.
    """
    left = _left.get()
    if left is None:
        return
    left[0] -= math.prod(shape) * itemsize
    if left[0] < 0:
        msg = (
            f"the configuration asks for a weight '{name}' of shape {tuple(shape)}: more than the "
            "weights in the file. The configuration or the file is damaged."
        )
        raise ValueError(msg)
