"""The op table: one `defop` an operation, its forward kernel and one VJP rule per input.

Public names and arguments are those of ``keras.ops``. Every rule is written in ops, so gradients
can be differentiated again. Read it from `dense` and `softmax_cross_entropy` on: these two and
`relu` are the whole network.

The forward functions name their kernel in a lambda, so that Numba (0.4 s) is imported at the first
call and not with minisgd.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Array, Tensor, as_kernel_array
from minisgd.utils.unsupported import explain

# Longest block of K in a matrix product: oneDNN's on an AVX-512 processor, the reference setup.
K_BLOCK = 384

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


def convert_to_tensor(x: Any, dtype: Any = None) -> Tensor:
    """Tensor with the values of `x`, which is copied unless it is a tensor already.

    Python floats become float32, as in Keras, and so does float16, for which there are no kernels;
    other arrays keep their dtype.

    Raises
    ------
    ValueError
        If `x` is not numeric (strings, objects, dates, ragged lists).
    """
    if isinstance(x, Tensor):
        return x if dtype is None or x.dtype == dtype else cast(x, dtype)
    array = np.array(x, order="C")
    if array.dtype.kind not in "fiub":
        msg = f"Invalid dtype: {array.dtype}. `x`: expected numbers, received {type(x).__name__}."
        raise ValueError(msg)
    if dtype is None and array.dtype.kind == "f" and array.dtype != np.float64:
        dtype = np.float32
    if dtype is None and not hasattr(x, "dtype") and array.dtype.kind == "f":
        dtype = np.float32
    return Tensor(as_kernel_array(array, dtype))


def convert_to_numpy(x: Any) -> Array:
    """NumPy array with the values of `x`."""
    return np.array(x)


def _float(x: Any) -> Tensor:
    """`x` as a tensor of floats: whole numbers become float32, as in Keras."""
    x = convert_to_tensor(x)
    return x if x.dtype.kind == "f" else cast(x, np.float32)


def _pair(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Two operands of one dtype, whose shapes broadcast.

    A Python number takes the other operand's dtype and whole numbers that of floats, as in Keras.
    """
    if isinstance(x1, Tensor) and isinstance(x2, int | float):
        x2 = Tensor(np.array(x2, _common(x1.dtype, np.dtype(type(x2)), weak=True)))
    elif isinstance(x2, Tensor) and isinstance(x1, int | float):
        x1 = Tensor(np.array(x1, _common(x2.dtype, np.dtype(type(x1)), weak=True)))
    a, b = convert_to_tensor(x1), convert_to_tensor(x2)
    if a.dtype != b.dtype:
        dtype = _common(a.dtype, b.dtype)
        a, b = convert_to_tensor(a, dtype), convert_to_tensor(b, dtype)
    if a.shape != b.shape:
        _check_broadcast(a.shape, b.shape)
    return a, b


def _common(a: np.dtype[Any], b: np.dtype[Any], weak: bool = False) -> np.dtype[Any]:
    """Dtype of an operation on `a` and `b`; a `weak` b is a Python number's."""
    if (a.kind == "f") != (b.kind == "f"):
        return a if a.kind == "f" else np.dtype(np.float32) if weak else b
    return a if weak and a.kind != "b" else np.result_type(a, b)


def _check_broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """Refuse shapes that don't broadcast, before a kernel runs."""
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        msg = f"expected two shapes that broadcast, received {a} and {b}"
        raise ValueError(msg) from None


# --- shape: no arithmetic ---
_reshape: Primitive = defop(
    "reshape",
    lambda x, shape: x.reshape(shape).copy(),  # a view of a Variable would change with it
    lambda g, out, x, shape: bind(_reshape, g, params=(x.shape,)),
    params=1,
)
_transpose: Primitive = defop(
    "transpose",
    lambda x, axes: x.transpose(axes).copy(),
    lambda g, out, x, axes: bind(_transpose, g, params=(tuple(np.argsort(axes)),)),
    params=1,
)
_broadcast_to: Primitive = defop(
    "broadcast_to",
    lambda x, shape: np.broadcast_to(x, shape).copy(),
    lambda g, out, x, shape: _sum_to(g, x.shape),
    params=1,
)
_cast: Primitive = defop(
    "cast",
    lambda x, dtype: x.astype(dtype),
    lambda g, out, x, dtype: cast(g, x.dtype),
    params=1,
)


