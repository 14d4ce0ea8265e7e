"""The op table: one `defop` an operation, its forward kernel and one VJP rule per input.

Public names and arguments are those of ``keras.ops``. Every rule is written in ops, so gradients
can be differentiated again. Read it from `dense` and `softmax_cross_entropy` on: these two and
`relu` are the whole network.

The forward functions name their kernel in a lambda, so that Numba (0.4 s) is imported at the first
call and not with minisgd.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from minisgd.ops.activation import (
    elu,
    leaky_relu,
    relu,
    sigmoid,
    softplus,
    tanh,
)
from minisgd.ops.choice import (
    clip,
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    maximum,
    minimum,
    not_equal,
    where,
)
from minisgd.ops.classification import (
    binary_crossentropy,
    categorical_crossentropy,
    log_softmax,
    softmax,
    sparse_categorical_crossentropy,
)
from minisgd.ops.convert import cast, convert_to_numpy, convert_to_tensor, stop_gradient
from minisgd.ops.elementwise import (
    abs,
    absolute,
    add,
    divide,
    exp,
    log,
    log1p,
    multiply,
    negative,
    power,
    sign,
    sqrt,
    square,
    subtract,
)
from minisgd.ops.indexing import get_item, take
from minisgd.ops.linear import dense, matmul
from minisgd.ops.normalization import (
    batch_normalization,
    layer_normalization,
    moments,
    rsqrt,
)
from minisgd.ops.piecewise import (
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    relu6,
    soft_shrink,
    sparse_plus,
    sparse_sigmoid,
    threshold,
)
from minisgd.ops.reduce import broadcast_to, sum
from minisgd.ops.shape import (
    concatenate,
    expand_dims,
    reshape,
    squeeze,
    stack,
    transpose,
)
from minisgd.ops.smooth import (
    celu,
    erf,
    erfc,
    expm1,
    gelu,
    glu,
    log_sigmoid,
    selu,
    silu,
    softsign,
    squareplus,
    swish,
    tanh_shrink,
)
from minisgd.ops.statistics import (
    argmax,
    logsumexp,
    max,
    mean,
    min,
)
from minisgd.tensor import Tensor
from minisgd.utils.unsupported import explain

__all__ = [
    "abs",
    "absolute",
    "add",
    "argmax",
    "batch_normalization",
    "binary_crossentropy",
    "broadcast_to",
    "cast",
    "categorical_crossentropy",
    "celu",
    "clip",
    "concatenate",
    "convert_to_numpy",
    "convert_to_tensor",
    "dense",
    "divide",
    "elu",
    "equal",
    "erf",
    "erfc",
    "exp",
    "expand_dims",
    "expm1",
    "gelu",
    "get_item",
    "glu",
    "greater",
    "greater_equal",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "layer_normalization",
    "leaky_relu",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "moments",
    "multiply",
    "negative",
    "not_equal",
    "power",
    "relu",
    "relu6",
    "reshape",
    "rsqrt",
    "selu",
    "sigmoid",
    "sign",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_categorical_crossentropy",
    "sparse_plus",
    "sparse_sigmoid",
    "sqrt",
    "square",
    "squareplus",
    "squeeze",
    "stack",
    "stop_gradient",
    "subtract",
    "sum",
    "swish",
    "take",
    "tanh",
    "tanh_shrink",
    "threshold",
    "transpose",
    "where",
]


def _install_operators() -> None:
    """Give `Tensor` its operators.

    ``==`` and ``!=`` compare element by element, as Keras's tensors do, but a tensor keeps its
    identity as its hash: sets and dicts of tensors work. ``tensor in list`` does not: compare
    with ``is``.
    """
    for name, function in (
        ("add", add),
        ("sub", subtract),
        ("mul", multiply),
        ("truediv", divide),
        ("pow", power),
        ("matmul", matmul),
    ):
        setattr(Tensor, f"__{name}__", lambda a, b, f=function: f(a, b))
        setattr(Tensor, f"__r{name}__", lambda a, b, f=function: f(b, a))
    one_sided: dict[str, Callable[[Any, Any], Tensor]] = {
        "lt": less,
        "le": less_equal,
        "gt": greater,
        "ge": greater_equal,
        "getitem": get_item,
    }
    for name, binary in one_sided.items():
        setattr(Tensor, f"__{name}__", lambda a, b, f=binary: f(a, b))
    for name, function in (("eq", equal), ("ne", not_equal)):
        setattr(Tensor, f"__{name}__", lambda a, b, f=function: _if_numeric(f, a, b))
    for name, unary in (("neg", negative), ("abs", absolute)):
        setattr(Tensor, f"__{name}__", lambda a, f=unary: f(a))


def _if_numeric(function: Callable[[Any, Any], Tensor], a: Tensor, b: Any) -> Any:
    """Compare with numbers, arrays and tensors; anything else (None, a string) is not equal."""
    if isinstance(b, Tensor | np.ndarray | np.number | int | float | list | tuple):
        return function(a, b)
    return NotImplemented


_install_operators()


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
