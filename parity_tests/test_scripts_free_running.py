"""The three scripts from the seed alone, never reset."""

from __future__ import annotations

import numpy as np
import pytest

from minisgd.parity import free_running
from minisgd.parity.probe import Mode
from minisgd.parity.scripts import (
    BATCH_SIZE,
    SCRIPTS,
    keras_scheduler,
    load_data,
    numpy_scheduler,
    tensorflow_scheduler,
)
from minisgd.parity.sides import keras_side, minisgd_side


@pytest.mark.slow
@pytest.mark.run
@pytest.mark.parametrize("number", SCRIPTS)
def test_one_epoch_of_fit(number: int, mode: Mode) -> None:
    """Batch logs, History, weights, velocities, test accuracy and predictions after an epoch."""
    ledger = free_running.run(SCRIPTS[number], seed=42, bits=mode.bits)
    print(ledger)
    assert ledger.passed, str(ledger)
    assert ledger.summaries["batch log loss"].compared == 1875


def test_scheduled_rates_are_equal_over_ten_epochs() -> None:
    """Script 3 on 64 images: both sides log and keep the same float32 rates."""
    rates = []
    for side, scheduler in (
        (minisgd_side(), tensorflow_scheduler),
        (minisgd_side(), numpy_scheduler),
        (keras_side(), keras_scheduler),
    ):
        data = load_data(side.ns)
        model = SCRIPTS[3].start(side.ns, seed=0)
        history = model.fit(
            data.x_train[:64],
            data.y_train[:64],
            epochs=10,
            batch_size=BATCH_SIZE,
            verbose=0,
            callbacks=SCRIPTS[3].callbacks(side.ns, scheduler),
        )
        assert list(history.history) == ["accuracy", "loss", "learning_rate"]
        rates.append(history.history["learning_rate"])
    assert rates[0] == rates[2]
    assert rates[1] == rates[2]
    assert len(set(rates[0])) == 6


def test_the_three_schedulers_agree() -> None:
    """TensorFlow's expression, its float, and the NumPy form: one float32 value."""
    for lr in np.linspace(1e-4, 1.0, 50, dtype=np.float32).tolist():
        wanted = np.float32(keras_scheduler(5, lr))
        assert np.float32(np.asarray(tensorflow_scheduler(5, lr))) == wanted
        assert np.float32(numpy_scheduler(5, lr)) == wanted
