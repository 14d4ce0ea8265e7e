"""Every op beside live ``keras.ops``: values and ``tf.GradientTape``'s gradients, bit by bit.

One record a case: the op, its inputs, wrong inputs, the class of its tolerance. Equality is the
default. The other classes are for what TensorFlow itself computes in another way on another
processor, or with a library that we do without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import minisgd
from minisgd.parity.compare import compare
from minisgd.parity.tolerances import (
    OP_C_LIBRARY as C_LIBRARY,
)
from minisgd.parity.tolerances import (
    OP_ERFC as ERFC,
)
from minisgd.parity.tolerances import (
    OP_GELU_POWER as GELU_POWER,
)
from minisgd.parity.tolerances import (
    OP_INVERSE_ROOT as INVERSE_ROOT,
)
from minisgd.parity.tolerances import (
    OP_POWER as POWER,
)
from minisgd.parity.tolerances import (
    OP_PRODUCT as PRODUCT,
)
from minisgd.parity.tolerances import (
    OP_RECIPROCAL as RECIPROCAL,
)
from minisgd.parity.tolerances import (
    OP_REDUCTION as REDUCTION,
)
from minisgd.parity.tolerances import (
    OP_SOFTMAX as SOFTMAX,
)
from minisgd.parity.tolerances import (
    OP_ZEROS as ZEROS,
)
from minisgd.parity.tolerances import (
    Tolerance,
)

pytestmark = pytest.mark.ops

EQUAL = None


@dataclass(frozen=True)
class Case:
    """``call(ops, *inputs)`` under both namespaces."""

    name: str
    call: Callable[..., Any]
    inputs: tuple[Any, ...]
    value: Tolerance | None = EQUAL
    gradient: Tolerance | None = EQUAL

    def __str__(self) -> str:
        return self.name


def drawn(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


# 53 * 19 = 1007 elements: whole packets of eight and seven that fill none.
A, B = drawn(1, 53, 19), drawn(2, 53, 19)
ROW, COLUMN, CUBE = drawn(3, 19), drawn(4, 53, 1), drawn(5, 5, 37, 19)
P = np.abs(A) + np.float32(0.1)
TIES, TIES_B = np.round(A) + np.float32(0), np.round(B) + np.float32(0)  # + 0: no -0
Y = np.random.default_rng(6).uniform(0.01, 0.99, (53, 19)).astype(np.float32)
Q = Y / Y.sum(1, keepdims=True)
LABELS = np.random.default_rng(7).integers(0, 19, 53).astype(np.int32)


def op(name: str, *arguments: Any, **settings: Any) -> Callable[..., Any]:
    return lambda ops, *inputs: getattr(ops, name)(*inputs, *arguments, **settings)


def operands(name: str) -> list[Case]:
    kinds = {"": (A, B), ", a row": (A, ROW), ", a column": (A, COLUMN), ", ties": (TIES, TIES_B),
             ", tiny": (A[:1, :3], B[:1, :3])}  # fmt: skip
    cases = [Case(name + kind, op(name), inputs) for kind, inputs in kinds.items()]
    if name == "divide":  # by nothing that is 0
        cases = [Case(c.name, c.call, (c.inputs[0], np.abs(c.inputs[1]) + 1)) for c in cases]
    return cases


def reductions(name: str, x: Any, y: Any, gradient: Tolerance | None = EQUAL) -> list[Case]:
    exact = name in ("max", "min")
    cases = [Case(f"{name}, axis {axis}", op(name, axis=axis), (x,), EQUAL, gradient)
             for axis in (None, 0, -1)]  # fmt: skip
    cases += [Case(f"{name}, 3 axes, {axis}", op(name, axis=axis), (y,), EQUAL, gradient)
              for axis in (0, 2, (0, 1), (1, 2))]  # fmt: skip
    loose = EQUAL if exact else REDUCTION
    cases += [Case(f"{name}, 3 axes, {axis}", op(name, axis=axis), (y,), loose, gradient)
              for axis in (1, (0, 2))]  # fmt: skip
    return [*cases, Case(f"{name}, keepdims", op(name, 0, True), (x,), EQUAL, gradient)]


CASES = [
    *(case for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")
      for case in operands(name)),
    *(Case(name, op(name), (TIES, TIES_B)) for name in
      ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")),
    Case("add, a cube and a row", op("add"), (CUBE, ROW)),
    Case("multiply, a cube and a row", op("multiply"), (CUBE, ROW)),
    Case("multiply, a middle axis", op("multiply"), (CUBE, CUBE[:, :1].copy()), EQUAL, REDUCTION),
    Case("power", op("power"), (P, B), POWER, POWER),
    Case("power, of zeros", op("power"), (np.abs(TIES), P), POWER, POWER),
    Case("power, squared", op("power", 2), (A,), POWER),
    *(Case(name, op(name), (A,)) for name in
      ("negative", "square", "absolute", "abs", "sign", "exp", "leaky_relu", "elu", "sigmoid",
       "tanh", "log_softmax")),
    *(Case(f"{name}, tiny", op(name), (A[:1, :5].copy(),)) for name in
      ("exp", "elu", "sigmoid", "tanh", "log_softmax")),
    *(Case(f"{name}, large", op(name), (drawn(8, 400, 300) * 20,)) for name in
      ("elu", "sigmoid", "tanh", "log_softmax")),
    Case("relu", op("relu"), (A,), EQUAL, ZEROS),
    Case("relu, ties", op("relu"), (TIES,), EQUAL, ZEROS),
    Case("leaky_relu, ties", op("leaky_relu", 0.01), (TIES,)),
    Case("elu, alpha", op("elu", 0.7), (A,)),
    Case("softplus", op("softplus"), (A,), C_LIBRARY),
    Case("softplus, packets", op("softplus"), (A[:48].copy() * 8,)),
    *(Case(name, op(name), (A,), ZEROS, ZEROS) for name in
      ("celu", "erf", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
       "relu6", "selu", "silu", "soft_shrink", "softsign", "sparse_sigmoid", "squareplus", "swish",
       "tanh_shrink")),
    *(Case(f"{name}, tiny", op(name), (A[:1, :5].copy(),)) for name in
      ("celu", "erf", "selu", "silu", "softsign")),
    Case("erf, large", op("erf"), (drawn(8, 400, 300) * 2,)),
    Case("erfc", op("erfc"), (np.clip(A, -1, 1),)),
    Case("erfc, beyond 1", op("erfc"), (A,), ERFC),
    Case("expm1", op("expm1"), (A,), C_LIBRARY),
    Case("log_sigmoid", op("log_sigmoid"), (A,), C_LIBRARY),
    Case("celu, alpha", op("celu", 0.7), (A,), C_LIBRARY),
    Case("gelu", op("gelu"), (A,), GELU_POWER, GELU_POWER),
    Case("gelu, exactly", op("gelu", False), (A,), ERFC, ERFC),
    Case("gelu, exactly, up to 1.41", op("gelu", False), (np.clip(A, -1.41, 1.41),)),
    Case("glu", op("glu"), (A[:, :18].copy(),), EQUAL, ZEROS),
    Case("sparse_plus", op("sparse_plus"), (A,), POWER),
    Case("threshold", op("threshold", 0.5, -2.0), (A,)),
    Case("rsqrt", op("rsqrt"), (P,), INVERSE_ROOT, INVERSE_ROOT),
    Case("rsqrt, tiny", op("rsqrt"), (P[:1, :7].copy(),)),
    *(Case(f"moments, {part}", lambda ops, x, i=i: ops.moments(x, [0])[i], (A,))
      for i, part in enumerate(("mean", "variance"))),
    Case("moments, 3 axes", lambda ops, x: ops.moments(x, [0, 1], keepdims=True)[1], (CUBE,)),
    Case("batch_normalization", lambda ops, x, m, v, b, g: (
        ops.batch_normalization(x, m, v, -1, offset=b, scale=g)), (A, ROW, P[0], ROW + 1, P[1]),
         INVERSE_ROOT, INVERSE_ROOT),
    Case("batch_normalization, seven features", lambda ops, x, m, v, b, g: (
        ops.batch_normalization(x, m, v, -1, offset=b, scale=g)),
         (A[:, :7].copy(), ROW[:7], P[0, :7], ROW[:7] + 1, P[1, :7])),
    Case("batch_normalization, middle axis", lambda ops, x, m, v: (
        ops.batch_normalization(x, m, v, 1)), (CUBE, A[0, :1].repeat(37), P[:37, 0].copy()),
         INVERSE_ROOT, INVERSE_ROOT),
    Case("layer_normalization", op("layer_normalization"), (A, P[0], ROW), INVERSE_ROOT,
         INVERSE_ROOT),
    Case("softmax", op("softmax"), (A,), SOFTMAX, SOFTMAX),
    Case("softmax, first axis", op("softmax", axis=0), (A,), SOFTMAX, SOFTMAX),
    Case("log_softmax, first axis", op("log_softmax", axis=0), (A,)),
    Case("log_softmax, middle axis", op("log_softmax", axis=1), (CUBE,)),
    Case("log_softmax of all", op("log_softmax", axis=None), (A,)),
    Case("sqrt", op("sqrt"), (P,)),
    Case("log", op("log"), (P,), EQUAL, RECIPROCAL),
    Case("log1p", op("log1p"), (P,), C_LIBRARY, RECIPROCAL),
    Case("clip", op("clip", -1.0, 2.0), (TIES,)),
    Case("where", lambda ops, a, b: ops.where(a > b, a, b), (A, B)),
    Case("where, broadcast", lambda ops, a, b: ops.where(ops.less(a, 0), a, b), (A, ROW)),
    *reductions("sum", A, CUBE),
    *reductions("mean", A, CUBE),
    *reductions("max", TIES, np.round(CUBE) + np.float32(0)),
    *reductions("min", TIES, np.round(CUBE) + np.float32(0)),
    *reductions("logsumexp", A, CUBE, RECIPROCAL)[:6],
    *(Case(f"argmax, axis {axis}", op("argmax", axis), (TIES,)) for axis in (None, 0, 1)),
    Case("take", op("take", np.array([3, 3, -1, 0, 3]), axis=0), (A,)),
    Case("take, last axis", op("take", np.array([[3, 3], [-1, 0]]), axis=1), (A,)),
    Case("take, flattened", op("take", np.array([3, 3, -1, 0, 3])), (A,)),
    Case("get_item, slices", lambda ops, x: x[3:20:2, None, ..., -3], (A,)),
    Case("get_item, a row", lambda ops, x: x[5], (A,)),
    Case("concatenate", lambda ops, a, b: ops.concatenate([a, b, a], axis=1), (A, B)),
    Case("stack", lambda ops, a, b: ops.stack([a, b, a], axis=-1), (A, B)),
    Case("squeeze", op("squeeze", 1), (COLUMN,)),
    Case("expand_dims", op("expand_dims", 1), (A,)),
    Case("reshape", op("reshape", (19, -1)), (A,)),
    Case("transpose", op("transpose", (2, 0, 1)), (CUBE,)),
    Case("broadcast_to", op("broadcast_to", (53, 19)), (COLUMN,)),
    Case("broadcast_to, two axes", op("broadcast_to", (4, 53, 19)), (COLUMN,), EQUAL, REDUCTION),
    Case("matmul", lambda ops, a, b: ops.matmul(a, ops.transpose(b)), (A, B), PRODUCT, PRODUCT),
    Case("matmul, a vector", op("matmul"), (A, ROW), PRODUCT, PRODUCT),
    Case("matmul, a vector left", op("matmul"), (COLUMN[:, 0].copy(), A), PRODUCT, PRODUCT),
    Case("matmul, stacks", lambda ops, a, b: ops.matmul(a, ops.transpose(b, (0, 2, 1))),
         (CUBE, CUBE[:, ::-1].copy()), PRODUCT, PRODUCT),
    Case("categorical_crossentropy, logits",
         lambda ops, z: ops.categorical_crossentropy(Q, z, from_logits=True), (A,)),
    Case("categorical_crossentropy, its labels",
         op("categorical_crossentropy", A, from_logits=True), (Q,)),
    Case("categorical_crossentropy, probabilities",
         lambda ops, p: ops.categorical_crossentropy(Q, p), (np.roll(Q, 1, 0),), EQUAL, RECIPROCAL),
    Case("sparse_categorical_crossentropy, logits",
         lambda ops, z: ops.sparse_categorical_crossentropy(LABELS, z, from_logits=True), (A,)),
    Case("sparse_categorical_crossentropy, probabilities",
         lambda ops, p: ops.sparse_categorical_crossentropy(LABELS, p), (Q,), EQUAL, RECIPROCAL),
    Case("binary_crossentropy, logits",
         lambda ops, z: ops.binary_crossentropy(Y, z, from_logits=True), (A,), C_LIBRARY,
         RECIPROCAL),
    Case("binary_crossentropy, a sigmoid",
         lambda ops, z: ops.binary_crossentropy(Y, ops.sigmoid(z)), (A,), C_LIBRARY, RECIPROCAL),
    Case("binary_crossentropy, probabilities",
         lambda ops, p: ops.binary_crossentropy(Y, p), (np.roll(Y, 1, 0),), EQUAL, RECIPROCAL),
    Case("binary_crossentropy, its labels", op("binary_crossentropy", A, from_logits=True), (Y,),
         C_LIBRARY),
    Case("cast", op("cast", "float64"), (A,)),
    Case("cast through integers", lambda ops, x: ops.cast(ops.cast(x, "int32"), "float32"), (A,)),
    Case("stop_gradient", lambda ops, x: x * ops.stop_gradient(x), (A,)),
]  # fmt: skip


@dataclass(frozen=True)
class Side:
    """A package with its variables and its tape."""

    ops: Any
    variable: Callable[..., Any]
    tape: Callable[..., Any]
    array: Callable[..., Any]


@pytest.fixture(scope="module")
def sides() -> tuple[Side, Side]:
    """Return minisgd and Keras on TensorFlow."""
    import keras
    import tensorflow as tf

    def dense(gradient: Any) -> Any:  # of `take`: rows and their numbers
        return tf.convert_to_tensor(gradient).numpy()

    ours = Side(minisgd.ops, minisgd.Variable, minisgd.GradientTape, np.asarray)
    return ours, Side(keras.ops, tf.Variable, tf.GradientTape, dense)


def value_and_gradients(side: Side, case: Case) -> tuple[Any, list[Any]]:
    """The op's value, and the gradients of its weighted sum; None where there is none."""
    variables = [side.variable(x) for x in case.inputs]
    with side.tape() as tape:
        value = case.call(side.ops, *[v[...] for v in variables])
        array = np.asarray(value)
        if array.dtype.kind != "f":
            return array, []
        weights = np.random.default_rng(9).normal(size=array.shape).astype(array.dtype)
        target = side.ops.sum(value * weights)
    gradients = tape.gradient(target, variables)
    return array, [None if g is None else side.array(g) for g in gradients]


