"""What an operation would return, but for the values: computed from shapes, with no kernel called.

A recording wants to know which calls a step makes, and of which shapes. Computing them would
compile every kernel of an eager step, ten seconds of work for machine code that the printed step
does not call. What is not in the tables here is computed all the same, on whatever its inputs hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minisgd.primitive import recorders

# Results have the shape of the first input.
_AS_FIRST = frozenset({
    "absolute", "clip", "clip_vjp", "clipped_by_norm", "clipped_by_value", "elu", "elu_vjp", "erf",
    "erfc", "exp", "expm1", "gelu", "gelu_tanh", "log", "log1p", "log_softmax",
    "moving_average_inplace", "next_seed_inplace", "reciprocal", "relu", "relu6", "relu_vjp",
    "rsqrt", "rsqrt_vjp", "scaled", "scaled_expm1", "selu", "selu_vjp", "sigmoid", "sigmoid_vjp",
    "sign", "silu", "softmax", "softmax_cross_entropy_backprop", "softplus", "softsign",
    "sparse_softmax_cross_entropy_backprop", "sqrt", "sqrt_vjp", "square", "tanh", "times_sixth",
    "where",
})  # fmt: skip

# A function of the inputs' shapes.
_RULES: dict[str, Callable[..., tuple[int, ...]]] = {
    **dict.fromkeys(
        ("add", "subtract", "multiply", "divide", "divide_by_constant", "squared_difference"),
        np.broadcast_shapes,
    ),
    "dense": lambda x, kernel, bias: (x[0], kernel[1]),
    "matmul": lambda a, b: (*a[:-1], b[-1]),
    "matmul_tn": lambda a, b: (*a[:-2], a[-1], b[-1]),
    "matmul_nt": lambda a, b: (*a[:-1], b[-2]),
    "softmax_cross_entropy": lambda z, y: z[:1],
    "sparse_softmax_cross_entropy": lambda z, labels: z[:1],
    "sum_all": lambda x: (),
    "sum_first": lambda x: x[1:],
    "sum_last": lambda x: x[:-1],
    "sum_rows": lambda x: x[1:],
}


def is_known(name: str) -> bool:
    """Whether a primitive or kernel need not be called."""
    return name in _AS_FIRST or name in _RULES or name.endswith("_inplace")


def stand_in(
    name: str, function: Callable[..., Any], inputs: Sequence[Any], params: Sequence[Any]
) -> Any:
    """``function(*inputs, *params)``, or zeros of its shape and dtype.

    A kernel that changes its inputs leaves them as they are.

    Parameters
    ----------
    name : str
        Of the primitive or compute kernel.
    function : callable
        What computes it.
    inputs : sequence of numpy.ndarray or number
    params : sequence
        What is no array.
    """
    if not is_known(name):
        return function(*inputs, *params)
    if name.endswith("_inplace") and name not in _AS_FIRST:
        return None
    shapes = [np.shape(x) for x in inputs]
    shape = shapes[0] if name in _AS_FIRST else _RULES[name](*shapes)
    return np.zeros(shape, inputs[1 if name == "where" else 0].dtype)


class _ShapesOnly:
    """A watcher that takes no note."""

    result = staticmethod(stand_in)

    def note(self, name: str, inputs: tuple[Any, ...], params: tuple[Any, ...], out: Any) -> Any:
        return params[0] if name == "argument" else out


@contextmanager
def shapes_only() -> Iterator[None]:
    """Let operations in this thread find shapes and dtypes, and zeros for values."""
    before, recorders.watcher = recorders.watcher, _ShapesOnly()
    try:
        yield
    finally:
        recorders.watcher = before