def reshape(x: Any, newshape: int | Sequence[int]) -> Tensor:
    """The same elements in another shape; one length may be -1."""
    shape = (newshape,) if isinstance(newshape, int) else tuple(newshape)
    return bind(_reshape, convert_to_tensor(x), params=(shape,))


def expand_dims(x: Any, axis: int) -> Tensor:
    """A new axis of length 1 at position `axis`."""
    x = convert_to_tensor(x)
    return reshape(x, np.expand_dims(x._array, axis).shape)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """Axes in another order; by default reversed."""
    x = convert_to_tensor(x)
    order = tuple(range(x.ndim))[::-1] if axes is None else tuple(a % x.ndim for a in axes)
    return bind(_transpose, x, params=(order,))


def broadcast_to(x: Any, shape: Sequence[int]) -> Tensor:
    """Repeat along axes of length 1 (NumPy's rule)."""
    return bind(_broadcast_to, convert_to_tensor(x), params=(tuple(shape),))


def cast(x: Any, dtype: Any) -> Tensor:
    """The same values in another dtype; float64 to float32 rounds to nearest."""
    return bind(_cast, convert_to_tensor(x), params=(np.dtype(dtype),))


# --- element by element ---
_add: Primitive = defop(
    "add",
    lambda a, b: kernels.add(a, b),
    lambda g, out, a, b: _sum_to(g, a.shape),
    lambda g, out, a, b: _sum_to(g, b.shape),
)
_subtract: Primitive = defop(
    "subtract",
    lambda a, b: kernels.subtract(a, b),
    lambda g, out, a, b: _sum_to(g, a.shape),
    lambda g, out, a, b: _sum_to(negative(g), b.shape),
)
_multiply: Primitive = defop(
    "multiply",
    lambda a, b: kernels.multiply(a, b),
    lambda g, out, a, b: _sum_to(multiply(g, b), a.shape),
    lambda g, out, a, b: _sum_to(multiply(g, a), b.shape),
)
_divide: Primitive = defop(
    "divide",
    lambda a, b: kernels.divide(a, b),
    lambda g, out, a, b: _sum_to(divide(g, b), a.shape),
    lambda g, out, a, b: _sum_to(multiply(g, divide(negative(out), b)), b.shape),
)
_exp: Primitive = defop("exp", lambda x: kernels.exponential(x), lambda g, out, x: multiply(g, out))
_log: Primitive = defop("log", lambda x: kernels.logarithm(x), lambda g, out, x: divide(g, x))
_clip: Primitive = defop(
    "clip",
    lambda x, low, high: kernels.clip(x, low, high),
    lambda g, out, x, low, high: bind(_clip_vjp, g, x, params=(low, high)),
    params=2,
)
_clip_vjp: Primitive = defop(
    "clip_vjp",
    lambda g, x, low, high: kernels.clip_vjp(g, x, low, high),
    lambda h, out, g, x, low, high: bind(_clip_vjp, h, x, params=(low, high)),
    None,  # piecewise linear: the second derivative is 0
    params=2,
)
_relu: Primitive = defop(
    "relu", lambda x: kernels.relu(x), lambda g, out, x: bind(_relu_vjp, g, out)
)
_relu_vjp: Primitive = defop(
    "relu_vjp",
    lambda g, y: kernels.relu_vjp(g, y),
    lambda h, out, g, y: bind(_relu_vjp, h, y),
    None,  # piecewise linear: the second derivative is 0
)


