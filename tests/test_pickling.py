"""Copies of a model, by pickle and deepcopy: equal predictions, and equal bits from there on."""

import copy
import pickle

import numpy as np
import pytest

import minisgd as keras

COPIES = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "deepcopy": copy.deepcopy,
}


def example(**options):
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.layers.Input((6,)),
            keras.layers.Dense(8, "relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    sgd = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True)
    model.compile(sgd, "categorical_crossentropy", metrics=["accuracy"], **options)
    return model


X = np.random.default_rng(0).random((40, 6), np.float32)
Y = np.eye(3, dtype=np.float32)[np.arange(40) % 3]


def fit(model, epochs=2):
    return model.fit(X, Y, epochs=epochs, verbose=0).history


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("options", [{}, {"jit_compile": True}, {"numerics": "eigen"}], ids=str)
def test_a_copy_predicts_the_same_and_goes_on_to_the_same_bits(duplicate, trained, options, capsys):
    model = example(**options)
    if trained:
        fit(model)
    said = capsys.readouterr().out
    other = duplicate(model)
    assert other.numerics is model.numerics
    weights = [w.copy() for w in model.get_weights()]
    np.testing.assert_array_equal(model.predict(X, verbose=0), other.predict(X, verbose=0))
    other_history = fit(other)
    for kept, present in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, present)  # the copy's training is its own
    assert fit(model) == other_history
    state = [*model.weights, *model.optimizer.variables]
    for ours, theirs in zip(state, [*other.weights, *other.optimizer.variables], strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    if options == {"jit_compile": True}:
        assert capsys.readouterr().out == said == "", "the copy does not run compiled steps"


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_a_copy_of_a_model_that_is_not_built(duplicate):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.layers.Dense(2)])
    other = duplicate(model)
    a, b = (one(np.ones((1, 3), np.float32)).numpy() for one in (model, other))
    np.testing.assert_array_equal(a, b)


def test_what_no_pickle_can_hold_is_refused():
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, lambda x: x)])
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(model)
