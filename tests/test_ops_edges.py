"""Ops at ties, ends and kinks; dtypes, operators, what has no gradient, wrong input."""

import math

import numpy as np
import pytest

from minisgd import GradientTape, Variable, ops
from minisgd.tensor import Tensor

pytestmark = pytest.mark.ops

A = np.array([[-1.3, 0.4, 2.0, -0.2], [0.7, -0.9, 1.1, 0.3], [2.2, -1.7, -0.6, 0.8]])
B = np.array([[0.9, 1.45, -0.5, 1.2], [-1.7, 0.6, 0.1, 2.3], [1.2, -0.4, 0.5, -1.8]])
Q = np.exp(B) / np.exp(B).sum(1, keepdims=True)  # rows of probabilities
UNARY = ("negative square sqrt exp log log1p absolute sign relu leaky_relu elu sigmoid tanh "
         "softplus softmax log_softmax").split()  # fmt: skip


# --- ties and edges, as TensorFlow has them ---
def slope(function, *inputs):
    variables = [Variable(np.array(x, np.float64)) for x in inputs]
    with GradientTape() as tape:
        y = function(*variables)
    gradients = tape.gradient(y, variables)
    return [g.numpy().tolist() for g in gradients]


def test_extremes_share_the_gradient_among_ties():
    x = [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]
    third = 1 / 3
    assert slope(lambda x: ops.max(x, 1), x) == [[[0, 0.5, 0.5], [third, third, third]]]
    assert slope(ops.max, x) == [[[0, 0.5, 0.5], [0, 0, 0]]]
    assert slope(ops.min, x) == [[[1, 0, 0], [0, 0, 0]]]


def test_at_a_tie_the_first_takes_all():
    assert slope(ops.maximum, [1.0, 2.0, 5.0], [1.0, 3.0, 4.0]) == [[1, 0, 1], [0, 1, 0]]
    assert slope(ops.minimum, [1.0, 2.0, 5.0], [1.0, 3.0, 4.0]) == [[1, 1, 0], [0, 0, 1]]


def test_slopes_at_kinks():
    assert slope(lambda x: ops.clip(x, -1, 1), [-1.0, 1.0, 2.0]) == [[1, 1, 0]]
    assert slope(ops.absolute, [0.0, -2.0]) == [[0, -1]]
    assert slope(ops.sign, [0.0, -2.0]) == [[0, 0]]
    assert slope(ops.relu, [0.0]) == [[0]]
    assert slope(ops.leaky_relu, [0.0]) == [[0.2]]
    assert slope(ops.elu, [0.0]) == [[1]]
    assert slope(ops.sqrt, [0.0]) == [[math.inf]]


def test_power_of_zero_has_a_finite_gradient_for_its_exponent():
    assert slope(ops.power, [0.0, -2.0], [2.0, 2.0]) == [[0, -4], [0, 0]]


def test_nan_is_never_swallowed():
    x = np.array([np.nan, 1.0])
    for name in UNARY:
        assert np.isnan(getattr(ops, name)(x).numpy()[0]), name
    for function in (ops.maximum, ops.minimum):
        assert np.isnan(function(x, 0.5).numpy()).tolist() == [True, False]
        assert np.isnan(function(0.5, x).numpy()).tolist() == [True, False]
    for function in (ops.max, ops.min, ops.logsumexp):
        assert np.isnan(function(x).numpy())
    assert ops.argmax(x).numpy() == 0


def test_infinities_at_the_ends():
    x = np.array([-np.inf, np.inf])
    for name, expected in {"sigmoid": [0, 1], "tanh": [-1, 1], "elu": [-1, np.inf],
                           "softplus": [0, np.inf], "exp": [0, np.inf]}.items():  # fmt: skip
        assert getattr(ops, name)(x).numpy().tolist() == expected, name
        single = getattr(ops, name)(np.array([-np.inf, np.inf] * 8, np.float32)).numpy()
        assert single.tolist() == expected * 8, name
    assert ops.logsumexp(np.array([-np.inf, -np.inf])).numpy() == -np.inf
    assert ops.logsumexp(np.array([1e300, 1e300])).numpy() == 1e300


