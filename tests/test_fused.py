"""Activations behind a dense layer: in a graph they are oneDNN's, everywhere else Eigen's."""

import numba
import numpy as np
import pytest

import minisgd as keras
import minisgd_kernels as kernels
from minisgd import GradientTape, numerics, ops
from minisgd.layers import Activation, Dense, Dropout, Flatten
from minisgd_kernels._onednn import onednn_exp

pytestmark = pytest.mark.ops

F32 = np.float32
EXACT = {
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
}
# Bits of TensorFlow's fused results at -2, -0.5, 0.0005, 0.3, 1.7, 8.9.
BITS = {
    "tanh": ["bf76ca83", "beec9a9f", "3a03126e", "3e9526ee", "3f6f76f8", "3f7fffff"],
    "sigmoid": ["3df420a9", "3ec14d02", "3f000831", "3f130eaa", "3f5874f7", "3f7ff710"],
    "elu": ["bf5d5aab", "bec974d2", "3a03126f", "3e99999a", "3fd9999a", "410e6666"],
}
BITS_AT = np.array([-2, -0.5, 0.0005, 0.3, 1.7, 8.9], F32)


def graph():
    return numerics.scope(numerics.DEFAULT)


def dense(x):
    """`x` (N, D) itself, as what a dense layer returned."""
    x = ops.convert_to_tensor(x)
    units = x.shape[1]
    return ops.dense(x, np.eye(units, dtype=x.dtype), np.zeros(units, x.dtype))


def inputs(n=4000):
    rng = np.random.default_rng(1)
    return (rng.standard_normal((n // 4, 4)) * np.array([0.001, 0.5, 3, 12])).astype(F32)


@pytest.mark.parametrize("name", EXACT)
def test_values(name):
    x = inputs()
    with graph():
        fused = getattr(ops, name)(dense(x)).numpy()
    assert fused.dtype == F32
    np.testing.assert_allclose(fused, EXACT[name](x.astype(np.float64)), rtol=1e-6, atol=1e-7)
    assert (fused != getattr(ops, name)(dense(x)).numpy()).any()


@pytest.mark.parametrize("name", EXACT)
def test_bits(name):
    received = getattr(kernels, f"fused_{name}")(BITS_AT)
    assert [f"{bits:08x}" for bits in received.view(np.uint32)] == BITS[name]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("tanh", [np.nan, 1, -1, 1, -1, 0.0, -0.0]),
        ("sigmoid", [np.nan, 1, 0, 1, 0, 0.5, 0.5]),
        ("elu", [np.nan, np.inf, -1, 100, -1, 0.0, 0.0]),
    ],
)
@pytest.mark.parametrize("dtype", [F32, np.float64])
def test_odd_values(name, wanted, dtype):
    x = np.array([np.nan, np.inf, -np.inf, 100, -100, 0.0, -0.0], dtype)
    received = getattr(kernels, f"fused_{name}")(x)
    np.testing.assert_allclose(received, np.array(wanted, dtype), atol=1e-30)
    assert np.signbit(received[-1]) == (name == "tanh")


def test_exp_has_no_results_below_two_denormals():
    """oneDNN makes half of the power first: a denormal, which is zero."""
    tiny = kernels.fused_sigmoid(np.array([-86.2, -86.9], F32))
    assert tiny[0] > 0 == tiny[1]


@pytest.mark.parametrize("name", EXACT)
def test_only_a_dense_layers_own_output_in_a_graph(name):
    x, function = inputs(), getattr(ops, name)
    alone = function(x).numpy()
    assert np.array_equal(function(dense(x)).numpy(), alone)
    with graph():
        fused = function(dense(x)).numpy()
        assert not np.array_equal(fused, alone)
        for other in (x, ops.reshape(dense(x), x.shape), ops.matmul(x, np.eye(4, dtype=F32))):
            assert np.array_equal(function(other).numpy(), alone)


@pytest.mark.parametrize("name", EXACT)
def test_in_float64_there_is_one_order(name):
    x, function = inputs().astype(np.float64), getattr(ops, name)
    with graph():
        fused = function(dense(x)).numpy()
    np.testing.assert_allclose(fused, function(x).numpy(), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", EXACT)
def test_the_gradient_uses_the_fused_output(name):
    x = keras.Variable(inputs(400))
    with graph(), GradientTape() as tape:
        z = ops.dense(x, np.eye(4, dtype=F32), np.zeros(4, F32))
        y = getattr(ops, name)(z)
    gradient = tape.gradient(y, x).numpy()
    y = y.numpy()
    slope = {"tanh": 1 - y * y, "sigmoid": y * (1 - y), "elu": np.where(y < 0, y + 1, 1)}[name]
    np.testing.assert_array_equal(gradient, slope.astype(F32))


def test_the_gradient_of_a_softplus_has_no_fused_sigmoid():
    x, found = keras.Variable(inputs(400)), []
    for scope in (numerics.scope(numerics.DEFAULT, graph=False), graph()):
        with scope, GradientTape() as tape:
            y = ops.softplus(ops.dense(x, np.eye(4, dtype=F32), np.zeros(4, F32)))
        found.append((y.numpy(), tape.gradient(y, x).numpy()))
    np.testing.assert_array_equal(*(np.stack(pair) for pair in found))


def test_an_elu_of_another_slope_is_not_fused():
    x = inputs()
    with graph():
        received = ops.elu(dense(x), 0.5).numpy()
    np.testing.assert_array_equal(received, ops.elu(x, 0.5).numpy())


@pytest.mark.parametrize(
    ("layers", "fused"),
    [
        (lambda: [Dense(8, "tanh")], True),
        (lambda: [Dense(8), Activation("tanh")], True),
        (lambda: [Dense(8), Dropout(0.5), Activation("tanh")], True),
        (lambda: [Dense(8), Flatten(), Activation("tanh")], False),
        (lambda: [Dense(8, use_bias=False), Activation("tanh")], False),
        (lambda: [Activation("tanh"), Dense(8)], False),
    ],
)
def test_predict_fuses_and_a_call_does_not(layers, fused):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((20,)), *layers()])
    x = np.random.default_rng(0).standard_normal((200, 20)).astype(F32)
    called = model(x).numpy()
    assert (not np.array_equal(model.predict(x, verbose=0, batch_size=200), called)) == fused
    model.compile("sgd", "mse", run_eagerly=True)
    assert np.array_equal(model.predict(x, verbose=0, batch_size=200), called)


