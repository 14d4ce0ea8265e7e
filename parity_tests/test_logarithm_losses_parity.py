"""Losses through a logarithm: Keras's bits, but for the reciprocal that the processor estimates.

The slope of a logarithm is a reciprocal. TensorFlow's is an estimate of the processor's and one
Newton step, so its last bit belongs to the machine; minisgd divides. Here minisgd is given
TensorFlow's reciprocals for its own. Everything else must then be equal, to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from beside_keras import check_same

from minisgd.ops import elementwise
from minisgd.parity import tolerances
from minisgd.parity.compare import compare
from minisgd.parity.probe import measured_mode
from minisgd.parity.sides import Side, keras_side, minisgd_side
from minisgd.primitive import defop

pytestmark = pytest.mark.layers

RNG = np.random.default_rng(5)
X = RNG.standard_normal((56, 8)).astype(np.float32)
NUMBERS = RNG.standard_normal((56, 4)).astype(np.float32)
CLASSES = RNG.integers(0, 4, 56)
LABELS = {
    "positive": np.abs(NUMBERS),
    "bits": (NUMBERS > 0).astype(np.float32),
    "classes": CLASSES,
    "one-hot": np.eye(4, dtype=np.float32)[CLASSES],
    "distributions": (np.exp(NUMBERS) / np.exp(NUMBERS).sum(-1, keepdims=True)).astype(np.float32),
}
WEIGHT = RNG.random(56, np.float32) + np.float32(0.1)

# Loss, its settings, labels, activation of the last layer.
CASES: dict[str, tuple[str, dict[str, Any], str, str | None]] = {
    "logarithmic error": ("MeanSquaredLogarithmicError", {}, "positive", "softplus"),
    "divergence": ("KLDivergence", {}, "distributions", "softmax"),
    "poisson": ("Poisson", {}, "positive", "softplus"),
    "binary, sigmoid": ("BinaryCrossentropy", {}, "bits", "sigmoid"),
    "binary, smoothed": ("BinaryCrossentropy", {"label_smoothing": 0.1}, "bits", "sigmoid"),
    "binary, logits": ("BinaryCrossentropy", {"from_logits": True}, "bits", None),
    "binary, probabilities": ("BinaryCrossentropy", {}, "bits", "hard_sigmoid"),
    "focal, sigmoid": ("BinaryFocalCrossentropy", {}, "bits", "sigmoid"),
    "focal, logits": ("BinaryFocalCrossentropy", {"from_logits": True}, "bits", None),
    "focal, probabilities": ("BinaryFocalCrossentropy", {}, "bits", "hard_sigmoid"),
    "focal, classes": ("CategoricalFocalCrossentropy", {}, "one-hot", "softmax"),
    "categorical, probabilities": ("CategoricalCrossentropy", {}, "one-hot", "softplus"),
    "sparse, probabilities": ("SparseCategoricalCrossentropy", {}, "classes", "softplus"),
}
ANOTHER_POWER = "focal, another power"  # in a graph not followed
CASES[ANOTHER_POWER] = ("BinaryFocalCrossentropy", {"gamma": 1.5}, "bits", "sigmoid")


@pytest.fixture
def estimated(monkeypatch):
    """TensorFlow's reciprocal in the place of minisgd's."""
    import tensorflow as tf

    own = elementwise._reciprocal
    theirs = defop("reciprocal", lambda x: tf.math.reciprocal(x).numpy(), own.vjps[0])
    monkeypatch.setattr(elementwise, "_reciprocal", theirs)


@pytest.fixture
def inexact_power(monkeypatch):
    """TensorFlow's pow, which is off by a unit, for minisgd's; a graph has squares in its place."""
    import tensorflow as tf

    theirs = defop("power", lambda x, y: tf.pow(x, y).numpy(), *elementwise._power.vjps)
    monkeypatch.setattr(elementwise, "_power", theirs)


def trained(side: Side, case: str, weighted: bool, **options: Any) -> Any:
    """Weights and losses of a few steps, in batches that fill whole packets.

    With weights TensorFlow knows the length of a batch, without them it doesn't.
    """
    name, settings, labels, activation = CASES[case]
    side.ns.utils.set_random_seed(2)
    layers = side.ns.layers
    dense = [layers.Dense(6, "relu"), layers.Dense(4, activation)]
    model = side.ns.Sequential([layers.Input((8,)), *dense])
    if side.name == "keras":
        options.pop("jit_compile", None)
    loss = getattr(side.ns.losses, name)(**settings)
    model.compile(side.ns.optimizers.SGD(0.1, momentum=0.9), loss, **options)
    samples, batch_size = (48, 12) if weighted else (56, 24)
    arguments = {"sample_weight": WEIGHT[:samples]} if weighted else {}
    history = model.fit(
        X[:samples], LABELS[labels][:samples], batch_size, epochs=2, verbose=0, **arguments
    )
    return [np.array(w) for w in model.get_weights()], history.history, ()


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("case", [name for name in CASES if name != ANOTHER_POWER])
def test_all_but_the_reciprocal_is_equal(estimated, case, weighted):
    """In the graph of `fit`; the step is not compiled, which would not look at the fixture."""
    sides = minisgd_side(), keras_side()
    check_same(*(trained(side, case, weighted, jit_compile=False) for side in sides))


@pytest.mark.parametrize("case", ["binary, sigmoid", "divergence", "poisson"])
def test_with_a_loss_weight(estimated, case):
    arguments = {"loss_weights": [0.3], "jit_compile": False}
    check_same(
        *(trained(side, case, False, **arguments) for side in (minisgd_side(), keras_side()))
    )


@pytest.mark.parametrize("case", CASES)
def test_eager_steps(estimated, inexact_power, case):
    sides = minisgd_side(), keras_side()
    check_same(*(trained(side, case, True, run_eagerly=True) for side in sides))


@pytest.mark.parametrize("case", [name for name in CASES if "probabilities" in name])
def test_with_the_exact_reciprocal_weights_are_near(case):
    """What `fit` really gives; the other losses stand in ``test_all_losses_parity.py``."""
    ours, theirs = (trained(side, case, True) for side in (minisgd_side(), keras_side()))
    bits = measured_mode().bits
    bound = tolerances.LOGARITHM_RUN if bits else tolerances.SHORT_RUN_WEIGHTS
    flat = [np.concatenate([w.ravel() for w in side[0]]) for side in (ours, theirs)]
    measured = bound.measured(compare(case, *flat))
    assert bound.holds(measured), (measured, str(bound))


def test_how_far_the_reciprocals_part():
    """TensorFlow's, from the rightly rounded ones; those that fill no packet are these."""
    import tensorflow as tf

    x = (2.0 ** RNG.uniform(-20, 20, 80_003)).astype(np.float32)
    theirs, exact = tf.math.reciprocal(x).numpy(), np.float32(1) / x
    np.testing.assert_array_equal(theirs[-3:], exact[-3:])
    bound = tolerances.RECIPROCAL
    assert bound.holds(bound.measured(compare("reciprocal", exact, theirs))), str(bound)
