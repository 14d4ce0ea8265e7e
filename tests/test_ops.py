"""Ops and tensors: values, gradients against central differences, dtypes, conversions."""

import numpy as np
import pytest

import minisgd as keras
from minisgd import GradientTape, Variable, ops
from minisgd.tensor import Tensor

F32 = np.float32


def rng():
    return np.random.default_rng(7)


def rows_of_probabilities(n, classes):
    p = rng().uniform(0.1, 1, (n, classes))
    return p / p.sum(1, keepdims=True)


A = rng().uniform(0.5, 2, (3, 4))
B = np.random.default_rng(8).uniform(0.5, 2, (3, 4))
SIGNED = np.array([[-1.3, 0.4, 2.0, -0.2], [0.7, -0.9, 1.1, 0.3], [2.2, -1.7, -0.6, 0.8]])
LABELS = np.array([2, 0, 3])
P = rows_of_probabilities(3, 4)

# name: (function, inputs). Away from kinks; labels of cross-entropies sum to 1 (see below).
CASES = {
    "add": (ops.add, (A, B)),
    "add, broadcast": (ops.add, (A, B[:1])),
    "add, a scalar": (lambda a: a + 2.5, (A,)),
    "subtract": (ops.subtract, (A, B[:, :1])),
    "subtract from a number": (lambda a: 1.0 - a, (A,)),
    "multiply": (ops.multiply, (A, B)),
    "multiply, broadcast": (ops.multiply, (A, B[0])),
    "divide": (ops.divide, (A, B)),
    "divide, broadcast": (ops.divide, (A[0], B)),
    "divide a number": (lambda a: 2.0 / a, (A,)),
    "negative": (ops.negative, (A,)),
    "square": (ops.square, (SIGNED,)),
    "exp": (ops.exp, (SIGNED,)),
    "log": (ops.log, (A,)),
    "clip": (lambda x: ops.clip(x, -0.5, 1.0), (SIGNED,)),
    "relu": (ops.relu, (SIGNED,)),
    "where": (lambda a, b: ops.where(SIGNED > 0, a, b), (A, B)),
    "where, broadcast": (lambda a, b: ops.where(SIGNED > 0, a, b), (A[:1], B[:, :1])),
    "reshape": (lambda x: ops.reshape(x, (2, -1)), (A,)),
    "expand_dims": (lambda x: ops.expand_dims(x, 1), (A,)),
    "transpose": (ops.transpose, (A,)),
    "transpose, three axes": (lambda x: ops.transpose(x, (2, 0, 1)), (A.reshape(3, 2, 2),)),
    "broadcast_to": (lambda x: ops.broadcast_to(x, (2, 3, 4)), (A,)),
    "sum": (ops.sum, (A,)),
    "sum, first axis": (lambda x: ops.sum(x, 0), (A,)),
    "sum, last axis": (lambda x: ops.sum(x, -1), (A,)),
    "sum, keepdims": (lambda x: ops.sum(x, 1, keepdims=True), (A,)),
    "sum, two of three axes": (lambda x: ops.sum(x, (0, 2)), (A.reshape(3, 2, 2),)),
    "mean": (ops.mean, (A,)),
    "mean, first axis": (lambda x: ops.mean(x, 0), (A,)),
    "matmul": (ops.matmul, (A, B.T.copy())),
    "dense": (ops.dense, (A, B.T.copy(), B[0, :3].copy())),
    "softmax": (ops.softmax, (SIGNED,)),
    "softmax, three axes": (ops.softmax, (SIGNED.reshape(3, 2, 2),)),
    "cross-entropy of logits": (
        lambda z: ops.categorical_crossentropy(P, z, from_logits=True),
        (SIGNED,),
    ),
    "cross-entropy of a softmax": (
        lambda z: ops.categorical_crossentropy(P, ops.softmax(z)),
        (SIGNED,),
    ),
    "cross-entropy of probabilities": (
        lambda p: ops.categorical_crossentropy(P, p),
        (rows_of_probabilities(3, 4)[::-1].copy(),),
    ),
    "cross-entropy, labels": (
        lambda y: ops.categorical_crossentropy(y, ops.convert_to_tensor(SIGNED), from_logits=True),
        (P,),
    ),
    "sparse cross-entropy of logits": (
        lambda z: ops.sparse_categorical_crossentropy(LABELS, z, from_logits=True),
        (SIGNED,),
    ),
    "sparse cross-entropy of probabilities": (
        lambda p: ops.sparse_categorical_crossentropy(LABELS, p),
        (P,),
    ),
    "mean squared error": (lambda p: keras.losses.mean_squared_error(B, p), (A,)),
}


