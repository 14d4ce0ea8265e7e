"""Learning-rate schedules against live Keras inside a tf.function: equal in every bit."""

from __future__ import annotations

import numpy as np
import pytest

from minisgd.parity.compare import first_difference
from minisgd.parity.sides import keras_side, minisgd_side

pytestmark = pytest.mark.optimizer

LARGE = [1234, 4096, 10**4, 123_456, 10**6, 7_654_321, 2**24 + 1, 10**8, 2**31, 10**12]
STEPS = [*range(1000), *LARGE]

CASES = [
    ("ExponentialDecay", (0.1, 37, 0.96), {}),
    ("ExponentialDecay", (0.01, 1000, 0.9), {}),
    ("ExponentialDecay", (0.05, 7, 0.5), {}),  # down into the denormal numbers
    ("ExponentialDecay", (0.1, 100, 0.96), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 37, 0.96), {}),
    ("InverseTimeDecay", (0.01, 1000, 0.5), {}),
    ("InverseTimeDecay", (0.05, 7, 1.7), {"staircase": True}),
    ("PiecewiseConstantDecay", ([100], [0.1, 0.01]), {}),
    ("PiecewiseConstantDecay", ([3, 500, 10**6], [0.1, 0.05, 0.01, 0.3]), {}),
    ("PolynomialDecay", (0.1, 700), {}),
    ("PolynomialDecay", (0.1, 700, 0.001, 0.5), {}),
    ("PolynomialDecay", (0.1, 700, 0.001, 2.0), {}),
    ("PolynomialDecay", (0.1, 700, 0.0, 3.0), {}),
    ("PolynomialDecay", (0.1, 700, 0.001, 3.0), {"cycle": True}),
    ("PolynomialDecay", (0.1, 37, 0.003, 0.7), {"cycle": True}),
    ("PolynomialDecay", (0.1, 123, 0.2, 4.0), {}),
    ("PolynomialDecay", (0.1, 123, 0.01, 0.0), {}),
    ("CosineDecay", (0.1, 37), {}),
    ("CosineDecay", (0.1, 700, 0.1), {}),
    ("CosineDecay", (0.05, 999, 0.01), {}),
    ("CosineDecay", (0.01, 700, 0.1), {"warmup_target": 0.1, "warmup_steps": 50}),
    ("CosineDecay", (0.0, 333), {"warmup_target": 0.3, "warmup_steps": 77}),
    ("CosineDecayRestarts", (0.1, 37), {}),
    ("CosineDecayRestarts", (0.1, 100, 1.5, 0.9, 0.1), {}),
    ("CosineDecayRestarts", (0.1, 100, 1.5, 0.9), {}),
    ("CosineDecayRestarts", (0.1, 60, 1.0, 0.8, 0.01), {}),
    ("CosineDecayRestarts", (0.1, 60, 1.0, 0.8), {}),
    ("CosineDecayRestarts", (0.1, 60, 3.0, 2.0, 0.01), {}),
]


@pytest.mark.parametrize(("name", "arguments", "options"), CASES, ids=str)
def test_every_step(name, arguments, options):
    """1,000 steps from 0 on, and large ones."""
    ours = getattr(minisgd_side().ns.optimizers.schedules, name)(*arguments, **options)
    side = keras_side()
    theirs = getattr(side.ns.optimizers.schedules, name)(*arguments, **options)
    step = side.ns.Variable(0, dtype="int64")
    # One call a step inside, as the optimizer has it.
    compiled = side.compiled(lambda: theirs(step))
    expected = []
    for t in STEPS:
        step.assign(t)
        expected.append(np.asarray(compiled()))
    received = [np.asarray(ours(t)) for t in STEPS]
    difference = first_difference(name, np.array(received), np.array(expected))
    assert difference is None, f"step {STEPS[difference.index[0]]}: {difference}"


@pytest.mark.parametrize(
    ("name", "arguments", "phrase"),
    [
        ("ExponentialDecay", (0.1, 0, 0.9), "Argument `decay_steps` must be > 0. Received:"),
        ("InverseTimeDecay", (0.1, -3, 0.9), "Argument `decay_steps` must be > 0. Received:"),
        ("PolynomialDecay", (0.1, 0), "Argument `decay_steps` must be > 0. Received:"),
        ("CosineDecay", (0.1, 0), "Argument `decay_steps` must be > 0. Received:"),
        ("CosineDecayRestarts", (0.1, 0), "Argument `first_decay_steps` must be > 0. Received:"),
        ("PiecewiseConstantDecay", ([1, 2], [0.1, 0.2]), "should be 1 less than the length of"),
    ],
)
def test_errors_have_the_same_type_and_key_phrase(name, arguments, phrase):
    for side in (minisgd_side(), keras_side()):
        with pytest.raises(ValueError) as raised:
            getattr(side.ns.optimizers.schedules, name)(*arguments)
        assert phrase in str(raised.value)


def test_the_base_class():
    for side in (minisgd_side(), keras_side()):
        base = side.ns.optimizers.schedules.LearningRateSchedule()
        with pytest.raises(NotImplementedError, match="must override `__call__"):
            base(0)
        with pytest.raises(NotImplementedError, match="must override `get_config"):
            base.get_config()