def test_argmax_takes_the_first_of_equals():
    found = ops.argmax([[1, 3, 3], [2, 2, 0]], axis=1)
    assert found.numpy().tolist() == [1, 0]
    assert found.dtype == np.int32


def test_duplicates_are_added_in_order():
    """Float32 addition is not associative: 1 + 1e8 - 1e8 is 0, and 1e8 - 1e8 + 1 is 1."""
    w = Variable(np.zeros(2, np.float32))
    with GradientTape() as tape:
        y = ops.sum(ops.take(w, [0, 0, 0, 1]) * np.array([1, 1e8, -1e8, 2], np.float32))
    assert tape.gradient(y, w).numpy().tolist() == [0, 2]


# --- what has no gradient ---
def test_no_gradient_through_whole_numbers():
    w = Variable([1.5, 2.5])
    with GradientTape(persistent=True) as tape:
        cast = ops.cast(ops.cast(w, "int32"), "float32") * 2.0
        chosen = ops.cast(w > 2.0, "float32")
        stopped = ops.stop_gradient(w) * w
        place = ops.argmax(w)
    assert tape.gradient(cast, w) is None
    assert tape.gradient(chosen, w) is None
    assert tape.gradient(place, w) is None
    assert tape.gradient(stopped, w).numpy().tolist() == [1.5, 2.5]


def test_stop_gradient_does_not_change_with_the_variable():
    w = Variable([1.0])
    kept = ops.stop_gradient(w)
    w.assign([2.0])
    assert kept.numpy().tolist() == [1.0]


def test_an_index_is_copied():
    w, index = Variable([1.0, 2.0]), np.array([1, 1])
    with GradientTape() as tape:
        y = ops.sum(w[index])
    index[:] = 0
    assert tape.gradient(y, w).numpy().tolist() == [0, 2]


# --- dtypes ---
F32, F64, I32, BOOL = (np.ones(2, d) for d in (np.float32, np.float64, np.int32, np.bool_))
DTYPES = [
    ("comparison", lambda: ops.less(I32, F32), "bool"),
    ("power of integers", lambda: ops.convert_to_tensor(I32) ** 2, "int32"),
    ("power of mixed", lambda: ops.power(I32, F32), "float32"),
    ("maximum of mixed", lambda: ops.maximum(I32, F64), "float64"),
    ("maximum with a number", lambda: ops.convert_to_tensor(F32) ** 2, "float32"),
    ("max of integers", lambda: ops.max(I32), "int32"),
    ("mean of integers", lambda: ops.mean(I32), "float32"),
    ("absolute of integers", lambda: ops.absolute(I32), "int32"),
    ("sign of integers", lambda: ops.sign(I32), "int32"),
    ("sqrt of integers", lambda: ops.sqrt(I32), "float32"),
    ("tanh of booleans", lambda: ops.tanh(BOOL), "float32"),
    ("sigmoid in float64", lambda: ops.sigmoid(F64), "float64"),
    ("concatenate mixed", lambda: ops.concatenate([I32, F32]), "float32"),
    ("stack mixed", lambda: ops.stack([F32, F64]), "float64"),
    ("take of integers", lambda: ops.take(I32, [0]), "int32"),
    ("cast to booleans", lambda: ops.cast(F32, "bool"), "bool"),
    ("logsumexp of integers", lambda: ops.logsumexp(I32), "float32"),
    ("leaky_relu of integers", lambda: ops.leaky_relu(I32), "float32"),
]


@pytest.mark.parametrize("case", DTYPES, ids=lambda case: case[0])
def test_dtypes(case):
    _, make, dtype = case
    assert make().dtype == dtype


# --- operators ---
def test_operators():
    a, b = ops.convert_to_tensor(A), ops.convert_to_tensor(B)
    pairs = [
        (a**2, A**2), (2.0**a, 2.0**A), (abs(a), abs(A)), (a < b, A < B), (a <= 0.4, A <= 0.4),
        (a > B, A > B), (0.4 >= a, A <= 0.4), (a == a, A == A), (a != b, A != B),
        (a == 0.4, A == 0.4), (a[1:, ::2], A[1:, ::2]),
    ]  # fmt: skip
    for ours, expected in pairs:
        np.testing.assert_array_equal(ours.numpy(), expected)