def weighted(function, arrays, weights=None):
    """A scalar that weighs every element of the result differently."""
    out = function(*arrays)
    if weights is None:
        weights = np.random.default_rng(3).uniform(-1, 1, out.shape)
    return ops.sum(out * weights)


def central_differences(function, arrays, position, h=1e-6):
    """Numeric gradient of `function` (arrays to a number) in one argument."""
    result = np.zeros_like(arrays[position])
    for index in np.ndindex(result.shape):
        values = []
        for sign in (1, -1):
            moved = [a.copy() for a in arrays]
            moved[position][index] += sign * h
            values.append(float(function(moved)))
        result[index] = (values[0] - values[1]) / (2 * h)
    return result


@pytest.mark.parametrize("name", CASES)
def test_gradient(name):
    function, inputs = CASES[name]
    arrays = [np.ascontiguousarray(x, np.float64) for x in inputs]
    variables = [Variable(x) for x in arrays]
    with GradientTape() as tape:
        y = weighted(function, variables)
    gradients = tape.gradient(y, variables)
    for i, g in enumerate(gradients):
        if name == "cross-entropy, labels":  # their derivative is -log p
            p = np.exp(SIGNED) / np.exp(SIGNED).sum(1, keepdims=True)
            weights = np.random.default_rng(3).uniform(-1, 1, 3)
            np.testing.assert_allclose(g.numpy(), -np.log(p) * weights[:, None], rtol=1e-10)
            continue
        numeric = central_differences(lambda a: weighted(function, a), arrays, i)
        np.testing.assert_allclose(g.numpy(), numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith("cross-entropy, labels")])
def test_second_derivative(name):
    """The gradient of (gradient . direction), which uses every rule's own rule."""
    function, inputs = CASES[name]
    arrays = [np.ascontiguousarray(x, np.float64) for x in inputs]
    direction = np.random.default_rng(5).uniform(-1, 1, arrays[0].shape)

    def slope(values):
        first, *others = [Variable(x) for x in values]
        with GradientTape() as tape:
            y = weighted(function, [first, *others])
        return first, others, tape.gradient(y, first)

    first, *others = [Variable(x) for x in arrays]
    with GradientTape() as outer:
        with GradientTape() as inner:
            y = weighted(function, [first, *others])
        along = ops.sum(inner.gradient(y, first) * direction)
    received = outer.gradient(along, first)
    numeric = central_differences(
        lambda a: np.sum(slope(a)[2].numpy() * direction), arrays, 0, h=1e-5
    )
    values = np.zeros_like(numeric) if received is None else received.numpy()
    np.testing.assert_allclose(values, numeric, rtol=1e-5, atol=1e-7)


def test_gradients_at_kinks():
    x = Variable(np.array([-1.0, 0.0, 1.0, 2.0], F32))
    with GradientTape(persistent=True) as tape:
        r, c = ops.relu(x), ops.clip(x, 0.0, 1.0)
    assert tape.gradient(r, x).numpy().tolist() == [0, 0, 1, 1]
    assert tape.gradient(c, x).numpy().tolist() == [0, 1, 1, 0]  # it passes at the bounds


# --- values ---
def test_arithmetic_is_numpys_in_float32():
    a, b = (np.random.default_rng(s).uniform(0.1, 9, (5, 7)).astype(F32) for s in (1, 2))
    for function, expected in (
        (ops.add, a + b),
        (ops.subtract, a - b),
        (ops.multiply, a * b),
        (ops.divide, a / b),
    ):
        np.testing.assert_array_equal(function(a, b).numpy(), expected)


