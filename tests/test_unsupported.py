"""What Keras has and minisgd has not: every way of asking gets advice."""

import importlib

import numpy as np
import pytest

import minisgd as keras
from minisgd import layers

# (module, name, words of the advice)
MISSING = [
    ("minisgd", "Model", r"Sequential\(\[\.\.\.\]\)"),
    ("minisgd.layers", "Conv2D", r"Flatten\(\)"),
    ("minisgd.layers", "MaxPooling2D", "Flatten"),
    ("minisgd.layers", "LSTM", "Keras"),
    ("minisgd.layers", "Embedding", "Keras"),
    ("minisgd.layers", "GroupNormalization", "Keras"),
    ("minisgd.optimizers", "Adam", r"SGD\(learning_rate, momentum, nesterov\)"),
    ("minisgd.optimizers", "RMSprop", r"SGD\(learning_rate, momentum, nesterov\)"),
    ("minisgd.losses", "CTC", "Keras"),
    ("minisgd.metrics", "MeanIoU", "Keras"),
    ("minisgd.models", "Model", r"Sequential\(\[\.\.\.\]\)"),
    ("minisgd.activations", "sparsemax", "Keras"),
    ("minisgd.initializers", "STFT", "Keras"),
    ("minisgd.callbacks", "RemoteMonitor", "Keras"),
    ("minisgd.datasets", "imdb", "Keras"),
    ("minisgd.ops", "einsum", "Keras"),
    ("minisgd.random", "gamma", "Keras"),
    ("minisgd.utils", "FeatureSpace", "Keras"),
]
IDS = [f"{module}.{name}" for module, name, _ in MISSING]


@pytest.mark.parametrize(("module", "name", "advice"), MISSING, ids=IDS)
def test_attribute(module, name, advice):
    owner = importlib.import_module(module)
    with pytest.raises(
        AttributeError, match=rf"(?s)Keras has '{name}'.*`model.fit`.*{advice}"
    ) as e:
        getattr(owner, name)
    assert e.value.name == name
    assert not hasattr(owner, name)
    assert getattr(owner, name, None) is None


@pytest.mark.parametrize(("module", "name", "advice"), MISSING, ids=IDS)
def test_from_import(module, name, advice):
    with pytest.raises(ImportError, match=rf"(?s)Keras has '{name}'.*`model.fit`.*{advice}"):
        exec(f"from {module} import {name}", {})


def test_attribute_and_import_say_the_same():
    texts = []
    for ask in (lambda: layers.Conv2D, lambda: exec("from minisgd.layers import Conv2D", {})):
        with pytest.raises((AttributeError, ImportError)) as caught:
            ask()
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("module", "typo", "meant"),
    [
        ("minisgd.layers", "Dens", "Dense"),
        ("minisgd.optimizers", "SDG", "SGD"),
        ("minisgd", "Sequental", "Sequential"),
        ("minisgd.ops", "reul", "relu"),
    ],
)
def test_a_typo_is_corrected(module, typo, meant):
    with pytest.raises(AttributeError, match=f"Did you mean '{meant}'"):
        getattr(importlib.import_module(module), typo)
    with pytest.raises(ImportError, match=f"Did you mean '{meant}'"):
        exec(f"from {module} import {typo}", {})


def test_a_name_that_nobody_has():
    with pytest.raises(AttributeError, match="no attribute 'qqqqqqq'") as caught:
        layers.qqqqqqq  # noqa: B018
    assert "Keras has" not in str(caught.value)


@pytest.mark.parametrize("name", ["_private", "__wrapped__", "__path_of__"])
def test_private_names_stay_plain(name):
    with pytest.raises(AttributeError, match=name):
        getattr(keras, name)


