"""The scope of an order of rounding, and what ``compile(numerics=...)`` does with it."""

import platform
import threading

import numpy as np
import pytest

import minisgd as keras
from minisgd import numerics, ops
from minisgd.layers import Dense
from minisgd.parity.oracle import exact_gradients

F32 = np.float32


def data(n=40, features=30, classes=4):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((n, features)).astype(F32)
    return x, np.eye(classes, dtype=F32)[rng.integers(0, classes, n)]


def compiled(**arguments):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([Dense(8, "relu", input_shape=(30,)), Dense(4, "softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"], **arguments)
    return model


def test_the_default_is_the_reference_and_outside_of_a_graph():
    assert numerics.current() is numerics.DEFAULT
    assert not numerics.in_graph()
    assert numerics.names()[0] == "avx512" == compiled().numerics.name


def test_a_scope_ends_also_with_an_error():
    with pytest.raises(RuntimeError), numerics.scope(numerics.get("accurate")):
        assert numerics.current().name == "accurate"
        assert numerics.in_graph()
        raise RuntimeError
    assert numerics.current() is numerics.DEFAULT
    assert not numerics.in_graph()


def test_scopes_nest():
    with numerics.scope(numerics.get("accurate")):
        with numerics.scope(numerics.DEFAULT, graph=False):
            assert numerics.current() is numerics.DEFAULT
            assert not numerics.in_graph()
        assert numerics.current().name == "accurate"


def test_a_scope_is_its_threads_own():
    seen = []
    with numerics.scope(numerics.get("accurate")):
        thread = threading.Thread(target=lambda: seen.append(numerics.current().name))
        thread.start()
        thread.join()
    assert seen == ["avx512"]


@pytest.mark.parametrize("wrong", ["accurat", "AVX512", 3, b"avx512"])
def test_an_unknown_name_is_refused_and_compile_changes_nothing(wrong):
    model = compiled()
    optimizer = model.optimizer
    with pytest.raises(ValueError, match="Could not interpret numerics identifier"):
        model.compile("sgd", "mse", numerics=wrong)
    assert model.optimizer is optimizer
    with pytest.raises(ValueError, match="Did you mean 'accurate'"):
        numerics.get("accurat")


def test_steps_run_inside_the_scope_and_callbacks_outside():
    seen = []

    class Model(keras.Sequential):
        def train_step(self, data):
            seen.append(("step", numerics.current().name, numerics.in_graph()))
            return super().train_step(data)

    class Spy(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(("callback", numerics.current().name, numerics.in_graph()))

    x, y = data()
    model = Model([Dense(4, "softmax", input_shape=(30,))])
    for eager in (False, True):
        model.compile("sgd", "categorical_crossentropy", run_eagerly=eager, numerics="accurate")
        model.fit(x, y, verbose=0, batch_size=40, callbacks=[Spy()])
    assert seen == [
        ("step", "accurate", True),
        ("callback", "avx512", False),
        ("step", "accurate", False),
        ("callback", "avx512", False),
    ]


def test_accurate_gradients_are_the_exact_ones_rounded_once():
    x, y = data()
    model = compiled(numerics="accurate")
    weights = dict(zip(("W1", "b1", "W2", "b2"), model.get_weights(), strict=True))
    with numerics.scope(model.numerics), keras.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x, training=True))
    found = tape.gradient(loss, model.trainable_variables)
    for gradient, exact in zip(found, exact_gradients(weights, x, y).values(), strict=True):
        assert gradient.dtype == F32
        # Once rounded: half a unit, plus what float64 has lost on the way.
        np.testing.assert_allclose(gradient.numpy(), exact, rtol=2**-24 * 1.01, atol=1e-16)


def test_accurate_is_another_run_with_float32_results():
    x, y = data()
    plain, accurate = compiled(), compiled(numerics="accurate")
    for model in (plain, accurate):
        model.fit(x, y, epochs=3, verbose=0)
    for a, b in zip(plain.get_weights(), accurate.get_weights(), strict=True):
        assert b.dtype == F32
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert any(
        (a != b).any() for a, b in zip(plain.get_weights(), accurate.get_weights(), strict=True)
    )
    assert accurate.predict(x, verbose=0).dtype == F32
    assert accurate.predict_on_batch(x).dtype == F32
    assert accurate(x).dtype == F32


def test_a_gradient_keeps_the_numerics_of_its_forward_pass():
    a = ops.convert_to_tensor(data()[0])
    with keras.GradientTape() as tape:
        tape.watch(a)
        with numerics.scope(numerics.get("accurate")):
            product = ops.matmul(a, ops.transpose(a))
        total = ops.sum(product)
    assert product.dtype == np.float64
    assert tape.gradient(total, a).dtype == F32


OTHER_PROCESSOR = """
import hashlib
import numpy as np
import minisgd as keras
keras.utils.set_random_seed(3)
rng = np.random.default_rng(5)
x = rng.standard_normal((70, 50)).astype(np.float32)
y = np.eye(11, dtype=np.float32)[rng.integers(0, 11, 70)]
digest = hashlib.sha256()
for activation in ("relu", "tanh"):
    model = keras.Sequential([
        keras.layers.Dense(33, activation, input_shape=(50,)),
        keras.layers.Dense(11, "softmax"),
    ])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "categorical_crossentropy")
    history = model.fit(x, y, epochs=2, verbose=0)
    results = [*model.get_weights(), model.predict(x, verbose=0), history.history["loss"]]
    for array in results:
        digest.update(np.asarray(array).tobytes())
print(digest.hexdigest())
"""


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="names x86 processors"
)
@pytest.mark.parametrize("processor", ["haswell", "nehalem"])
def test_the_bits_do_not_depend_on_the_processor(processor, run_python, tmp_path, capsys):
    """Compiled for AVX2, and for one that has neither AVX nor FMA."""
    exec(OTHER_PROCESSOR, {})
    here = capsys.readouterr().out.strip()
    assert (
        run_python(
            OTHER_PROCESSOR,
            NUMBA_CPU_NAME=processor,
            NUMBA_CPU_FEATURES="",
            NUMBA_CACHE_DIR=tmp_path,
        ).strip()
        == here
    )