@pytest.mark.parametrize("axis", [None, 0, 1, -1, 2, (0, 1), (0, 2), (1, 2), (2, 0, 1), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_sum_and_mean_over_axes(axis, keepdims):
    x = rng().standard_normal((2, 3, 4))
    received = ops.sum(x, axis, keepdims)
    expected = x.sum(axis, keepdims=keepdims)
    assert received.shape == expected.shape
    np.testing.assert_allclose(received.numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(
        ops.mean(x, axis, keepdims).numpy(), x.mean(axis, keepdims=keepdims), rtol=1e-12
    )


def test_sum_refuses_an_axis_that_is_not_there():
    with pytest.raises(ValueError, match="from -2 to 1, received 2"):
        ops.sum(A, 2)


def test_division_by_zero_is_infinite():
    x = np.array([1, -1, 0], F32)
    out = ops.divide(x, 0.0).numpy()
    assert out[:2].tolist() == [np.inf, -np.inf]
    assert np.isnan(out[2])


def test_where_takes_no_nan_from_the_other_side():
    x = Variable(np.array([0.0, 4.0], F32))
    with GradientTape() as tape:
        y = ops.where(np.array([False, True]), ops.log(x), 0.0)
    assert y.numpy().tolist() == [0, pytest.approx(np.log(4))]
    assert tape.gradient(y, x).numpy()[1] == 0.25


# --- softmax and cross-entropies ---
def test_softmax_remembers_its_logits():
    z = ops.convert_to_tensor(SIGNED)
    p = ops.softmax(z)
    assert p.logits is z
    assert (p * 1.0).logits is None


def test_the_loss_behind_a_softmax_comes_from_the_logits():
    z = ops.convert_to_tensor(np.array([[200, 0]], F32))
    y = np.array([[0, 1]], F32)
    assert float(ops.categorical_crossentropy(y, ops.softmax(z))) == 200
    assert float(ops.sparse_categorical_crossentropy(np.array([1]), ops.softmax(z))) == 200
    # From bare probabilities the best that is left is -log(1e-7).
    bare = ops.softmax(z).numpy()
    clipped = pytest.approx(16.118096, rel=1e-6)
    assert float(ops.categorical_crossentropy(y, bare)) == clipped
    assert float(ops.sparse_categorical_crossentropy(np.array([1]), bare)) == clipped


def test_probabilities_are_normalised_first():
    y, p = np.array([[0, 1]], F32), np.array([[1, 3]], F32)
    received = float(ops.categorical_crossentropy(y, p))
    assert received == pytest.approx(-np.log(0.75), rel=1e-6)


def test_the_two_cross_entropies_agree():
    z = ops.convert_to_tensor(SIGNED.astype(F32))
    one_hot = np.eye(4, dtype=F32)[LABELS]
    for labels in (LABELS, LABELS[:, None], LABELS.astype(np.uint8), LABELS.astype(F32)):
        np.testing.assert_allclose(
            ops.sparse_categorical_crossentropy(labels, z, from_logits=True).numpy(),
            ops.categorical_crossentropy(one_hot, z, from_logits=True).numpy(),
            rtol=1e-6,
        )


@pytest.mark.parametrize("wrong", [4, -1, 1.5, np.nan])
def test_labels_that_are_no_class(wrong):
    labels = np.array([0, 1, wrong])
    with pytest.raises(ValueError, match=r"whole numbers from 0 to 3 .* at index 2"):
        ops.sparse_categorical_crossentropy(labels, SIGNED, from_logits=True)


@pytest.mark.parametrize(
    ("function", "target", "message"),
    [
        (ops.categorical_crossentropy, LABELS, "same rank"),
        (ops.categorical_crossentropy, P[:, :3], "same shape"),
        (ops.categorical_crossentropy, P[:2], "same shape"),
        (ops.sparse_categorical_crossentropy, P, "one-hot labels want categorical_crossentropy"),
        (ops.sparse_categorical_crossentropy, LABELS[:2], "same shape up until the last"),
    ],
)
def test_labels_of_the_wrong_shape(function, target, message):
    with pytest.raises(ValueError, match=message):
        function(target, SIGNED)


# --- shapes that don't fit ---
@pytest.mark.parametrize(
    "shapes", [((3, 4), (3, 4)), ((4,), (3, 2)), ((2, 3, 4), (3, 2)), ((), (2, 2))]
)
def test_matmul_of_shapes_that_do_not_fit(shapes):
    with pytest.raises(ValueError, match=r"expected shapes \(M, K\) and \(K, N\)"):
        ops.matmul(*(np.ones(s, F32) for s in shapes))


def test_dense_of_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"received \(2, 3\), \(4, 5\)"):
        ops.dense(np.ones((2, 3), F32), np.ones((4, 5), F32), np.ones(5, F32))
    with pytest.raises(ValueError, match=r"bias of shape \(5,\), received \(1,\)"):
        ops.dense(np.ones((2, 4), F32), np.ones((4, 5), F32), np.ones(1, F32))


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
def test_shapes_that_do_not_broadcast(name):
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        getattr(ops, name)(np.ones(2, F32), np.ones(3, F32))
    # A kernel that stops half-way must not leave the processor flushing denormals.
    assert F32(1e-40) * F32(1) > 0


# --- integers ---
@pytest.mark.parametrize("name", ["exp", "log", "softmax"])
def test_functions_of_integers_are_floats(name):
    received = getattr(ops, name)(np.array([[1, 2, 3]]))
    assert received.dtype == "float32"
    expected = getattr(ops, name)(np.array([[1, 2, 3]], F32))
    np.testing.assert_array_equal(received.numpy(), expected.numpy())


def test_integer_arithmetic():
    x = ops.convert_to_tensor(np.array([1, 2, 3]))
    assert (x + 1).numpy().tolist() == [2, 3, 4]
    assert (x + 1).dtype.kind == "i"
    assert (x * 0.5).numpy().tolist() == [0.5, 1, 1.5]
    assert ops.sum(x).numpy().tolist() == 6
    assert float(ops.mean(x)) == 2


def test_sum_of_booleans_and_bytes_counts():
    assert int(ops.sum(np.ones(300, bool))) == 300
    assert int(ops.sum(np.full(300, 255, np.uint8))) == 76500


# --- dtypes ---
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (1.5, "float32"),
        ([1.5, 2], "float32"),
        (np.float64(1.5), "float64"),
        (np.ones(2), "float64"),
        (np.ones(2, F32), "float32"),
        (np.ones(2, np.uint8), "uint8"),
        (True, "bool"),
        (np.ones(2, ">f4"), "float32"),
    ],
)
def test_dtype_of_a_converted_value(value, dtype):
    received = ops.convert_to_tensor(value)
    assert received.dtype == dtype
    assert received.dtype.isnative


