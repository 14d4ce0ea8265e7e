"""In which order TensorFlow rounds: one name for each of its settings, in force inside a `scope`.

`Trainer` enters the scope of ``compile(numerics=...)`` around every step; outside of one the
reference's order holds. A recorded equation keeps the order that it was computed with, so that its
gradient follows the same one. ``docs/reference/rounding-order.md`` has the orders themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from minisgd.utils.lookup import look_up


@dataclass(frozen=True)
class Numerics:
    """One order of rounding.

    Attributes
    ----------
    name : str
        As in ``compile(numerics=name)``.
    order : int
        What compute kernels know it by (``minisgd_kernels.linear``).
    wide : bool
        Whether a step computes in float64, from float32 weights to float32 gradients.
    setting : str
        The setting of TensorFlow whose bits it has, in words.
    environment : mapping
        The environment variables that make TensorFlow take it, before it is imported.
    """

    name: str
    order: int
    wide: bool
    setting: str
    environment: Mapping[str, str] = field(default_factory=dict)


DEFAULT = Numerics("avx512", 0, False, "default flags on a processor with AVX-512")
_BY_NAME = {
    numerics.name: numerics
    for numerics in (
        DEFAULT,
        Numerics("accurate", 0, True, "none: nearer to the exact result than TensorFlow"),
    )
}


class _State(threading.local):
    """What is in force in this thread."""

    def __init__(self) -> None:
        self.numerics = DEFAULT
        self.graph = False


_state = _State()


def get(identifier: str | Numerics | None) -> Numerics:
    """Numerics with a name; None is the default.

    Raises
    ------
    ValueError
        If there is none with that name.
    """
    if identifier is None:
        return DEFAULT
    if isinstance(identifier, Numerics):
        return identifier
    return look_up(identifier, _BY_NAME, "numerics")


def names() -> list[str]:
    """All names, the default first."""
    return list(_BY_NAME)


def current() -> Numerics:
    """What is in force."""
    return _state.numerics


def in_graph() -> bool:
    """Whether TensorFlow would run this as a graph, in which it fuses neighbouring operations.

    So it runs a step of `fit`, `evaluate` and `predict`; a model that is simply called, it doesn't.
    """
    return _state.graph


@contextmanager
def scope(numerics: Numerics, graph: bool = True) -> Iterator[None]:
    """Compute what is inside with these numerics, in this thread."""
    before = _state.numerics, _state.graph
    _state.numerics, _state.graph = numerics, graph
    try:
        yield
    finally:
        _state.numerics, _state.graph = before
