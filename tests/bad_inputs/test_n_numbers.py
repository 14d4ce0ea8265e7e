"""Rows N: numbers at the edge of float32, in operations and in whole steps."""

import numpy as np
import pytest

import minisgd as keras
from minisgd import layers, losses, metrics, ops

F32 = np.float32
NAN, INF = float("nan"), float("inf")


def value(tensor):
    return np.asarray(tensor)


@pytest.mark.parametrize(
    ("size", "expected"),
    [pytest.param(1e4, 20000.0, id="N-01"), pytest.param(1e38, 2e38, id="N-02")],
)
def test_cross_entropy_of_large_logits(size, expected):
    logits = np.array([[size, -size]], F32)
    loss = losses.CategoricalCrossentropy(from_logits=True)(np.array([[0.0, 1.0]], F32), logits)
    assert float(loss) == F32(expected) or float(loss) == pytest.approx(expected, rel=1e-6)
    sparse = losses.SparseCategoricalCrossentropy(from_logits=True)(np.array([1]), logits)
    assert float(sparse) == float(loss)


def test_n_04_softmax_of_large_logits():
    row = np.zeros((1, 10), F32)
    row[0, 0] = 1000
    np.testing.assert_array_equal(value(ops.softmax(row)), np.eye(10, dtype=F32)[:1])


def test_n_05_softmax_of_minus_infinity():
    assert np.isnan(value(ops.softmax(np.full((1, 2), -INF, F32)))).all()


@pytest.mark.parametrize("classes", [2, 10, 40])
@pytest.mark.parametrize("place", [0, -1])
def test_n_06_softmax_of_a_row_with_a_nan(classes, place):
    z = np.random.default_rng(0).random((5, classes), dtype=F32)
    clean = value(ops.softmax(z)).copy()
    z[2, place] = NAN
    p = value(ops.softmax(z))
    assert np.isnan(p[2]).all()
    others = [0, 1, 3, 4]
    assert p[others].tobytes() == clean[others].tobytes()
    assert np.isnan(value(ops.log_softmax(z))[2]).all()


@pytest.mark.parametrize("size", [1, 7, 8, 17])
@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "elu", "softplus", "exp"])
def test_n_07_activations_of_nan(name, size):
    x = np.zeros(size, F32)
    x[-1] = NAN
    y = value(getattr(ops, name)(x))
    assert np.isnan(y[-1])
    assert np.isfinite(y[:-1]).all()


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "elu", "softplus", "softmax"])
def test_n_07_in_a_whole_prediction(both, activation):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [layers.Input((20,)), layers.Dense(16, activation), layers.Dense(3, activation)]
    )
    model.compile("sgd", "mse", run_eagerly=both.mode == "eager", jit_compile=both.mode != "eager")
    x = both.x.copy()
    x[4, 3] = NAN
    with pytest.warns(UserWarning, match=r"`x`\[4, 3\]"):
        p = model.predict(x, verbose=0)
    assert np.isnan(p[4]).all()
    assert np.isfinite(np.delete(p, 4, 0)).all()


def test_n_08_relu_at_zero():
    x = keras.Variable(np.array([0.0, -0.0, 2.0], F32))
    with keras.GradientTape() as tape:
        y = ops.relu(x)
    assert value(y).tolist() == [0, 0, 2]
    assert value(tape.gradient(y, x)).tolist() == [0, 0, 1]


def test_n_09_sigmoid_of_large_numbers():
    with np.errstate(all="raise"):
        for n in (1, 8, 9):
            assert (value(ops.sigmoid(np.full(n, 1e4, F32))) == 1).all()
            assert (value(ops.sigmoid(np.full(n, -1e4, F32))) == 0).all()


def test_n_13_ties_in_accuracy(both):
    p = np.array([[0.5, 0.5, 0.0], [0.2, 0.4, 0.4]], F32)
    metric = metrics.CategoricalAccuracy()
    metric.update_state(np.eye(3, dtype=F32)[[0, 1]], p)
    assert float(metric.result()) == 1
    model = both.model()
    for w in model.weights:
        w.assign(np.zeros(w.shape, F32))  # all classes tie
    assert model.evaluate(both.x, both.y, verbose=0)[1] == F32((both.labels == 0).mean())


def test_n_14_accuracy_of_nan(both):
    """A prediction that is no number is right for no class."""
    for name, y in (
        ("CategoricalAccuracy", np.eye(3, dtype=F32)[[0, 0]]),
        ("SparseCategoricalAccuracy", np.array([0, 0])),
        ("BinaryAccuracy", np.zeros((2, 3), F32)),
    ):
        metric = getattr(metrics, name)()
        metric.update_state(y, np.full((2, 3), NAN, F32))
        assert float(metric.result()) == 0, name
    model = both.model()
    x = np.full_like(both.x, NAN)
    with pytest.warns(UserWarning, match="`x`"):
        loss, accuracy = model.evaluate(x, np.eye(4, dtype=F32)[[0] * 96], verbose=0)
    assert np.isnan(loss)
    assert accuracy == 0


def test_n_17_subnormal_weights(both):
    """They are flushed to zero (ADR 10), in every kind of step."""
    model = keras.Sequential([layers.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=both.mode == "eager", jit_compile=both.mode != "eager")
    model.set_weights([np.full((4, 1), 1e-42, F32), np.zeros(1, F32)])
    assert model.predict(np.ones((2, 4), F32), verbose=0).tolist() == [[0], [0]]


def test_n_20_the_callers_error_state(both):
    clean = both.fit()
    with np.errstate(all="raise"):
        checked = both.fit()
        assert np.geterr()["invalid"] == "raise"
    assert clean[1] == checked[1]
    assert all(map(np.array_equal, clean[0], checked[0]))
