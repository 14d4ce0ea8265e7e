"""Every op: values, first and second derivatives, callers' layouts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import minisgd
from minisgd import GradientTape, Variable, ops

pytestmark = pytest.mark.ops


@dataclass(frozen=True)
class Case:
    """One op with inputs: ours and NumPy's function of the same arrays (float64)."""

    name: str
    ours: Callable[..., Any]
    numpy: Callable[..., Any]
    inputs: tuple[Any, ...]
    smooth: bool = True  # False: no derivative, or none that differences could find

    def __str__(self) -> str:
        return self.name


# Away from kinks, ties and the ends of clip: differences step 2e-4 to either side.
A = np.array([[-1.3, 0.4, 2.0, -0.2], [0.7, -0.9, 1.1, 0.3], [2.2, -1.7, -0.6, 0.8]])
B = np.array([[0.9, 1.45, -0.5, 1.2], [-1.7, 0.6, 0.1, 2.3], [1.2, -0.4, 0.5, -1.8]])
P = np.abs(A) + 0.5  # positive
Q = np.exp(B) / np.exp(B).sum(1, keepdims=True)  # rows of probabilities
CUBE = np.linspace(-2.1, 2.3, 24).reshape(2, 3, 4) ** 3 / 4
LABELS = np.array([2, 0, 3])


def reduced(name: str, function: Callable[..., Any], reference: Callable[..., Any]) -> list[Case]:
    """A reduction over every kind of axis."""
    axes = {"all": None, "first": 0, "last": -1, "middle": 1, "two": (0, 2), "both": (1, 2)}
    cases = [
        Case(
            f"{name}, {kind} axis",
            lambda x, a=axis: function(x, axis=a),
            lambda x, a=axis: reference(x, axis=a),
            (CUBE,),
        )
        for kind, axis in axes.items()
    ]
    keep = Case(
        f"{name}, keepdims",
        lambda x: function(x, axis=1, keepdims=True),
        lambda x: reference(x, axis=1, keepdims=True),
        (A,),
    )
    return [*cases, keep]


def log_sum_exp(x, axis=None, keepdims=False):
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis=-1):
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


def binary(y, p):
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def normal(x):
    """Probability that a standard normal variable is at most x."""
    return np.vectorize(math.erfc)(-x / math.sqrt(2)) / 2


def layer_normalized(x, gamma=1.0, beta=0.0, axis=-1):
    deviation = x - x.mean(axis, keepdims=True)
    return deviation / np.sqrt(x.var(axis, keepdims=True) + 1e-7) * gamma + beta


ACTIVATIONS = {
    "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "erf": np.vectorize(math.erf),
    "erfc": np.vectorize(math.erfc),
    "expm1": np.expm1,
    "gelu": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "glu": lambda x: x[:, :2] * sigmoid(x[:, 2:]),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "log_sigmoid": lambda x: np.log(sigmoid(x)),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: (
        1.0507009873554804935 * np.where(x > 0, x, 1.6732632423543772848 * np.expm1(x))
    ),
    "silu": lambda x: x * sigmoid(x),
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sparse_plus": lambda x: np.where(x > 1, x, np.where(x < -1, 0, (x + 1) ** 2 / 4)),
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0, 1),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "swish": lambda x: x * sigmoid(x),
    "tanh_shrink": lambda x: x - np.tanh(x),
}


def both(name, ours, reference, smooth=True):
    """An op of two operands: one shape, a row, a column, a number on either side."""
    return [
        Case(name, ours, reference, (P, B), smooth),
        Case(f"{name}, a row", ours, reference, (P, B[0]), smooth),
        Case(f"{name}, a column first", ours, reference, (P[:, :1], B), smooth),
        Case(f"{name}, a number", lambda a: ours(a, 1.75), lambda a: reference(a, 1.75), (P,),
             smooth),
        Case(f"{name}, a number first", lambda b: ours(1.75, b), lambda b: reference(1.75, b),
             (B,), smooth),
        Case(f"{name}, a scalar tensor", ours, reference, (P, np.array(1.75)), smooth),
    ]  # fmt: skip


