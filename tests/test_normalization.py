"""Normalization layers: what they compute, the compiled step, and clear errors."""

import numpy as np
import pytest

import minisgd as keras
from minisgd import layers

X = np.random.default_rng(0).normal(3, 2, (70, 5)).astype(np.float32)
Y = np.arange(70) % 3


def test_batch_normalization_in_training_and_after():
    layer = layers.BatchNormalization(momentum=0.75, epsilon=1e-6)
    y = layer(X, training=True).numpy()
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(y.std(0), 1, rtol=1e-5)
    mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    np.testing.assert_allclose(mean, 0.25 * X.mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, 0.75 + 0.25 * X.var(0), rtol=1e-6)
    expected = (X - mean) / np.sqrt(variance + 1e-6)
    np.testing.assert_allclose(layer(X).numpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), mean)


def test_a_frozen_batch_normalization_is_in_inference_mode():
    layer = layers.BatchNormalization(trainable=False)
    np.testing.assert_array_equal(layer(X, training=True).numpy(), layer(X).numpy())
    assert not layer.trainable_weights
    assert len(layer.non_trainable_weights) == 4
    layer.trainable = True
    assert [w.name for w in layer.trainable_weights] == ["gamma", "beta"]


def test_layer_normalization():
    y = layers.LayerNormalization(epsilon=1e-6)(X).numpy()
    np.testing.assert_allclose(y.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(1), 1, rtol=1e-4)


def stack(kind):
    first = getattr(layers, kind)
    return [
        layers.Dense(9, input_shape=(5,)), first(), layers.Activation("relu"),
        layers.Dropout(0.2, seed=3), first(scale=False), layers.Dense(3, "softmax"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["BatchNormalization", "LayerNormalization"])
def test_the_compiled_step_has_the_eager_bits(kind):
    found = []
    for jit in (True, False):
        keras.utils.set_random_seed(4)
        model = keras.Sequential(stack(kind))
        sgd = keras.optimizers.SGD(0.1, momentum=0.9)
        model.compile(sgd, "sparse_categorical_crossentropy", jit_compile=jit)
        history = model.fit(X, Y, batch_size=32, epochs=2, verbose=0, validation_split=0.1)
        found.append([*model.get_weights(), model.predict(X, verbose=0),
                      np.array(history.history["val_loss"])])  # fmt: skip
        if jit:
            text = model.compiled_source()
            assert ("moving_average_inplace(" in text) == (kind == "BatchNormalization")
    for compiled, eager in zip(*found, strict=True):
        assert compiled.tobytes() == eager.tobytes()


def test_the_compiled_step_has_the_eager_bits_of_the_others():
    """Also after a second `adapt`, which the recorded step must follow."""
    found = []
    for jit in (True, False):
        keras.utils.set_random_seed(4)
        adapted = layers.Normalization()
        adapted.adapt(X)
        model = keras.Sequential([
            layers.Input((5,)), adapted, layers.Dense(9), layers.RMSNormalization(),
            layers.UnitNormalization(), layers.Dense(3, "softmax"),
        ])  # fmt: skip
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=jit)
        model.fit(X, Y, verbose=0)
        adapted.adapt([2 * X[:30], X[30:]])
        model.fit(X, Y, verbose=0)
        found.append([*model.get_weights(), model.predict(X, verbose=0)])
        if jit:
            assert "rms" in model.compiled_source()
    for compiled, eager in zip(*found, strict=True):
        assert compiled.tobytes() == eager.tobytes()


def test_freezing_makes_a_new_recording():
    model = keras.Sequential(stack("BatchNormalization"))
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
    model.fit(X, Y, batch_size=32, verbose=0)
    norm = model.layers[1]
    norm.trainable = False
    before = [w.tobytes() for w in norm.get_weights()]
    model.fit(X, Y, batch_size=32, verbose=0)
    assert [w.tobytes() for w in norm.get_weights()] == before
    assert "batchnormalization_moving_mean, t" not in model.compiled_source()


def test_recording_a_step_leaves_the_moving_averages():
    from minisgd.compiler.trace import Program
    from minisgd.data import ArrayData

    model = keras.Sequential(stack("BatchNormalization"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    versions = [w.version for w in model.weights]
    before = [w.tobytes() for w in model.get_weights()]
    Program(model, "train", ArrayData(X, Y))
    assert [w.tobytes() for w in model.get_weights()] == before
    assert [w.version for w in model.weights] == versions


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda: layers.BatchNormalization(axis=2)(X), r"Axis 2 is out of bounds.*\(None, 5\)"),
        (lambda: layers.LayerNormalization(axis=[1, -3])(X), r"Axis -3 is out of bounds"),
        (lambda: layers.BatchNormalization(momentum=1.5), "`momentum`: expected.*to 1.0.*1.5"),
        (lambda: layers.BatchNormalization(epsilon=-1), "`epsilon`: expected.*received -1"),
        (lambda: layers.LayerNormalization(epsilon=np.nan), "`epsilon`: expected.*nan"),
        (lambda: layers.BatchNormalization(renorm=True), "`renorm`: only False is supported"),
        (lambda: layers.LayerNormalization(rms_scaling=True), "`rms_scaling`: only False"),
        (lambda: layers.BatchNormalization(scael=True), "Unrecognized keyword"),
        (lambda: layers.BatchNormalization().build((None, None)), "axis -1 .*to be known"),
        (lambda: layers.BatchNormalization(gamma_initializer="onse"), "Did you mean 'one"),
    ],
)
def test_errors(use, words):
    with pytest.raises(ValueError, match=words):
        use()


@pytest.mark.parametrize("axis", [1.0, "a", None, [1, "a"], [], True])
def test_axes_are_ints(axis):
    for kind in (layers.BatchNormalization, layers.LayerNormalization):
        with pytest.raises(TypeError, match="Expected an int.*for the argument 'axis'"):
            kind(axis=axis)


def test_layer_normalization_refuses_another_width():
    layer = layers.LayerNormalization()
    layer(X)
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 5"):
        layer(X[:, :4])


def test_nan_comes_through():
    x = X.copy()
    x[3, 2] = np.nan
    assert np.isnan(layers.BatchNormalization()(x, training=True).numpy()[:, 2]).all()
    y = layers.LayerNormalization()(x).numpy()
    assert np.isnan(y[3]).all()
    assert np.isfinite(np.delete(y, 3, 0)).all()