def within(name: str, ours: Any, theirs: Any, tolerance: Tolerance | None) -> None:
    """Fail with the worst element unless a comparison keeps its class."""
    difference = compare(name, ours, theirs)
    if difference.equal:
        return
    assert tolerance is not None, str(difference)
    assert tolerance.holds(tolerance.measured(difference)), f"{difference}; expected {tolerance}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_and_gradients(case: Case, sides: tuple[Side, Side]) -> None:
    (ours, our_gradients), (theirs, their_gradients) = (
        value_and_gradients(side, case) for side in sides
    )
    within(case.name, ours, theirs, case.value)
    assert len(our_gradients) == len(their_gradients)
    for i, (mine, reference) in enumerate(zip(our_gradients, their_gradients, strict=True)):
        assert (mine is None) == (reference is None), f"gradient {i}: {mine}, {reference}"
        if reference is not None:
            within(f"{case.name}, gradient {i}", mine, reference, case.gradient)


def test_every_public_op_is_compared() -> None:
    others = {"convert_to_numpy", "convert_to_tensor", "dense"}  # dense is our own: see layers
    names = [case.name for case in CASES]
    assert {n for n in minisgd.ops.__all__ if not any(c.startswith(n) for c in names)} == others


@pytest.mark.parametrize("name", sorted(set(minisgd.ops.__all__) - {"dense", "convert_to_tensor"}))
def test_arguments_are_kerass(name: str) -> None:
    """The same parameters in the same order; Keras may have more behind them."""
    import inspect

    import keras

    ours = list(inspect.signature(getattr(minisgd.ops, name)).parameters)
    theirs = list(inspect.signature(getattr(keras.ops, name)).parameters)
    assert theirs[: len(ours)] == ours


WRONG = {
    "glu": lambda ops: ops.glu(A),
    "shapes": lambda ops: ops.add(A, B[:, :5]),
    "maximum": lambda ops: ops.maximum(A, B[:7]),
    "matmul": lambda ops: ops.matmul(A, B),
    "squeeze": lambda ops: ops.squeeze(A, 0),
    "reshape": lambda ops: ops.reshape(A, (7, -1)),
    "max of nothing": lambda ops: ops.max(np.ones((0, 2), np.float32)),
    "concatenate": lambda ops: ops.concatenate([A, B[:, :5]], axis=0),
    "take": lambda ops: ops.take(A, [99], axis=0),
    "axis": lambda ops: ops.sum(A, axis=5),
    "ranks": lambda ops: ops.binary_crossentropy(A[0], A),
    "labels": lambda ops: ops.categorical_crossentropy(LABELS, A),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_keras_refuses_we_refuse(name: str, sides: tuple[Side, Side]) -> None:
    for side in sides:
        with pytest.raises(Exception) as error:  # noqa: B017, PT011  # TensorFlow's own types
            WRONG[name](side.ops)
        if side.ops is minisgd.ops:
            assert isinstance(error.value, ValueError | IndexError)