def add(x1: Any, x2: Any) -> Tensor:
    """``x1 + x2``, with broadcasting."""
    return bind(_add, *_pair(x1, x2))


def subtract(x1: Any, x2: Any) -> Tensor:
    """``x1 - x2``, with broadcasting."""
    return bind(_subtract, *_pair(x1, x2))


def multiply(x1: Any, x2: Any) -> Tensor:
    """``x1 * x2``, element by element, with broadcasting."""
    return bind(_multiply, *_pair(x1, x2))


def divide(x1: Any, x2: Any) -> Tensor:
    """``x1 / x2``, element by element, with broadcasting; x / 0 is infinite or NaN."""
    a, b = _pair(x1, x2)
    return bind(_divide, _float(a), _float(b))


def negative(x: Any) -> Tensor:
    """``-x``."""
    return multiply(x, -1)


def square(x: Any) -> Tensor:
    """``x * x``."""
    return multiply(x, x)


def exp(x: Any) -> Tensor:
    """E to the power of `x`; in float32 with Eigen's rounding."""
    return bind(_exp, _float(x))


def log(x: Any) -> Tensor:
    """Natural logarithm; in float32 with Eigen's rounding. -inf at 0, NaN below."""
    return bind(_log, _float(x))


def clip(x: Any, x_min: float, x_max: float) -> Tensor:
    """Values limited to ``[x_min, x_max]``; the gradient passes at the bounds, too."""
    x = convert_to_tensor(x)
    return bind(_clip, x, params=(x.dtype.type(x_min), x.dtype.type(x_max)))


_where: Primitive = defop(
    "where",
    lambda condition, a, b: kernels.where(condition, a, b),
    None,  # a condition
    lambda g, out, condition, a, b: where(condition, g, 0.0),
    lambda g, out, condition, a, b: where(condition, 0.0, g),
)


def where(condition: Any, x1: Any, x2: Any) -> Tensor:
    """`x1` where `condition` holds, else `x2`, with broadcasting."""
    a, b = _pair(x1, x2)
    chosen = convert_to_tensor(condition, np.bool_)
    shape = np.broadcast_shapes(chosen.shape, a.shape, b.shape)
    a, b, chosen = (t if t.shape == shape else broadcast_to(t, shape) for t in (a, b, chosen))
    return bind(_where, chosen, a, b)


def relu(x: Any) -> Tensor:
    """``max(x, 0)``; the gradient at 0 is 0. NaN stays NaN, also inside Keras-like `fit`.

    References
    ----------
    Keras, ``keras.ops.relu``; TensorFlow, core/kernels/relu_op_functor.h (ReluGrad).
    """
    return bind(_relu, convert_to_tensor(x))


# --- sums ---
_sum_all: Primitive = defop(
    "sum_all",
    lambda x: kernels.sum_all(x),
    lambda g, out, x: bind(_broadcast_to, g, params=(x.shape,)),
)
_sum_last: Primitive = defop(
    "sum_last",
    lambda x: kernels.sum_last(x),
    lambda g, out, x: broadcast_to(reshape(g, (x.shape[0], 1)), x.shape),
)
_sum_first: Primitive = defop(
    "sum_first", lambda x: kernels.sum_first(x), lambda g, out, x: broadcast_to(g, x.shape)
)
# The gradient of a bias: TensorFlow sums it in another order than other first axes.
_sum_rows: Primitive = defop(
    "sum_rows", lambda x: kernels.sum_rows(x), lambda g, out, x: broadcast_to(g, x.shape)
)


