"""Steps of the user's own: the examples of Keras's guide, beside Keras's."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from beside_keras import check_same

import minisgd

pytestmark = pytest.mark.layers

rng = np.random.default_rng(0)
SMALL_X = rng.random((64, 8), dtype=np.float32)
SMALL_Y = rng.random((64, 3), dtype=np.float32)


@pytest.fixture(scope="module")
def keras() -> Any:
    return importlib.import_module("keras")


def tape_of(ns: Any) -> Any:
    return ns.GradientTape if ns is minisgd else importlib.import_module("tensorflow").GradientTape


def steps(ns: Any) -> dict[str, Any]:
    tape_class = tape_of(ns)

    class CompiledLoss(ns.Sequential):
        def train_step(self, data):
            weight = data[2] if len(data) == 3 else None
            x, y = data[:2]
            with tape_class() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=weight)
            variables = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred, sample_weight=weight)
            return {m.name: m.result() for m in self.metrics}

        def test_step(self, data):
            x, y = data
            y_pred = self(x, training=False)
            loss = self.compute_loss(y=y, y_pred=y_pred)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    class OwnLoss(ns.Sequential):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.loss_tracker = ns.metrics.Mean(name="loss")
            self.mae_metric = ns.metrics.MeanAbsoluteError(name="mae")
            self.loss_fn = ns.losses.MeanSquaredError()

        def train_step(self, data):
            x, y = data[:2]
            with tape_class() as tape:
                loss = self.loss_fn(y, self(x, training=True))
            variables = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            self.loss_tracker.update_state(loss)
            self.mae_metric.update_state(y, self(x))
            return {"loss": self.loss_tracker.result(), "mae": self.mae_metric.result()}

        def test_step(self, data):
            self.mae_metric.update_state(data[1], self(data[0]))
            return {"mae": self.mae_metric.result()}

        @property
        def metrics(self):
            return [self.loss_tracker, self.mae_metric]

    class ComputeLoss(ns.Sequential):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.loss_tracker = ns.metrics.Mean(name="loss")

        def compute_loss(self, x, y, y_pred, sample_weight, training=True):
            loss = ns.ops.mean(ns.ops.square(y_pred - y))
            loss += ns.ops.sum(self.losses)
            self.loss_tracker.update_state(loss)
            return loss

        def reset_metrics(self):
            self.loss_tracker.reset_state()

        @property
        def metrics(self):
            return [self.loss_tracker]

    class Around(ns.Sequential):
        def train_step(self, data):
            return {"rate": self.optimizer.learning_rate, **super().train_step(data)}

    return {
        "compiled loss": CompiledLoss,
        "own loss": OwnLoss,
        "compute_loss": ComputeLoss,
        "around": Around,
    }


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["compiled loss", "own loss", "compute_loss", "around"])
def test_steps_of_the_users_own(keras, name, weighted):
    found = []
    for ns in (minisgd, keras):
        ns.utils.set_random_seed(3)
        dense = [ns.layers.Dense(16, "relu", kernel_regularizer="l2"), ns.layers.Dense(3)]
        model = steps(ns)[name]([ns.layers.Input((8,)), *dense])
        given = name in ("compiled loss", "around")
        model.compile(
            ns.optimizers.SGD(0.1), **({"loss": "mse", "metrics": ["mae"]} if given else {})
        )
        # Powers of two: of other weights of a mean squared error TensorFlow rounds otherwise.
        weight = 2.0 ** np.round(SMALL_Y[:, 0] * 4 - 2) if weighted else None
        history = model.fit(SMALL_X, SMALL_Y, epochs=3, verbose=0, sample_weight=weight)
        results = model.evaluate(SMALL_X, SMALL_Y, verbose=0)
        on_batch = model.train_on_batch(SMALL_X, SMALL_Y, return_dict=True)
        weights = [np.array(w) for w in model.get_weights()]
        found.append((weights, history.history, (results, on_batch)))
    check_same(*found)