def test_what_is_there_is_importable_where_keras_has_it():
    from minisgd.callbacks import Callback, History, LearningRateScheduler  # noqa: F401
    from minisgd.datasets import fashion_mnist, mnist  # noqa: F401
    from minisgd.initializers import GlorotUniform, HeNormal, glorot_uniform
    from minisgd.layers import Activation, Dense, Dropout, Flatten, Input, InputLayer  # noqa: F401
    from minisgd.losses import CategoricalCrossentropy, MeanSquaredError  # noqa: F401
    from minisgd.models import Sequential
    from minisgd.optimizers import SGD  # noqa: F401
    from minisgd.utils import set_random_seed, to_categorical  # noqa: F401

    assert keras.Sequential is Sequential
    assert glorot_uniform is GlorotUniform
    assert isinstance(keras.initializers.get("he_normal"), HeNormal)


def test_every_public_name_exists():
    modules = "activations callbacks datasets initializers layers losses metrics models ops optimizers random utils"  # noqa: E501
    for name in modules.split():
        module = getattr(keras, name)
        for public in getattr(module, "__all__", ()):
            assert hasattr(module, public), f"{name}.{public}"
    assert all(hasattr(keras, name) for name in keras.__all__)


# --- names as arguments ---
def model():
    return keras.Sequential([layers.Dense(2, "softmax", input_shape=(3,))])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"optimizer": "adam"}, r"'adam'.*SGD\("),
        ({"optimizer": "sdg"}, "Did you mean 'sgd'"),
        ({"optimizer": 3}, "optimizer identifier: 3"),
        ({}, "(?s)rmsprop.*default.*sgd|default.*rmsprop.*sgd"),
        ({"optimizer": "sgd", "loss": "ctc"}, "loss identifier: 'ctc'"),
        (
            {"optimizer": "sgd", "loss": "categorical_crosentropy"},
            "Did you mean 'categorical_crossentropy'",
        ),
        ({"optimizer": "sgd", "metrics": "accuracy"}, r"to be a list.*metrics=\[...\]"),
        ({"optimizer": "sgd", "metrics": ["acuracy"]}, "Did you mean 'accuracy'"),
        ({"optimizer": "sgd", "metrics": ["iou"]}, "metric identifier: 'iou'"),
        ({"optimizer": "sgd", "metrics": [3]}, "metric identifier: 3"),
    ],
)
def test_compile(kwargs, message):
    with pytest.raises(ValueError, match=message):
        model().compile(**kwargs)


def test_a_failed_compile_leaves_the_model_as_it_was():
    m = model()
    m.compile("sgd", "mse")
    optimizer = m.optimizer
    with pytest.raises(ValueError, match="loss identifier"):
        m.compile("sgd", "ctc")
    assert m.optimizer is optimizer
    m.train_on_batch(np.ones((1, 3), np.float32), np.ones((1, 2), np.float32))


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_what_needs_compile(method):
    model = keras.Sequential([layers.Dense(2, input_shape=(3,))])
    with pytest.raises(ValueError, match=r"You must call `compile\(\)`"):
        getattr(model, method)(np.ones((2, 3)), np.ones((2, 2)))
    model.compile("sgd")
    with pytest.raises(ValueError, match="No loss to compute"):
        getattr(model, method)(np.ones((2, 3)), np.ones((2, 2)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Dense(2, activation="rel"), "Did you mean 'relu'"),
        (
            lambda: layers.Dense(2, activation="sparsemax"),
            "activation function identifier: 'sparsemax'",
        ),
        (lambda: layers.Activation("sofmax"), "Did you mean 'softmax'"),
        (
            lambda: layers.Dense(2, kernel_initializer="glorot_unifrom"),
            "Did you mean 'glorot_uniform'",
        ),
        (
            lambda: layers.Dense(2, kernel_initializer="stft"),
            "initializer identifier: 'stft'",
        ),
        (lambda: layers.Dense(2, kernel_regularizer="l22"), "Did you mean 'l2'"),
        (lambda: layers.Dense(2, bias_constraint="nonneg"), "Did you mean 'non_neg'"),
        (lambda: layers.Dense(2, lora_rank=3), "lora_rank"),
        (lambda: layers.Flatten(data_format="channels_first"), "channels_last"),
    ],
)
def test_layers(make, message):
    with pytest.raises(ValueError, match=message):
        make()