def sum(  # noqa: A001  # the name is Keras's
    x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> Tensor:
    """Sum over all axes, or over some.

    In float32 with the rounding of Eigen's reductions (``kernels/README.md``).
    """
    x = convert_to_tensor(x)
    if x.dtype.kind != "f":
        x = cast(x, np.int64 if x.dtype.kind in "iub" else np.float32)
    axes = _axes(axis, x.ndim)
    kept = [a for a in range(x.ndim) if a not in axes]
    if not kept:
        total = bind(_sum_all, x)
    elif axes == [0] and x.ndim == 2:
        total = bind(_sum_first, x)
    elif not axes:
        total = reshape(x, x.shape)
    else:
        if kept != list(range(len(kept))):
            x, kept = transpose(x, kept + axes), list(range(len(kept)))
        shape = [x.shape[a] for a in kept]
        rows = reshape(x, (int(np.prod(shape)), -1 if x.size else 0))
        total = reshape(bind(_sum_last, rows), shape)
    if keepdims:
        full = convert_to_tensor(x).ndim
        lengths = iter(total.shape)
        total = reshape(total, [1 if a in axes else next(lengths) for a in range(full)])
    return total


def mean(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Sum divided by the number of elements that went into it."""
    x = convert_to_tensor(x)
    total = sum(x, axis, keepdims)
    return divide(total, builtins.max(x.size, 1) // builtins.max(total.size, 1))


def _axes(axis: int | Sequence[int] | None, ndim: int) -> list[int]:
    """Axes as an ascending list of non-negative numbers."""
    if axis is None:
        return list(range(ndim))
    chosen = [axis] if isinstance(axis, int) else list(axis)
    for a in chosen:
        if not -ndim <= a < ndim:
            msg = f"`axis`: expected a number from {-ndim} to {ndim - 1}, received {a}"
            raise ValueError(msg)
    return sorted({a % ndim for a in chosen})


def _sum_to(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Undo a broadcast: sum over the axes along which `shape` was repeated."""
    if g.shape == shape:
        return g
    lead = g.ndim - len(shape)
    repeated = [i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1]
    return reshape(sum(g, list(range(lead)) + [lead + i for i in repeated]), shape)


# --- matrix products ---
# Each product's VJP rules are again two of the three, so the family is closed.
_matmul: Primitive = defop(
    "matmul",
    lambda a, b, k: kernels.matmul(a, b, k),
    lambda g, out, a, b, k: bind(_matmul_nt, g, b, params=(k,)),
    lambda g, out, a, b, k: bind(_matmul_tn, a, g, params=(k,)),
    params=1,
)
_matmul_tn: Primitive = defop(  # a.T @ b
    "matmul_tn",
    lambda a, b, k: kernels.matmul_tn(a, b, k),
    lambda g, out, a, b, k: bind(_matmul_nt, b, g, params=(k,)),
    lambda g, out, a, b, k: bind(_matmul, a, g, params=(k,)),
    params=1,
)
_matmul_nt: Primitive = defop(  # a @ b.T
    "matmul_nt",
    lambda a, b, k: kernels.matmul_nt(a, b, k),
    lambda g, out, a, b, k: bind(_matmul, g, b, params=(k,)),
    lambda g, out, a, b, k: bind(_matmul_tn, g, a, params=(k,)),
    params=1,
)
_dense: Primitive = defop(  # x @ kernel + bias
    "dense",
    lambda x, kernel, bias, k: kernels.dense(x, kernel, bias, k),
    lambda g, out, x, kernel, bias, k: bind(_matmul_nt, g, kernel, params=(k,)),
    lambda g, out, x, kernel, bias, k: bind(_matmul_tn, x, g, params=(k,)),
    lambda g, out, x, kernel, bias, k: bind(_sum_rows, g),
    params=1,
)


def _matrices(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Two operands of one float dtype."""
    a, b = _float(x1), _float(x2)
    dtype = _common(a.dtype, b.dtype)
    return convert_to_tensor(a, dtype), convert_to_tensor(b, dtype)


def matmul(x1: Any, x2: Any) -> Tensor:
    """Matrix product of two matrices, (M, K) and (K, N).

    Raises
    ------
    ValueError
        If the shapes don't fit.
    """
    a, b = _matrices(x1, x2)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        msg = f"matmul: expected shapes (M, K) and (K, N), received {a.shape} and {b.shape}"
        raise ValueError(msg)
    return bind(_matmul, a, b, params=(K_BLOCK,))


def dense(x: Any, kernel: Any, bias: Any) -> Tensor:
    """``x @ kernel + bias``: what a dense layer computes before its activation.

    Parameters
    ----------
    x : Tensor, shape (N, D_in), float
    kernel : Tensor, shape (D_in, units), same dtype
    bias : Tensor, shape (units,), same dtype

    Returns
    -------
    Tensor, shape (N, units)
    """
    x, kernel = _matrices(x, kernel)
    bias = convert_to_tensor(bias, x.dtype)
    if x.ndim != 2 or kernel.ndim != 2 or x.shape[1] != kernel.shape[0]:
        msg = (
            f"dense: expected x (N, D_in), kernel (D_in, units), received {x.shape}, {kernel.shape}"
        )
        raise ValueError(msg)
    if bias.shape != (kernel.shape[1],):
        msg = f"dense: expected a bias of shape ({kernel.shape[1]},), received {bias.shape}"
        raise ValueError(msg)
    return bind(_dense, x, kernel, bias, params=(K_BLOCK,))


# --- softmax and cross-entropy ---
def _softmax_vjp(g: Tensor, p: Tensor) -> Tensor:
    """``p * (g - sum(g * p))``, row by row."""
    return multiply(p, subtract(g, sum(multiply(g, p), -1, keepdims=True)))


_softmax: Primitive = defop(
    "softmax", lambda z: kernels.softmax(z), lambda g, out, z: _softmax_vjp(g, out)
)
_softmax_cross_entropy: Primitive = defop(
    "softmax_cross_entropy",
    lambda z, y: kernels.softmax_cross_entropy(z, y),
    lambda g, out, z, y: multiply(expand_dims(g, -1), bind(_softmax_cross_entropy_backprop, z, y)),
    lambda g, out, z, y: multiply(expand_dims(g, -1), negative(log(softmax(z)))),
)
_softmax_cross_entropy_backprop: Primitive = defop(
    "softmax_cross_entropy_backprop",
    lambda z, y: kernels.softmax_cross_entropy_backprop(z, y),
    lambda g, out, z, y: _softmax_vjp(g, softmax(z)),
    lambda g, out, z, y: negative(g),
)
_sparse_softmax_cross_entropy: Primitive = defop(
    "sparse_softmax_cross_entropy",
    lambda z, labels: kernels.sparse_softmax_cross_entropy(z, labels),
    lambda g, out, z, labels: multiply(
        expand_dims(g, -1), bind(_sparse_softmax_cross_entropy_backprop, z, labels)
    ),
    None,  # class numbers
)
_sparse_softmax_cross_entropy_backprop: Primitive = defop(
    "sparse_softmax_cross_entropy_backprop",
    lambda z, labels: kernels.sparse_softmax_cross_entropy_backprop(z, labels),
    lambda g, out, z, labels: _softmax_vjp(g, softmax(z)),
    None,
)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` over the last axis; the result remembers `x` as its `logits`.

    Parameters
    ----------
    x : Tensor, shape (..., C), float
    axis : int
        Only the last axis is supported.
    """
    x = _float(x)
    if x.ndim == 0 or axis not in (-1, x.ndim - 1):
        msg = f"softmax: expected the last axis of a tensor, received axis {axis}, shape {x.shape}"
        raise ValueError(msg)
    if x.ndim == 2:
        out = bind(_softmax, x)
    else:
        out = reshape(bind(_softmax, reshape(x, (-1, x.shape[-1]))), x.shape)
    out.logits = x
    return out


_EPSILON = 1e-7  # keras.backend.epsilon()


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Tensor:
    """Cross-entropy in nats between distributions and predictions, row by row.

    Behind a softmax it is computed from the logits, ``sum(y * (log(sum(exp z)) - z))``, whatever
    `from_logits` says: the probabilities have lost what the loss needs (a hopeless sample would
    get a loss of 16.1 and no gradient). Elsewhere probabilities are normalised and clipped to
    [1e-7, 1 - 1e-7].

    Parameters
    ----------
    target : Tensor, shape (N, C)
        Distributions; one-hot rows as a rule.
    output : Tensor, shape (N, C)
        Probabilities, or logits with ``from_logits=True``.

    Returns
    -------
    Tensor, shape (N,)

    Raises
    ------
    ValueError
        If the shapes differ or are not (N, C).

    References
    ----------
    Keras, ``keras.ops.categorical_crossentropy`` (backend/tensorflow/nn.py).
    """
    output = _float(output)
    target = convert_to_tensor(target, output.dtype)
    hint = "class numbers want sparse_categorical_crossentropy or utils.to_categorical"
    if target.ndim != output.ndim or output.ndim < 1:
        msg = (
            "Arguments `target` and `output` must have the same rank (ndim). "
            f"Received: target.shape={target.shape}, output.shape={output.shape}; {hint}."
        )
        raise ValueError(msg)
    if target.shape != output.shape or output.ndim != 2:
        msg = (
            "Arguments `target` and `output` must have the same shape, (N, C). "
            f"Received: target.shape={target.shape}, output.shape={output.shape}; {hint}."
        )
        raise ValueError(msg)
    if output.logits is not None or from_logits:
        logits = output if output.logits is None else output.logits
        return bind(_softmax_cross_entropy, logits, target)
    output = divide(output, sum(output, -1, keepdims=True))
    output = clip(output, _EPSILON, 1 - _EPSILON)
    return negative(sum(multiply(target, log(output)), -1))


def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Tensor:
    """`categorical_crossentropy` for class numbers: shape (N,) or (N, 1), from 0 to C - 1.

    Raises
    ------
    ValueError
        If a label is no class number or the shapes don't fit.

    References
    ----------
    Keras, ``keras.ops.sparse_categorical_crossentropy`` (backend/tensorflow/nn.py).
    """
    output = _float(output)
    labels = convert_to_tensor(target)._array
    if labels.ndim == output.ndim and labels.shape[-1] == 1:
        labels = labels.reshape(labels.shape[:-1])
    if output.ndim != 2 or labels.ndim != 1:
        msg = (
            "Argument `output` must have rank (ndim) `target.ndim - 1`: expected labels (N,) or "
            f"(N, 1) and an output (N, C). Received: target.shape={labels.shape}, "
            f"output.shape={output.shape}; one-hot labels want categorical_crossentropy."
        )
        raise ValueError(msg)
    if labels.shape[0] != output.shape[0]:
        msg = (
            "Arguments `target` and `output` must have the same shape up until the last "
            f"dimension: target.shape={labels.shape}, output.shape={output.shape}."
        )
        raise ValueError(msg)
    numbers = Tensor(as_kernel_array(labels, np.int64))
    check_labels(labels, output.shape[1])
    if output.logits is not None or from_logits:
        logits = output if output.logits is None else output.logits
    else:  # Keras takes the logarithm and lets the softmax normalise
        logits = log(clip(output, _EPSILON, 1 - _EPSILON))
    return bind(_sparse_softmax_cross_entropy, logits, numbers)


def check_labels(labels: Array, classes: int) -> None:
    """Refuse labels that would index outside of a row.

    Raises
    ------
    ValueError
        If a label is no whole number from 0 to ``classes - 1``.
    """
    wrong = ~((labels >= 0) & (labels < classes))  # also NaN
    if labels.dtype.kind == "f":
        wrong |= labels != np.trunc(labels)
    if wrong.any():
        first = int(np.argmax(wrong.reshape(-1)))
        msg = (
            f"labels: expected whole numbers from 0 to {classes - 1} ({classes} classes), received "
            f"{labels.flat[first]} at index {first}; the model's last layer needs one unit a class."
        )
        raise ValueError(msg)


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
