"""Softmax and the cross-entropies."""

from __future__ import annotations

from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd.ops.convert import as_float, convert_to_tensor
from minisgd.ops.elementwise import clip, divide, log, multiply, negative, subtract
from minisgd.ops.reduce import sum
from minisgd.ops.shape import expand_dims, reshape
from minisgd.primitive import Primitive, bind, defop
from minisgd.tensor import Array, Tensor, as_kernel_array


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
    x = as_float(x)
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
    output = as_float(output)
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
    output = as_float(output)
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
    check_labels(labels, output.shape[1])
    numbers = Tensor(as_kernel_array(labels, np.int64))
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
