"""A small classifier and its data, for the rows of the list of bad inputs."""

import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest

import minisgd as keras
from minisgd import layers

N, FEATURES, CLASSES = 96, 20, 4
F32 = np.float32


@dataclass
class Setting:
    """Data, and models that all start from the same weights."""

    mode: str = "eager"
    classes: int = CLASSES
    x: np.ndarray = field(init=False)
    labels: np.ndarray = field(init=False)
    y: np.ndarray = field(init=False)

    def __post_init__(self):
        rng = np.random.default_rng(0)
        self.x = rng.random((N, FEATURES), dtype=F32)
        self.labels = rng.integers(0, CLASSES, N)
        self.y = np.eye(CLASSES, dtype=F32)[self.labels]

    def model(self, loss="categorical_crossentropy", optimizer=None, build=True, **arguments):
        keras.utils.set_random_seed(3)
        stack = [layers.Input((FEATURES,))] if build else []
        stack += [layers.Dense(8, "relu"), layers.Dense(CLASSES, "softmax")]
        model = keras.Sequential(stack)
        arguments = {"metrics": ["accuracy"], **arguments}
        if self.mode == "eager":
            arguments.setdefault("run_eagerly", True)
        else:
            arguments.setdefault("jit_compile", True)
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9) if optimizer is None else optimizer
        model.compile(optimizer, loss, **arguments)
        return model

    def fit(self, model=None, x=None, y=None, **arguments):
        """Two epochs of three batches; returns (weights, losses)."""
        model = self.model() if model is None else model
        x, y = self.x if x is None else x, self.y if y is None else y
        keras.utils.set_random_seed(5)
        history = model.fit(x, y, **{"epochs": 2, "verbose": 0, **arguments})
        return model.get_weights(), history.history.get("loss")

    def same_as_clean(self, x=None, y=None, **arguments):
        """Whether training on these leaves the bits of training on the plain arrays."""
        weights, losses = self.fit(x=x, y=y, **arguments)
        clean, clean_losses = self.fit()
        return losses == clean_losses and same(weights, clean)


def same(one, other):
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@pytest.fixture(params=["eager", "compiled"])
def both(request):
    """The setting for steps that run eagerly and for compiled ones."""
    return Setting(request.param)


@pytest.fixture
def setting():
    return Setting()


@pytest.fixture
def refused(setting):
    """Call something with a fresh model; it raises, and no weight moves."""

    def check(act, match, error=(ValueError, TypeError), model=None):
        model = setting.model() if model is None else model
        before = model.get_weights()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(error, match=match) as raised:
                act(model)
        assert same(before, model.get_weights())
        assert len(str(raised.value)) < 1000, "a message, not the data"
        return str(raised.value)

    return check


@pytest.fixture
def warned():
    """Call something; it warns once, and the message says where."""

    def check(act, *parts):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = act()
        assert len(caught) == 1, [str(w.message) for w in caught]
        warning = caught[0]
        assert issubclass(warning.category, UserWarning)
        for part in parts:
            assert part in str(warning.message)
        assert "bad_inputs" in warning.filename, "the warning points at the caller's line"
        return result

    return check
