"""The op table: one `defop` an operation, its forward kernel and one VJP rule per input.

Public names and arguments are those of ``keras.ops``. Every rule is written in ops, so gradients
can be differentiated again. Read it from `dense` and `softmax_cross_entropy` on: these two and
`relu` are the whole network.

The forward functions name their kernel in a lambda, so that Numba (0.4 s) is imported at the first
call and not with minisgd.
"""

from typing import Any

from minisgd.ops.classification import (
    categorical_crossentropy,
    softmax,
    sparse_categorical_crossentropy,
)
from minisgd.ops.convert import cast, convert_to_numpy, convert_to_tensor
from minisgd.ops.elementwise import (
    add,
    clip,
    divide,
    exp,
    log,
    mean,
    multiply,
    negative,
    relu,
    square,
    subtract,
    where,
)
from minisgd.ops.linear import dense, matmul
from minisgd.ops.reduce import broadcast_to, sum
from minisgd.ops.shape import expand_dims, reshape, transpose
from minisgd.tensor import Tensor
from minisgd.utils.unsupported import explain

__all__ = [
    "add",
    "broadcast_to",
    "cast",
    "categorical_crossentropy",
    "clip",
    "convert_to_numpy",
    "convert_to_tensor",
    "dense",
    "divide",
    "exp",
    "expand_dims",
    "log",
    "matmul",
    "mean",
    "multiply",
    "negative",
    "relu",
    "reshape",
    "softmax",
    "sparse_categorical_crossentropy",
    "square",
    "subtract",
    "sum",
    "transpose",
    "where",
]


def _install_operators() -> None:
    """Give `Tensor` its arithmetic operators."""
    for name, function in (
        ("add", add),
        ("sub", subtract),
        ("mul", multiply),
        ("truediv", divide),
        ("matmul", matmul),
    ):
        setattr(Tensor, f"__{name}__", lambda a, b, f=function: f(a, b))
        setattr(Tensor, f"__r{name}__", lambda a, b, f=function: f(b, a))
    Tensor.__neg__ = negative  # type: ignore[method-assign]


_install_operators()


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