@pytest.mark.parametrize("other", [2, 2.5, np.float32(2.5), np.ones(3, F32), [1.0, 2.0, 3.0]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_python_numbers_take_the_tensors_dtype(dtype, other):
    x = ops.convert_to_tensor(np.ones(3, dtype))
    for received in (x + other, other + x, x * other, x - other, other - x, x / other, other / x):
        assert isinstance(received, Tensor)
        assert received.dtype == dtype


def test_float32_and_float64_give_float64():
    x = ops.convert_to_tensor(np.ones(3, F32))
    assert (x + np.ones(3)).dtype == "float64"
    assert (np.ones(3) - x).dtype == "float64"


def test_float32_and_integers_give_float32():
    x = ops.convert_to_tensor(np.ones(3, F32))
    assert (x * np.array([1, 2, 3])).dtype == "float32"
    assert (np.array([1, 2, 3], np.uint8) + x).dtype == "float32"


@pytest.mark.parametrize("bad", ["text", ["a"], [None], np.array("2020-01-01", "M8[D]"), [1j], {}])
def test_what_is_no_number(bad):
    with pytest.raises(ValueError, match="Invalid dtype"):
        ops.convert_to_tensor(bad)


# --- operators ---
def test_operators_with_arrays_and_numbers_on_both_sides():
    array = np.array([[1, 2], [3, 5]], F32)
    x = ops.convert_to_tensor(array)
    for received, expected in (
        (x + array, array + array),
        (array - x * 3, array - array * 3),
        (2 / x, 2 / array),
        (x / 2, array / 2),
        (1 - x, 1 - array),
        (F32(3) * x, 3 * array),
        (-x, -array),
        (x @ array, array @ array),
        (array @ x, array @ array),
        (array[0] + x, array[0] + array),
        (x + x, 2 * array),
    ):
        assert isinstance(received, Tensor)
        np.testing.assert_array_equal(received.numpy(), expected)


def test_the_smallest_things_are_true_to_zero_d():
    x = ops.convert_to_tensor(3.0)
    for received in (x + 1, x * x, ops.relu(x), ops.exp(x), ops.sum(x), ops.transpose(x), -x):
        assert received.shape == ()
        assert isinstance(received.numpy(), np.ndarray)


# --- Tensor ---
def test_numpy_is_read_only():
    for x in (ops.convert_to_tensor([1.0]), Variable([1.0])):
        with pytest.raises(ValueError, match="read-only"):
            x.numpy()[0] = 5
        with pytest.raises(ValueError, match="read-only"):
            np.asarray(x)[0] = 5
        np.array(x)[0] = 5  # a copy is the caller's
        assert float(x) == 1


def test_converting_copies_the_callers_array():
    array = np.ones(3, F32)
    x, v = ops.convert_to_tensor(array), Variable(array)
    array[:] = 7
    assert x.numpy().tolist() == v.numpy().tolist() == [1, 1, 1]


def test_scalars():
    x = ops.convert_to_tensor(np.array([[2.5]], F32))
    assert float(x) == 2.5
    assert int(x) == 2
    assert bool(x) is True
    assert not bool(ops.convert_to_tensor(0.0))
    with pytest.raises(TypeError, match="one element"):
        float(ops.convert_to_tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="one element"):
        bool(ops.convert_to_tensor([1.0, 2.0]))


def test_len():
    assert len(ops.convert_to_tensor(np.zeros((3, 2)))) == 3
    with pytest.raises(TypeError, match="at least one axis"):
        len(ops.convert_to_tensor(1.0))


def test_array_protocol():
    x = ops.convert_to_tensor(np.array([1, 2], F32))
    assert np.asarray(x).dtype == F32
    assert np.asarray(x, np.float64).tolist() == [1, 2]
    assert np.array(x, copy=True).flags.writeable
    with pytest.raises(ValueError, match="without a copy"):
        np.array(x, np.float64, copy=False)
    assert np.concatenate([x, x]).tolist() == [1, 2, 1, 2]
    assert ops.convert_to_numpy(x).flags.writeable


def test_metadata_and_repr():
    x = ops.convert_to_tensor(np.zeros((2, 3), F32))
    assert (x.shape, x.ndim, x.size, x.dtype == "float32") == ((2, 3), 2, 6, True)
    assert "shape=(2, 3)" in repr(x)
    assert "float32" in repr(x)


# --- Variable ---
def test_assign_changes_the_variable_in_place():
    v = Variable(np.zeros(2, F32), name="v")
    before = v.value
    seen = v.numpy()
    assert v.assign([1.5, 2.5]) is v
    assert v.numpy().tolist() == [1.5, 2.5]
    assert before.numpy().tolist() == seen.tolist() == [0, 0]
    assert v.dtype == "float32"


def test_assign_refuses_another_shape():
    v = Variable(np.zeros(2, F32), name="v")
    for wrong in (np.zeros(3), 1.0, np.zeros((1, 2))):
        with pytest.raises(ValueError, match=r"must match: expected \(2,\) for 'v'"):
            v.assign(wrong)
    assert v.version == 0


@pytest.mark.parametrize(
    "function",
    [
        lambda v: ops.reshape(v, (2, 2)),
        lambda v: ops.expand_dims(v, 0),
        ops.transpose,
        lambda v: ops.cast(v, "float32"),
        lambda v: ops.broadcast_to(v, (4,)),
        lambda v: ops.sum(v, ()),
    ],
)
def test_a_result_does_not_change_with_the_variable(function):
    v = Variable(np.ones(4, F32))
    with GradientTape():
        out = function(v)
    v.assign(np.zeros(4))
    assert out.numpy().ravel().tolist() == [1, 1, 1, 1]


def test_a_primitive_needs_a_rule_for_each_input():
    from minisgd.primitive import defop

    with pytest.raises(TypeError, match="expected 2 VJP rules, one an input, received 1"):
        defop("half_done", lambda a, b: a, None)
