"""``compile(loss_weights=...)`` beside Keras: the same bits, the same refusals."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from beside_keras import check_same

import minisgd
from minisgd.parity import tolerances
from minisgd.parity.compare import compare
from minisgd.parity.probe import measured_mode

pytestmark = pytest.mark.step

rng = np.random.default_rng(0)
X = rng.random((72, 8), dtype=np.float32)
Y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 72)]


@pytest.fixture(scope="module")
def keras() -> Any:
    return importlib.import_module("keras")


def model_of(ns: Any, **arguments: Any) -> Any:
    ns.utils.set_random_seed(3)
    hidden = ns.layers.Dense(16, "relu", kernel_regularizer=arguments.pop("regularizer", None))
    dense = [hidden, ns.layers.Dense(3, activation="softmax")]
    model = ns.Sequential([ns.layers.Input((8,)), *dense])
    optimizer = ns.optimizers.SGD(0.1, momentum=arguments.pop("momentum", 0.0))
    model.compile(optimizer, metrics=["accuracy"], **arguments)
    return model


WEIGHTS = [0.3, [0.3], (2,), {"any": 1.7}, [[0.7]], 0.0, -1.0, [None]]


def labels_for(loss: Any) -> Any:
    return Y.argmax(-1) if "sparse" in str(loss) else Y


def trained(ns: Any, sample_weight: Any = None, **arguments: Any) -> Any:
    model, y = model_of(ns, **arguments), labels_for(arguments.get("loss"))
    history = model.fit(
        X, y, epochs=3, batch_size=32, verbose=0, sample_weight=sample_weight,
        validation_data=(X[:20], y[:20]),
    )  # fmt: skip
    results = model.evaluate(X, y, verbose=0)
    return [np.array(w) for w in model.get_weights()], history.history, results


@pytest.mark.parametrize(
    "loss", ["categorical_crossentropy", "sparse_categorical_crossentropy", "mse"]
)
@pytest.mark.parametrize("loss_weights", WEIGHTS)
def test_the_same_bits(keras, loss, loss_weights):
    check_same(*(trained(ns, loss=loss, loss_weights=loss_weights) for ns in (minisgd, keras)))


@pytest.mark.parametrize("loss", ["mae", "huber", "categorical_hinge"])
def test_other_losses(keras, loss):
    """Those through a logarithm stand in ``test_logarithm_losses_parity.py``."""
    check_same(*(trained(ns, loss=loss, loss_weights=0.3) for ns in (minisgd, keras)))


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "mse", "categorical_hinge"])
@pytest.mark.parametrize("batch_size", [12, 24])
def test_where_the_length_of_a_batch_is_known(keras, loss, batch_size):
    """Equal weights; for the log, TensorFlow multiplies the weight by the length first."""
    found = []
    for ns in (minisgd, keras):
        model = model_of(ns, loss=loss, loss_weights=0.3)
        history = model.fit(X, Y, batch_size, epochs=4, verbose=0).history
        found.append((model.get_weights(), history["loss"]))
    (weights, losses), (expected, reference) = found
    check_same(*(([np.array(w) for w in side], {}, ()) for side in (weights, expected)))
    if measured_mode().bits:
        bound = tolerances.WEIGHTED_LOG
        measured = bound.measured(compare("loss", np.float32(losses), np.float32(reference)))
        assert bound.holds(measured), (measured, str(bound))


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("regularizer", [None, "l2"])
@pytest.mark.parametrize("weighted", [False, True])
def test_beside_penalties_sample_weights_and_momentum(keras, run_eagerly, regularizer, weighted):
    weight = 2.0 ** np.arange(72).clip(0, 3).astype(np.float32) if weighted else None
    arguments = {"loss_weights": 0.3, "regularizer": regularizer, "momentum": 0.9}
    arguments |= {"loss": "categorical_crossentropy", "run_eagerly": run_eagerly}
    check_same(*(trained(ns, weight, **arguments) for ns in (minisgd, keras)))


def test_a_weight_changes_the_loss_and_not_the_penalty():
    plain, weighted = (
        model_of(minisgd, loss="mse", regularizer="l2", loss_weights=w).evaluate(X, Y, verbose=0)[0]
        for w in (None, 4.0)
    )
    penalty = float(sum(model_of(minisgd, loss="mse", regularizer="l2").losses))
    np.testing.assert_allclose(weighted - penalty, 4 * (plain - penalty), rtol=1e-5)


@pytest.mark.parametrize("loss_weights", [0.25, [0.25], [2]])
@pytest.mark.parametrize("direction", ["to keras", "from keras"])
def test_files_hold_it(keras, tmp_path, direction, loss_weights):
    source, target = (minisgd, keras) if direction == "to keras" else (keras, minisgd)
    model = model_of(source, loss="mse", loss_weights=loss_weights)
    model.save(tmp_path / "m.keras")
    other = target.models.load_model(tmp_path / "m.keras")
    config = other.get_compile_config()["loss_weights"]
    assert config == model.get_compile_config()["loss_weights"] == loss_weights
    for one in (model, other):
        one.fit(X, Y, shuffle=False, verbose=0)
    check_same(*(([np.array(w) for w in m.get_weights()], {}, ()) for m in (model, other)))


@pytest.mark.parametrize("loss_weights", [2, True, np.float32(2), np.array([2.0]), "a"])
def test_other_types_are_refused_alike(keras, loss_weights):
    for ns in (minisgd, keras):
        with pytest.raises(ValueError, match="Expected `loss_weights` argument to be a float"):
            model_of(ns, loss="mse", loss_weights=loss_weights)


@pytest.mark.parametrize("loss_weights", [[], {}, [1.0, 2.0], (1.0, [2.0])])
def test_another_number_of_weights_is_refused(keras, loss_weights):
    """By Keras in the first step, by minisgd in `compile`."""
    with pytest.raises(ValueError, match="`loss_weights` must match the number of losses, got 1"):
        model_of(minisgd, loss="mse", loss_weights=loss_weights)
    with pytest.raises(ValueError, match="`loss_weights` must match the number of losses, got 1"):
        trained(keras, loss="mse", loss_weights=loss_weights)


def test_what_is_no_number_is_refused(keras):
    with pytest.raises(ValueError, match="`loss_weights`: expected a number, received 'a'"):
        model_of(minisgd, loss="mse", loss_weights=["a"])
    with pytest.raises(ValueError):
        trained(keras, loss="mse", loss_weights=["a"])


def test_a_weight_without_a_loss_is_no_loss(keras):
    for ns in (minisgd, keras):
        with pytest.raises(ValueError, match="No loss to compute"):
            trained(ns, loss_weights=[2.0])