CASES = [
    *both("add", ops.add, np.add),
    *both("subtract", ops.subtract, np.subtract),
    *both("multiply", ops.multiply, np.multiply),
    *both("divide", ops.divide, np.divide),
    *both("power", ops.power, np.power),
    *both("maximum", ops.maximum, np.maximum),
    *both("minimum", ops.minimum, np.minimum),
    *(case for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
      for case in both(name, getattr(ops, name), getattr(np, name), smooth=False)),
    Case("power, a negative base", lambda x: ops.power(x, 3), lambda x: x**3, (A,)),
    Case("negative", ops.negative, np.negative, (A,)),
    Case("square", ops.square, np.square, (A,)),
    Case("sqrt", ops.sqrt, np.sqrt, (P,)),
    Case("exp", ops.exp, np.exp, (A,)),
    Case("log", ops.log, np.log, (P,)),
    Case("log1p", ops.log1p, np.log1p, (P,)),
    Case("absolute", ops.absolute, np.abs, (A,)),
    Case("abs", ops.abs, np.abs, (A,)),
    Case("sign", ops.sign, np.sign, (A,)),
    Case("clip", lambda x: ops.clip(x, -0.5, 1.0), lambda x: x.clip(-0.5, 1.0), (A,)),
    Case("where", lambda a, b: ops.where(A > 0, a, b), lambda a, b: np.where(A > 0, a, b), (A, B)),
    Case("where, broadcast", lambda a, b: ops.where(A > 0, a, b),
         lambda a, b: np.where(A > 0, a, b), (A[:1], B[:, :1])),
    Case("matmul", lambda a, b: ops.matmul(a, ops.transpose(b)), lambda a, b: a @ b.T, (A, B)),
    Case("matmul, a vector right", ops.matmul, np.matmul, (A, B[0])),
    Case("matmul, a vector left", ops.matmul, np.matmul, (B[:, 0], A)),
    Case("matmul, two vectors", ops.matmul, np.matmul, (A[0], B[0])),
    Case("matmul, stacks", ops.matmul, np.matmul, (CUBE, CUBE[::-1].transpose(0, 2, 1))),
    Case("matmul, one matrix for a stack", ops.matmul, np.matmul, (CUBE, B.T)),
    Case("dense", lambda x, w, b: ops.dense(x, ops.transpose(w), b), lambda x, w, b: x @ w.T + b,
         (A, B, B[0, :3])),
    Case("transpose", ops.transpose, np.transpose, (A,)),
    Case("transpose, axes", lambda x: ops.transpose(x, (2, 0, -2)),
         lambda x: x.transpose(2, 0, 1), (CUBE,)),
    Case("reshape", lambda x: ops.reshape(x, (2, -1)), lambda x: x.reshape(2, -1), (A,)),
    Case("squeeze", lambda x: ops.squeeze(x), np.squeeze, (A[:1, :, None],)),
    Case("squeeze, an axis", lambda x: ops.squeeze(x, -1), lambda x: x[:, 0], (A[:1, :1],)),
    Case("expand_dims", lambda x: ops.expand_dims(x, -1), lambda x: x[..., None], (A,)),
    Case("broadcast_to", lambda x: ops.broadcast_to(x, (2, 3, 4)),
         lambda x: np.broadcast_to(x, (2, 3, 4)), (A[:, :1],)),
    Case("concatenate", lambda a, b: ops.concatenate([a, b, a], -1),
         lambda a, b: np.concatenate([a, b, a], -1), (A, B[:, :2])),
    Case("concatenate, one", lambda a: ops.concatenate([a]), lambda a: a, (A,)),
    Case("stack", lambda a, b: ops.stack([a, b], 1), lambda a, b: np.stack([a, b], 1), (A, B)),
    Case("stack, last axis", lambda a, b: ops.stack([a, b], -1),
         lambda a, b: np.stack([a, b], -1), (A, B)),
    Case("get_item, an integer", lambda x: x[-1], lambda x: x[-1], (A,)),
    Case("get_item, an element", lambda x: x[1, 2], lambda x: x[1, 2], (A,)),
    Case("get_item, slices", lambda x: x[::-2, 1:3], lambda x: x[::-2, 1:3], (A,)),
    Case("get_item, ... and None", lambda x: x[..., None, 0], lambda x: x[..., None, 0], (CUBE,)),
    Case("get_item, duplicates", lambda x: x[np.array([2, 0, 2, -1])],
         lambda x: x[[2, 0, 2, -1]], (A,)),
    Case("get_item, pairs", lambda x: x[[0, 0, 1], [3, 3, 2]], lambda x: x[[0, 0, 1], [3, 3, 2]],
         (A,)),
    Case("get_item, an array and a slice", lambda x: x[:, ops.convert_to_tensor([1, 1, 0]), 1:],
         lambda x: x[:, [1, 1, 0], 1:], (CUBE,)),
    Case("get_item, a mask", lambda x: x[A > 0], lambda x: x[A > 0], (B,)),
    Case("take", lambda x: ops.take(x, [[5, 5], [0, -1]]), lambda x: np.take(x, [[5, 5], [0, -1]]),
         (A,)),
    Case("take, an axis", lambda x: ops.take(x, [2, 2, 0, -1], -1),
         lambda x: np.take(x, [2, 2, 0, -1], -1), (CUBE,)),
    Case("take, a number", lambda x: ops.take(x, 1, 0), lambda x: x[1], (A,)),
    *reduced("sum", ops.sum, np.sum),
    *reduced("mean", ops.mean, np.mean),
    *reduced("max", ops.max, np.max),
    *reduced("min", ops.min, np.min),
    *reduced("logsumexp", ops.logsumexp, log_sum_exp),
    Case("max, initial", lambda x: ops.max(x, 0, initial=1.5), lambda x: x.max(0, initial=1.5),
         (A,)),
    Case("min, initial", lambda x: ops.min(x, 0, initial=-1.0), lambda x: x.min(0, initial=-1.0),
         (A,)),
    Case("argmax", ops.argmax, np.argmax, (A,), smooth=False),
    Case("argmax, an axis", lambda x: ops.argmax(x, 1), lambda x: x.argmax(1), (CUBE,), False),
    Case("argmax, keepdims", lambda x: ops.argmax(x, -1, keepdims=True),
         lambda x: x.argmax(-1, keepdims=True), (CUBE,), False),
    Case("argmax of all, keepdims", lambda x: ops.argmax(x, keepdims=True),
         lambda x: x.argmax(keepdims=True), (A,), False),
    Case("relu", ops.relu, lambda x: np.maximum(x, 0), (A,)),
    Case("leaky_relu", ops.leaky_relu, lambda x: np.where(x > 0, x, 0.2 * x), (A,)),
    Case("leaky_relu, a slope", lambda x: ops.leaky_relu(x, 0.5),
         lambda x: np.where(x > 0, x, 0.5 * x), (A,)),
    Case("elu", ops.elu, lambda x: np.where(x > 0, x, np.expm1(x)), (A,)),
    Case("elu, alpha", lambda x: ops.elu(x, 0.5), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x)),
         (A,)),
    Case("sigmoid", ops.sigmoid, sigmoid, (A,)),
    Case("tanh", ops.tanh, np.tanh, (A,)),
    Case("softplus", ops.softplus, lambda x: np.log1p(np.exp(x)), (A,)),
    Case("softplus, the ends", ops.softplus, lambda x: np.logaddexp(x, 0),
         (np.array([-50.0, -33.0, 33.0, 60.0]),)),
    *(Case(name, getattr(ops, name), function, (A,)) for name, function in ACTIVATIONS.items()),
    Case("celu, alpha", lambda x: ops.celu(x, 0.7),
         lambda x: np.where(x > 0, x, 0.7 * np.expm1(x / 0.7)), (A,)),
    Case("erfc, the ends", ops.erfc, np.vectorize(math.erfc), (np.array([-13.0, -1, 1, 13]),)),
    Case("gelu, exactly", lambda x: ops.gelu(x, False), lambda x: x * normal(x), (A,)),
    Case("glu, first axis", lambda x: ops.glu(x, 0), lambda x: x[:2] * sigmoid(x[2:]), (A.T,)),
    Case("hard_shrink, a threshold", lambda x: ops.hard_shrink(x, 1.0),
         lambda x: np.where(np.abs(x) > 1, x, 0), (A,)),
    Case("soft_shrink, a threshold", lambda x: ops.soft_shrink(x, 1.0),
         lambda x: np.sign(x) * np.maximum(np.abs(x) - 1, 0), (A,)),
    Case("threshold", lambda x: ops.threshold(x, 0.5, -2.0), lambda x: np.where(x > 0.5, x, -2.0),
         (A,)),
    Case("rsqrt", ops.rsqrt, lambda x: 1 / np.sqrt(x), (P,)),
    Case("moments, the mean", lambda x: ops.moments(x, 0)[0], lambda x: x.mean(0), (A,)),
    Case("moments, the variance", lambda x: ops.moments(x, [0, 2])[1], lambda x: x.var((0, 2)),
         (CUBE,)),
    Case("moments, keepdims", lambda x: ops.moments(x, 1, keepdims=True)[1],
         lambda x: x.var(1, keepdims=True), (A,)),
    Case("batch_normalization", lambda x, m, v, b, g: ops.batch_normalization(x, m, v, -1, b, g),
         lambda x, m, v, b, g: (x - m) / np.sqrt(v + 1e-3) * g + b, (A, B[0], P[0], B[1], P[1])),
    Case("batch_normalization, first axis",
         lambda x, m, v: ops.batch_normalization(x, m, v, 0, epsilon=0.1),
         lambda x, m, v: (x - m[:, None]) / np.sqrt(v[:, None] + 0.1), (A, B[:, 0], P[:, 0])),
    Case("batch_normalization, of its own moments",
         lambda x: ops.batch_normalization(x, *ops.moments(x, 0), -1),
         lambda x: (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3), (A,)),
    Case("layer_normalization", ops.layer_normalization, layer_normalized, (A, P[0], B[0])),
    Case("layer_normalization, without", lambda x: ops.layer_normalization(x, epsilon=1e-7),
         layer_normalized, (A,)),
    Case("layer_normalization, two axes",
         lambda x, g, b: ops.layer_normalization(x, g, b, [1, 2]),
         lambda x, g, b: layer_normalized(x, g, b, (1, 2)), (CUBE, P, B)),
    Case("softmax", ops.softmax, softmax, (A,)),
    Case("softmax, first axis", lambda x: ops.softmax(x, 0), lambda x: softmax(x, 0), (A,)),
    Case("softmax, middle axis", lambda x: ops.softmax(x, 1), lambda x: softmax(x, 1), (CUBE,)),
    Case("softmax of all", lambda x: ops.softmax(x, None),
         lambda x: softmax(x.reshape(-1)).reshape(x.shape), (A,)),
    Case("log_softmax", ops.log_softmax, lambda x: np.log(softmax(x)), (A,)),
    Case("log_softmax, first axis", lambda x: ops.log_softmax(x, 0),
         lambda x: np.log(softmax(x, 0)), (CUBE,)),
    Case("log_softmax of all", lambda x: ops.log_softmax(x, axis=None),
         lambda x: np.log(softmax(x.reshape(-1))).reshape(x.shape), (A,)),
    # The gradient of a cross-entropy is p - y, right for labels that sum to 1: they are fixed here.
    Case("categorical_crossentropy of logits",
         lambda z: ops.categorical_crossentropy(Q, z, from_logits=True),
         lambda z: -(Q * np.log(softmax(z))).sum(-1), (A,)),
    Case("categorical_crossentropy of a softmax",
         lambda z: ops.categorical_crossentropy(Q, ops.softmax(z)),
         lambda z: -(Q * np.log(softmax(z))).sum(-1), (A,)),
    Case("categorical_crossentropy of probabilities",
         lambda p: ops.categorical_crossentropy(Q, p),
         lambda p: -(Q * np.log(p / p.sum(1, keepdims=True))).sum(-1), (P,)),
    Case("categorical_crossentropy, its labels",
         lambda y: ops.categorical_crossentropy(y, ops.convert_to_tensor(A), from_logits=True),
         lambda y: -(y * np.log(softmax(A))).sum(-1), (Q,)),
    Case("sparse_categorical_crossentropy of logits",
         lambda z: ops.sparse_categorical_crossentropy(LABELS, z, from_logits=True),
         lambda z: -np.log(softmax(z))[np.arange(3), LABELS], (A,)),
    Case("sparse_categorical_crossentropy of probabilities",
         lambda p: ops.sparse_categorical_crossentropy(LABELS, p),
         lambda p: -np.log(p / p.sum(1, keepdims=True))[np.arange(3), LABELS], (Q,)),
    Case("binary_crossentropy of logits",
         lambda y, z: ops.binary_crossentropy(y, z, from_logits=True),
         lambda y, z: binary(y, sigmoid(z)), (Q, A)),
    Case("binary_crossentropy of a sigmoid",
         lambda y, z: ops.binary_crossentropy(y, ops.sigmoid(z)),
         lambda y, z: binary(y, sigmoid(z)), (Q, A)),
    Case("binary_crossentropy of probabilities", ops.binary_crossentropy, binary,
         (Q, Q * 0.8 + 0.1)),
    Case("cast there and back", lambda x: ops.cast(x, "float64"), lambda x: x, (A,)),
]  # fmt: skip
SMOOTH = [case for case in CASES if case.smooth]


