"""Softmax and the cross-entropies."""

from __future__ import annotations

from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd import numerics
from minisgd.config import EPSILON
from minisgd.ops.choice import clip, greater_equal, where
from minisgd.ops.convert import as_float, cast, convert_to_tensor
from minisgd.ops.elementwise import add, divide, exp, log, log1p, multiply, negative, subtract
from minisgd.ops.reduce import sum
from minisgd.ops.shape import axes_of, expand_dims, reshape, transpose
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Array, Tensor


def _softmax_vjp(g: Tensor, p: Tensor) -> Tensor:
    """``p * (g - sum(g * p))``, row by row."""
    return multiply(p, subtract(g, sum(multiply(g, p), -1, keepdims=True)))


_softmax: Primitive = defop(
    "softmax",
    lambda z, width: kernels.softmax(z, width),
    lambda g, out, z, width: _softmax_vjp(g, out),
    params=1,
)


_log_softmax: Primitive = defop(
    "log_softmax",
    lambda z: kernels.log_softmax(z),
    lambda g, out, z: subtract(g, multiply(sum(g, -1, keepdims=True), exp(out))),
)


_softmax_cross_entropy: Primitive = defop(
    "softmax_cross_entropy",
    lambda z, y: kernels.softmax_cross_entropy(z, y),
    lambda g, out, z, y: multiply(expand_dims(g, -1), bind(_softmax_cross_entropy_backprop, z, y)),
    lambda g, out, z, y: multiply(expand_dims(g, -1), negative(log_softmax(z))),
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


def _by_rows(
    primitive: Primitive, x: Tensor, axis: int | None, params: tuple[Any, ...] = ()
) -> Tensor:
    """Apply a primitive for matrices along one axis, or with None to all elements as one row."""
    if axis is None:
        return reshape(bind(primitive, reshape(x, (1, -1)), params=params), x.shape)
    if not x.ndim:
        raise ValueError(f"{primitive.name}: expected at least one axis, received a scalar")
    (place,) = axes_of(axis, x.ndim)
    if place != x.ndim - 1:
        swapped = [a for a in range(x.ndim) if a != place] + [place]
        rows = _by_rows(primitive, transpose(x, swapped), -1, params)
        return transpose(rows, np.argsort(swapped).tolist())
    if x.ndim == 2:
        return bind(primitive, x, params=params)
    return reshape(bind(primitive, reshape(x, (-1, x.shape[-1])), params=params), x.shape)


def softmax(x: Any, axis: int | None = -1) -> Tensor:
    """``exp(x) / sum(exp(x))`` along an axis, None for all elements.

    The result remembers `x` as its `logits`.

    Parameters
    ----------
    x : Tensor, shape (..., C), float
    axis : int or None
    """
    x = as_float(x)
    # oneDNN's vectors are as wide as the processor's.
    out = _by_rows(_softmax, x, axis, (16 if numerics.current().avx512 else 8,))
    out.logits = x
    return out


def log_softmax(x: Any, axis: int | None = -1) -> Tensor:
    """``x - log(sum(exp(x)))`` along an axis, None for all elements."""
    return _by_rows(_log_softmax, as_float(x), axis)


def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Tensor:
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
    axis : int
        The classes' axis: only the last.

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
    output = _with_classes_last(output, axis)
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
    output = clip(output, EPSILON, 1 - EPSILON)
    return negative(sum(multiply(target, log(output)), -1))


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """`categorical_crossentropy` for class numbers: shape (N,) or (N, 1), from 0 to C - 1.

    Raises
    ------
    ValueError
        If a label is no class number or the shapes don't fit.

    References
    ----------
    Keras, ``keras.ops.sparse_categorical_crossentropy`` (backend/tensorflow/nn.py).
    """
    output = _with_classes_last(output, axis)
    labels = convert_to_tensor(target)
    if labels.ndim == output.ndim and labels.shape[-1] == 1:
        labels = reshape(labels, labels.shape[:-1])
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
    check_labels(labels._array, output.shape[1])
    numbers = cast(labels, np.int64)
    if output.logits is not None or from_logits:
        logits = output if output.logits is None else output.logits
    else:  # Keras takes the logarithm and lets the softmax normalise
        logits = log(clip(output, EPSILON, 1 - EPSILON))
    return bind(_sparse_softmax_cross_entropy, logits, numbers)


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Tensor:
    """Cross-entropy in nats of one yes-or-no probability, element by element.

    Behind a sigmoid, or with ``from_logits=True``, from the logits z, without overflow:
    ``max(z, 0) - z * target + log(1 + exp(-|z|))``. Elsewhere from probabilities, clipped to
    [1e-7, 1 - 1e-7]: ``-(target * log(p) + (1 - target) * log(1 - p))``.

    Parameters
    ----------
    target : Tensor, any shape
        From 0 to 1.
    output : Tensor, same shape
        Probabilities or logits.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    Keras, ``keras.ops.binary_crossentropy``; TensorFlow,
    ``tf.nn.sigmoid_cross_entropy_with_logits``.
    """
    output = as_float(output)
    target = convert_to_tensor(target, output.dtype)
    if target.shape != output.shape:
        what = "rank (ndim)" if target.ndim != output.ndim else "shape"
        msg = (
            f"Arguments `target` and `output` must have the same {what}. "
            f"Received: target.shape={target.shape}, output.shape={output.shape}"
        )
        raise ValueError(msg)
    if output.logits is not None or from_logits:
        z = output if output.logits is None else output.logits
        positive = greater_equal(z, 0)
        # The gradient of what is recorded last is added first. TensorFlow's graph sorts these four
        # by the names of their operations; its eager steps begin with the two of the difference.
        if numerics.in_graph():
            product = multiply(z, target)
            above = where(positive, z, 0)
            minus_abs = where(positive, negative(z), z)
        else:
            minus_abs = where(positive, negative(z), z)
            product = multiply(z, target)
            above = where(positive, z, 0)
        without_log = subtract(above, product)
        return add(without_log, log1p(exp(minus_abs)))
    output = clip(output, EPSILON, 1 - EPSILON)
    likelihood = multiply(target, log(output))
    likelihood = add(likelihood, multiply(subtract(1, target), log(subtract(1, output))))
    return negative(likelihood)


def _with_classes_last(output: Any, axis: int) -> Tensor:
    """`output` as floats; refuse another `axis` than its last."""
    tensor = as_float(output)
    if axis not in (-1, tensor.ndim - 1):
        msg = f"`axis`: expected the last axis, -1, received {axis} for shape {tensor.shape}"
        raise ValueError(msg)
    return tensor


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