@pytest.mark.parametrize("classes", [5, 16, 31, 33, 48, 50, 64, 100, 200])
def test_softmax_keeps_four_sums(classes):
    """Groups of sixteen classes in turn; the classes that fill no group go to the first."""
    z = np.random.default_rng(classes).standard_normal((7, classes)).astype(F32)
    z -= z.max(1, keepdims=True)
    exp = numba.njit(lambda value: onednn_exp(value))  # it is for kernels to call
    e = np.array([[exp(value) for value in row] for row in z], F32)
    sums, whole = np.zeros((4, 7, 16), F32), classes // 16
    for group in range(whole):
        sums[group % 4] += e[:, 16 * group : 16 * group + 16]
    sums[0, :, : classes % 16] += e[:, 16 * whole :]
    lanes = (sums[0] + sums[1]) + (sums[2] + sums[3])
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    np.testing.assert_array_equal(kernels.softmax(z, 16), e * (F32(1) / lanes))


def test_a_bias_of_one_unit_is_summed_like_any_other_sum():
    g = np.random.default_rng(3).standard_normal((100, 1)).astype(F32)
    bias = keras.Variable(np.zeros(1, F32))
    with GradientTape() as tape:
        y = ops.sum(ops.multiply(ops.dense(g, np.ones((1, 1), F32), bias), g))
    gradient = tape.gradient(y, bias).numpy()
    assert gradient.shape == (1,)
    assert gradient[0] == kernels.sum_all(g) != kernels.sum_rows(g)[0]
