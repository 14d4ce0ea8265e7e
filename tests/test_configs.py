"""Configurations round trip: an object made from another's ``get_config`` computes the same."""

import numpy as np
import pytest

import minisgd as keras
from minisgd import activations, initializers, layers, losses, metrics

X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dense(3, "relu", use_bias=False, name="d"),
        layers.Dense(2, activation="tanh", kernel_initializer=initializers.HeNormal(seed=1)),
        layers.Activation("sigmoid"),
        layers.Flatten(),
        layers.Dropout(0.5, seed=3, noise_shape=(None, 4)),
        layers.GaussianNoise(0.5, seed=3),
        layers.GaussianDropout(0.5, seed=3),
        layers.AlphaDropout(0.5, seed=3, noise_shape=(None, 4)),
        layers.Input((4,)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers(layer):
    twin = type(layer).from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()
    built = layer(X)
    twin(X)
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(twin(X).numpy(), built.numpy())


@pytest.mark.parametrize(
    "initializer",
    [
        initializers.Constant(3.0),
        initializers.Zeros(),
        initializers.Ones(),
        initializers.RandomUniform(-1.0, 2.0, seed=1),
        initializers.RandomNormal(1.0, 2.0, seed=1),
        initializers.TruncatedNormal(1.0, 2.0, seed=1),
        initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=1),
        initializers.VarianceScaling(2.0, "fan_in", "normal", seed=1),
        initializers.GlorotUniform(seed=1),
    ],
    ids=lambda initializer: type(initializer).__name__,
)
@pytest.mark.parametrize("shape", [(5, 7), (4,), (), (2, 3, 4)])
def test_initializers(initializer, shape):
    twin = type(initializer).from_config(initializer.get_config())
    np.testing.assert_array_equal(twin(shape).numpy(), initializer(shape).numpy())


def test_initializers_refuse():
    for arguments, message in (
        ({"scale": 0}, "positive"),
        ({"mode": "fan"}, "fan_avg"),
        ({"distribution": "cauchy"}, "uniform"),
        ({"seed": 1.5}, "integer"),
    ):
        with pytest.raises(ValueError, match=message):
            initializers.VarianceScaling(**arguments)
    with pytest.raises(NotImplementedError, match="__call__"):
        initializers.Initializer()((2,))
    assert isinstance(initializers.get(initializers.Zeros), initializers.Zeros)


@pytest.mark.parametrize("loss", [losses.CategoricalCrossentropy(label_smoothing=0.1),
                                  losses.SparseCategoricalCrossentropy(from_logits=True),
                                  losses.MeanSquaredError(reduction="sum")])  # fmt: skip
def test_losses(loss):
    config = loss.get_config()
    config.pop("label_smoothing", None)
    config.pop("from_logits", None)
    assert type(loss).from_config(config).reduction == loss.reduction


def test_base_classes_say_what_to_define():
    for call, message in (
        (lambda: layers.Layer()(X), "call"),
        (lambda: losses.Loss()(X, X), "call"),
        (lambda: metrics.Metric().update_state(), "update_state"),
        (lambda: metrics.Metric().result(), "result"),
    ):
        with pytest.raises(NotImplementedError, match=message):
            call()


EXPECTED = {
    "elu": np.where(X > 0, X, np.expm1(X)),
    "exponential": np.exp(X),
    "leaky_relu": np.where(X > 0, X, 0.2 * X),
    "linear": X,
    "log_softmax": X - np.log(np.exp(X).sum(1, keepdims=True)),
    "relu": np.maximum(X, 0),
    "sigmoid": 1 / (1 + np.exp(-X)),
    "softmax": np.exp(X) / np.exp(X).sum(1, keepdims=True),
    "softplus": np.log1p(np.exp(X)),
    "tanh": np.tanh(X),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_activations(name):
    function = activations.get(name)
    assert activations.serialize(function) == name
    assert function is getattr(keras.activations, name)
    np.testing.assert_allclose(function(X).numpy(), EXPECTED[name], rtol=2e-6, atol=1e-6)