def test_every_public_op_has_a_case():
    others = {"cast", "convert_to_numpy", "convert_to_tensor", "stop_gradient"}  # below, test_ops
    missing = [n for n in ops.__all__ if not any(c.name.startswith(n) for c in CASES)]
    assert set(missing) <= others


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_are_numpys(case):
    received = case.ours(*[ops.convert_to_tensor(x) for x in case.inputs]).numpy()
    expected = np.asarray(case.numpy(*case.inputs))
    assert received.shape == expected.shape
    assert received.dtype.kind == expected.dtype.kind
    np.testing.assert_allclose(received, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_first_and_second_derivatives(case):
    inputs = [np.asarray(x, np.float64) for x in case.inputs]
    assert minisgd.gradcheck(case.ours, inputs, name=case.name).worst.error <= 1e-6


def misaligned(x):
    buffer = np.zeros(x.nbytes + 1, np.uint8)
    shifted = buffer[1:].view(x.dtype).reshape(x.shape)
    shifted[...] = x
    return shifted


def strided(x):
    wide = np.zeros([2 * n for n in x.shape], x.dtype)
    inside = wide[(..., *[slice(None, None, 2) for _ in x.shape])]
    inside[...] = x
    return inside


def read_only(x):
    frozen = x.copy()
    frozen.flags.writeable = False
    return frozen


LAYOUTS = {
    "strided": strided,
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "Fortran": np.asfortranarray,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "read-only": read_only,
    "misaligned": misaligned,
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_callers_layouts_give_the_same_bits(case):
    plain = [np.array(x, np.float64, order="C") for x in case.inputs]
    expected = case.ours(*map(ops.convert_to_tensor, plain)).numpy()
    for name, layout in LAYOUTS.items():
        received = case.ours(*[ops.convert_to_tensor(layout(x)) for x in plain]).numpy()
        assert received.dtype == expected.dtype, name
        assert received.tobytes() == expected.tobytes(), name


@pytest.mark.parametrize("name", LAYOUTS)
def test_gradients_with_respect_to_any_layout(name):
    x = ops.convert_to_tensor(LAYOUTS[name](A))
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.sum(ops.tanh(ops.matmul(x, LAYOUTS[name](B.T.copy()))))
    t = np.tanh(A @ B.T)
    np.testing.assert_allclose(tape.gradient(y, x).numpy(), (1 - t * t) @ B, rtol=1e-12)


UNARY = ("negative square sqrt exp log log1p absolute sign relu leaky_relu elu sigmoid tanh "
         "softplus softmax log_softmax").split()  # fmt: skip


@pytest.mark.parametrize("name", [*UNARY, "add", "power", "maximum", "less", "sum", "mean"])
def test_nothing_and_a_single_element(name):
    function = getattr(ops, name)
    for shape in ((0, 3), (1, 1)):
        x = np.full(shape, 0.5)
        arguments = (x, x) if name in ("add", "power", "maximum", "less") else (x,)
        if name in ("sum", "mean"):
            assert function(x, 1).shape == shape[:1]
            assert function(x, 0).shape == shape[1:]
            continue
        if name in ("softmax", "log_softmax") and not x.size:
            assert function(x).shape == shape
            continue
        plain = function(*arguments).numpy()
        strange = function(*[strided(a.astype(">f8")) for a in arguments]).numpy()
        assert plain.shape == shape
        assert plain.tobytes() == strange.tobytes()


def test_gradient_of_nothing():
    w = Variable(np.zeros((0, 3)))
    with GradientTape() as tape:
        y = ops.sum(ops.exp(w)) + ops.sum(w[:0]) + ops.sum(ops.concatenate([w, w]))
    assert tape.gradient(y, w).shape == (0, 3)
