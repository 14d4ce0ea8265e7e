"""In which order TensorFlow rounds: one name for each of its settings, in force inside a `scope`.

`Trainer` enters the scope of ``compile(numerics=...)`` around every step; outside of one the
reference's order holds. A recorded equation keeps the order that it was computed with, so that its
gradient follows the same one. ``docs/reference/rounding-order.md`` has the orders themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
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
    setting : str
        The setting of TensorFlow whose bits it has, in words.
    wide : bool
        Whether a step computes in float64, from float32 weights to float32 gradients.
    eigen : bool
        Whether Eigen cuts matrix products into pieces; else oneDNN has them whole, computes
        activations together with them, and softmax.
    avx512 : bool
        Whether products are summed as by oneDNN's kernels for AVX-512, or for AVX2.
    threads : int
        The number of threads whose cuts are followed.
    environment : mapping
        The environment variables that make TensorFlow take this setting, before it is imported.
    """

    name: str
    setting: str
    wide: bool = False
    eigen: bool = False
    avx512: bool = True
    threads: int = 2
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    def __reduce__(self) -> tuple[Callable[[str], Numerics], tuple[str]]:
        """Let copies and pickles of a model share the one object of this name."""
        return get, (self.name,)


DEFAULT = Numerics("avx512", "default flags on a processor with AVX-512")
_WITHOUT_ONEDNN = {"TF_ENABLE_ONEDNN_OPTS": "0"}
_AVX2_ONLY = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
_BY_NAME = {
    numerics.name: numerics
    for numerics in (
        DEFAULT,
        Numerics(
            "avx2",
            "ONEDNN_MAX_CPU_ISA=AVX2, oneDNN's graph operations on",
            avx512=False,
            environment=_AVX2_ONLY | {"TF_ENABLE_ONEDNN_OPTS": "1"},
        ),
        Numerics(
            "eigen",
            "TF_ENABLE_ONEDNN_OPTS=0 on a processor with AVX-512, two threads",
            eigen=True,
            environment=_WITHOUT_ONEDNN,
        ),
        Numerics(
            "eigen_1_thread",
            "TF_ENABLE_ONEDNN_OPTS=0 on a processor with AVX-512, one thread",
            eigen=True,
            threads=1,
            environment=_WITHOUT_ONEDNN | {"TF_NUM_INTRAOP_THREADS": "1"},
        ),
        Numerics(
            "eigen_avx2",
            "default flags on a processor without AVX-512, two threads",
            eigen=True,
            avx512=False,
            environment=_WITHOUT_ONEDNN | _AVX2_ONLY,
        ),
        Numerics("accurate", "none: nearer to the exact result than TensorFlow", wide=True),
    )
}


class _State(threading.local):
    """What is in force in this thread."""

    def __init__(self) -> None:
        self.numerics = DEFAULT
        self.graph = False
        self.shapes_known = False


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


def shapes_known() -> bool:
    """Whether TensorFlow would know the length of the batch as it makes its graph."""
    return _state.graph and _state.shapes_known


@contextmanager
def scope(numerics: Numerics, graph: bool = True, shapes_known: bool = False) -> Iterator[None]:
    """Compute what is inside with these numerics, in this thread."""
    before = _state.numerics, _state.graph, _state.shapes_known
    _state.numerics, _state.graph, _state.shapes_known = numerics, graph, shapes_known
    try:
        yield
    finally:
        _state.numerics, _state.graph, _state.shapes_known = before
