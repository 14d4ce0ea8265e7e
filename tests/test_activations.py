"""Activation functions: derivatives of the forms that a graph has, NaN, the compiled step."""

from __future__ import annotations

import numpy as np
import pytest

import minisgd as keras
from minisgd import activations, numerics, ops

A = np.array([[-1.3, 0.4, 2.0, -0.2], [0.7, -0.9, 1.1, 0.3], [2.2, -1.7, -0.6, 0.8]])
IN_GRAPH = {
    "celu": lambda x: ops.celu(x, 0.7),
    "gelu": lambda x: ops.gelu(x, False),
    "gelu, approximate": lambda x: ops.gelu(x, True),
    "hard_sigmoid": ops.hard_sigmoid,
    "hard_silu": ops.hard_silu,
    "silu": ops.silu,
    "tanh_shrink": ops.tanh_shrink,
}


@pytest.mark.parametrize("name", IN_GRAPH)
def test_derivatives_in_a_graph(name):
    def function(x):
        with numerics.scope(numerics.DEFAULT):
            return IN_GRAPH[name](x)

    with numerics.scope(numerics.DEFAULT):
        assert keras.gradcheck(function, [A], name=name).worst.error <= 1e-6


@pytest.mark.parametrize("name", IN_GRAPH)
def test_a_graph_computes_the_same_function(name):
    plain = IN_GRAPH[name](ops.convert_to_tensor(A)).numpy()
    with numerics.scope(numerics.DEFAULT):
        np.testing.assert_allclose(IN_GRAPH[name](ops.convert_to_tensor(A)), plain, rtol=1e-12)


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("name", sorted(set(activations._BY_NAME) - {"glu", "threshold"}))
def test_nan_comes_through(name, graph):
    x = np.full((3, 4), 0.5, np.float32)
    x[1, 2] = np.nan
    with numerics.scope(numerics.DEFAULT, graph):
        y = activations.get(name)(ops.convert_to_tensor(x)).numpy()
    choosing = ("hard_shrink", "soft_shrink")  # a comparison with NaN is false: these return 0
    assert np.isnan(y[1, 2]) != (name in choosing)
    assert np.isfinite(y[0]).all()


def test_glu_wants_an_even_axis():
    with pytest.raises(ValueError, match=r"axis size must be divisible by 2.*\(2, 3\).*axis=-1"):
        activations.glu(np.ones((2, 3), np.float32))


def test_typos_are_corrected():
    with pytest.raises(ValueError, match="Did you mean 'softsign'"):
        activations.get("softsing")
    with pytest.raises(ValueError, match="activation function identifier: 3"):
        activations.get(3)


COMPILED = sorted(set(activations._BY_NAME) - {"glu", "threshold", "softmax", "log_softmax"})


@pytest.mark.parametrize("name", COMPILED)
def test_a_step_with_any_of_them_can_be_printed(name):
    """The printed step is recorded and its kernels exist; its bits are compared for some below."""
    model = keras.Sequential([
        keras.layers.Dense(8, name, input_shape=(5,)), keras.layers.Dense(3, "softmax"),
    ])  # fmt: skip
    model.compile("sgd", "sparse_categorical_crossentropy")
    from minisgd.compiler.trace import Program
    from minisgd.data import ArrayData

    data = ArrayData(np.ones((6, 5), np.float32), np.zeros(6, np.int64))
    assert "train_steps" in Program(model, "train", data).text


@pytest.mark.slow
@pytest.mark.parametrize("names", [COMPILED[::3], COMPILED[1::3], COMPILED[2::3]], ids=str)
def test_the_compiled_step_has_the_eager_bits(names):
    x = np.random.default_rng(0).normal(size=(70, 5)).astype(np.float32)
    y = np.arange(70) % 3
    weights = []
    for jit in (True, False):
        keras.utils.set_random_seed(4)
        stack = [keras.layers.Dense(9, name) for name in names]
        model = keras.Sequential([*stack, keras.layers.Dense(3, "softmax")])
        model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy",
                      jit_compile=jit)  # fmt: skip
        model.fit(x, y, batch_size=32, epochs=2, verbose=0)
        weights.append(model.get_weights())
        assert not jit or "def train_steps" in model.compiled_source()
    for compiled, eager in zip(*weights, strict=True):
        assert compiled.tobytes() == eager.tobytes()
