"""Matrix products in the orders of other settings: right values, right gradients, other bits."""

import numpy as np
import pytest

import minisgd as keras
import minisgd_kernels as kernels
from minisgd import numerics, ops
from minisgd.gradcheck import gradcheck

F32 = np.float32
OTHERS = ["avx2", "eigen", "eigen_1_thread", "eigen_avx2"]
SHAPES = [(1, 1, 1), (1, 784, 128), (7, 5, 1), (7, 10, 3), (32, 784, 128), (200, 300, 150)]


def normals(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F32)


def stored(matrix, turned):
    return matrix.T.copy() if turned else matrix


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(("rows", "k", "columns"), SHAPES)
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
def test_products_are_right_to_rounding(name, rows, k, columns, turned):
    order = numerics.get(name)
    a, b = normals(rows, k), normals(k, columns, seed=1)
    for with_bias in (False, True):
        out = kernels.product(
            stored(a, turned[0]), stored(b, turned[1]), *turned, with_bias, order.eigen,
            order.avx512, order.threads,
        )  # fmt: skip
        np.testing.assert_allclose(out, a.astype(float) @ b, rtol=0, atol=1e-4 * np.sqrt(k))


@pytest.mark.parametrize("name", OTHERS)
def test_each_order_has_bits_of_its_own(name):
    x, w, b = normals(32, 784), normals(784, 128, seed=1), normals(128, seed=2)
    found = {}
    for other in ["avx512", *OTHERS]:
        with numerics.scope(numerics.get(other)):
            found[other] = ops.dense(x, w, b).numpy()
    same = [other for other in found if np.array_equal(found[other], found[name])]
    assert same == [name]


@pytest.mark.parametrize("name", OTHERS)
def test_gradients_are_those_of_a_dense_layer(name):
    x, w, b = (keras.Variable(normals(*s)) for s in ((5, 7), (7, 3), (3,)))
    with numerics.scope(numerics.get(name)), keras.GradientTape(persistent=True) as tape:
        out = ops.dense(x, w, b)
        total = ops.sum(ops.multiply(out, out))
        product = ops.sum(ops.square(ops.matmul(x, w)))
    assert ", avx512)" not in str(tape)
    for target, bias in ((total, b.numpy()), (product, np.zeros(3, F32))):
        g = 2 * (x.numpy().astype(float) @ w.numpy() + bias)
        dx, dw = tape.gradient(target, [x, w])
        np.testing.assert_allclose(dx.numpy(), g @ w.numpy().T, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(dw.numpy(), x.numpy().T @ g, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        tape.gradient(total, b).numpy(), 2 * (x.numpy() @ w.numpy() + b.numpy()).sum(0), rtol=1e-5
    )


@pytest.mark.parametrize("name", OTHERS)
def test_second_derivatives_go_through_the_same_products(name):
    w = keras.Variable(normals(3, 4))
    x = normals(6, 3)
    with numerics.scope(numerics.get(name)), keras.GradientTape() as outer:
        with keras.GradientTape() as inner:
            y = ops.matmul(x, w)
            loss = ops.sum(ops.multiply(ops.square(y), y))  # y**3
        first = inner.gradient(loss, w)
        total = ops.sum(first)
    second = outer.gradient(total, w).numpy()
    y = x.astype(float) @ w.numpy()
    expected = x.T @ (6 * y * x.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(second, expected, rtol=1e-4, atol=1e-4)


def test_float64_and_stacks_keep_the_reference_order():
    a, b = np.random.default_rng(0).standard_normal((2, 4, 4))
    with numerics.scope(numerics.get("avx2")):
        gradcheck(ops.matmul, [a, b])
        assert ops.matmul(normals(2, 3, 4), normals(4, 5)).shape == (2, 3, 5)


@pytest.mark.parametrize("name", OTHERS)
def test_a_model_trains_in_it(name):
    keras.utils.set_random_seed(1)
    x, y = normals(70, 20), np.eye(3, dtype=F32)[np.arange(70) % 3]
    model = keras.Sequential(
        [keras.layers.Dense(9, "tanh", input_shape=(20,)), keras.layers.Dense(3, "softmax")]
    )
    model.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy", numerics=name)
    losses = model.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(model.predict(x, verbose=0).sum(axis=1), 1, rtol=1e-6)