def test_tensors_are_hashed_by_identity():
    a, b = Tensor(np.ones(3)), Tensor(np.ones(3))
    assert len({a, b, a}) == 2
    assert {a: 1, b: 2}[b] == 2
    assert (a == None) is False  # noqa: E711
    assert (a == "mse") is False
    assert a != "mse"


def test_a_tensor_is_iterable():
    assert [float(x) for x in ops.convert_to_tensor([1.0, 2.0])] == [1, 2]


# --- wrong input ---
WRONG = [
    ("shapes that do not broadcast", lambda: ops.maximum(A, B[:, :3]), ValueError, "broadcast"),
    ("comparison", lambda: ops.less(A, B[:2]), ValueError, "broadcast"),
    ("squeeze", lambda: ops.squeeze(A, 0), ValueError, "Cannot squeeze axis=0"),
    ("squeeze, no such axis", lambda: ops.squeeze(A, 2), ValueError, "from -2 to 1, received 2"),
    ("max of nothing", lambda: ops.max(np.ones((0, 2))), ValueError, "the max of an empty tensor"),
    ("min of nothing", lambda: ops.min(np.ones((0, 2))), ValueError, "the min of an empty tensor"),
    ("argmax of nothing", lambda: ops.argmax(np.ones((0, 2)), 0), ValueError, "at least one"),
    ("argmax, no such axis", lambda: ops.argmax(A, 2), ValueError, "received 2"),
    ("max, no such axis", lambda: ops.max(A, 2), ValueError, "received 2"),
    ("take out of range", lambda: ops.take(A, [0, 3], 0), IndexError, r"-3 to 2.*\[0, 3\]"),
    ("take with floats", lambda: ops.take(A, [0.5], 0), IndexError, "whole numbers"),
    ("take, many", lambda: ops.take(A, np.full(30, 99)), IndexError, r"int64, \(30,\)"),
    ("get_item out of range", lambda: ops.get_item(A, 3), IndexError, "out of bounds"),
    ("concatenate nothing", lambda: ops.concatenate([]), ValueError, "at least one tensor"),
    ("concatenate", lambda: ops.concatenate([A, B[:, :2]]), ValueError, "axis 0 at most"),
    ("concatenate, ranks", lambda: ops.concatenate([A, B[0]]), ValueError, "axis 0 at most"),
    ("concatenate, no axis", lambda: ops.concatenate([A], 2), ValueError, "received 2"),
    ("stack", lambda: ops.stack([A, B[:2]]), ValueError, "differ in axis 0 at most"),
    ("matmul", lambda: ops.matmul(A, B), ValueError, r"\(M, K\) and \(K, N\)"),
    ("matmul of numbers", lambda: ops.matmul(2.0, A), ValueError, r"\(M, K\) and \(K, N\)"),
    ("matmul of stacks", lambda: ops.matmul(np.ones((2, 3, 4)), np.ones((3, 4, 2))), ValueError,
     "leading axes do not broadcast"),
    ("matmul of no matrices", lambda: ops.matmul(np.ones((0, 3, 4)), np.ones((4, 2))), ValueError,
     "at least one matrix"),
    ("softmax of a number", lambda: ops.softmax(1.0), ValueError, "at least one axis"),
    ("softmax, no such axis", lambda: ops.softmax(A, 2), ValueError, "received 2"),
    ("log_softmax, no such axis", lambda: ops.log_softmax(A, -3), ValueError, "received -3"),
    ("binary, ranks", lambda: ops.binary_crossentropy(Q[0], Q), ValueError, r"same rank \(ndim\)"),
    ("binary, shapes", lambda: ops.binary_crossentropy(Q[:2], Q), ValueError, "the same shape"),
    ("cross-entropy, axis", lambda: ops.categorical_crossentropy(Q, Q, axis=0), ValueError,
     "the last axis"),
    ("no number", lambda: ops.tanh("x"), ValueError, "Invalid dtype"),
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong[0])
def test_wrong_input(wrong):
    _, call, error, text = wrong
    with pytest.raises(error, match=text):
        call()
