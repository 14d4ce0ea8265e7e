"""Rows F: arguments of fit, evaluate and predict outside of their meaning."""

import warnings

import numpy as np
import pytest

import minisgd as keras
from minisgd import layers
from minisgd.callbacks import Callback

NAN = float("nan")
EACH = dict.fromkeys(range(4), 1.0)


def linear(setting, optimizer, **arguments):
    """A model whose loss has no bound."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([layers.Input((20,)), layers.Dense(8), layers.Dense(4)])
    eager = setting.mode == "eager"
    model.compile(optimizer, "mse", run_eagerly=eager, jit_compile=not eager, **arguments)
    return model


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"batch_size": 0}, id="F-01"),
        pytest.param({"batch_size": -1}, id="F-02"),
        pytest.param({"batch_size": 2.5}, id="F-03"),
        pytest.param({"batch_size": "32"}, id="F-04"),
        pytest.param({"batch_size": True}, id="F-05"),
        pytest.param({"epochs": -1}, id="F-11"),
        pytest.param({"epochs": 1.5}, id="F-12"),
        pytest.param({"epochs": True}, id="epochs True"),
        pytest.param({"epochs": "2"}, id="epochs '2'"),
        pytest.param({"initial_epoch": -2}, id="F-15"),
        pytest.param({"initial_epoch": 0.5}, id="initial_epoch 0.5"),
        pytest.param({"validation_split": -0.1}, id="F-18"),
        pytest.param({"validation_split": NAN}, id="F-20"),
        pytest.param({"validation_split": 1.0}, id="split 1"),
        pytest.param({"validation_split": "0.1"}, id="split '0.1'"),
        pytest.param({"class_weight": EACH | {3: NAN}}, id="F-24"),
        pytest.param({"class_weight": dict.fromkeys(range(4), -1.0)}, id="F-25"),
        pytest.param({"class_weight": {"0": 1.0, "1": 2.0}}, id="F-26"),
        pytest.param({"class_weight": {0: "1"}}, id="class_weight a word"),
        pytest.param({"class_weight": {True: 2.0}}, id="class_weight for True"),
        pytest.param({"class_weight": {4: 2.0}}, id="class_weight of no class"),
        pytest.param({"class_weight": [1.0, 2.0]}, id="class_weight a list"),
        pytest.param({"shuffle": "yes"}, id="F-34"),
        pytest.param({"shuffle": 3}, id="shuffle 3"),
        pytest.param({"verbose": "loud"}, id="F-35"),
        pytest.param({"verbose": 7}, id="F-36"),
        pytest.param({"verbose": -1}, id="verbose -1"),
        pytest.param({"verbose": None}, id="verbose None"),
        pytest.param({"callbacks": 3}, id="callbacks 3"),
        pytest.param({"btach_size": 32}, id="F-38"),
        pytest.param({"steps_per_epoch": 0}, id="steps 0"),
        pytest.param({"steps_per_epoch": -1}, id="steps -1"),
        pytest.param({"steps_per_epoch": "3"}, id="steps '3'"),
        pytest.param({"steps_per_epoch": 2.5}, id="steps 2.5"),
        pytest.param({"reshuffle_each_epoch": "yes"}, id="reshuffle"),
        pytest.param({"validation_freq": 0, "validation_data": "own"}, id="F-39"),
        pytest.param({"validation_freq": "a", "validation_data": "own"}, id="freq 'a'"),
        pytest.param({"validation_freq": [0], "validation_data": "own"}, id="freq [0]"),
        pytest.param({"validation_freq": ["1"], "validation_data": "own"}, id="freq ['1']"),
        pytest.param({"validation_steps": 0, "validation_data": "own"}, id="val steps 0"),
        pytest.param({"validation_steps": "1", "validation_data": "own"}, id="val steps '1'"),
        pytest.param({"validation_batch_size": 0, "validation_data": "own"}, id="val batch 0"),
    ],
)
def test_wrong_arguments(setting, refused, arguments):
    name = next(iter(arguments))
    if arguments.get("validation_data") == "own":
        arguments = arguments | {"validation_data": (setting.x, setting.y)}
    text = refused(lambda m: setting.fit(m, **arguments), name)
    received = next(iter(arguments.values()))
    if isinstance(received, int | float | str) and name != "btach_size":
        assert repr(received) in text


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        pytest.param("evaluate", {"batch_size": 0}, id="F-45"),
        pytest.param("evaluate", {"batch_size": -1}, id="evaluate -1"),
        pytest.param("evaluate", {"batch_size": "a"}, id="evaluate 'a'"),
        pytest.param("evaluate", {"steps": 0}, id="evaluate steps 0"),
        pytest.param("evaluate", {"steps": "2"}, id="evaluate steps '2'"),
        pytest.param("evaluate", {"verbose": 7}, id="evaluate verbose"),
        pytest.param("predict", {"batch_size": 0}, id="predict 0"),
        pytest.param("predict", {"batch_size": True}, id="predict True"),
        pytest.param("predict", {"steps": 0}, id="predict steps 0"),
        pytest.param("predict", {"steps": 1.5}, id="predict steps 1.5"),
        pytest.param("predict", {"verbose": "loud"}, id="predict verbose"),
        pytest.param("predict", {"callbacks": [3]}, id="predict callbacks"),
    ],
)
def test_wrong_arguments_of_evaluate_and_predict(setting, refused, method, arguments):
    data = (setting.x, setting.y) if method == "evaluate" else (setting.x,)
    refused(lambda m: getattr(m, method)(*data, **{"verbose": 0, **arguments}), [*arguments][0])


@pytest.mark.parametrize(
    "arguments",
    [
        {"run_eagerly": "yes"},
        {"auto_scale_loss": 3},
        {"steps_per_execution": 0},
        {"check_numerics": "yes"},
        {"numerics": "avx513"},
    ],
    ids=lambda a: next(iter(a)),
)
def test_wrong_arguments_of_compile(setting, arguments):
    with pytest.raises((ValueError, TypeError), match=next(iter(arguments))):
        setting.model(**arguments)


@pytest.mark.parametrize("size", [97, 10**9, 2**62, 10**30])
def test_a_batch_size_beyond_the_data_is_all_of_them(both, size):
    weights, losses = both.fit(batch_size=size)
    all_of_them, expected = both.fit(batch_size=96)
    assert losses == expected
    assert all(map(np.array_equal, weights, all_of_them))
    assert both.model().predict(both.x, batch_size=size, verbose=0).shape == (96, 4)


def test_f_10_no_epochs(setting):
    model = setting.model()
    before = model.get_weights()
    assert setting.fit(model, epochs=0)[1] is None
    assert all(map(np.array_equal, before, model.get_weights()))


def test_f_14_nothing_to_train(setting, warned):
    model = setting.model()
    before = model.get_weights()
    warned(
        lambda: setting.fit(model, initial_epoch=5, epochs=3),
        "`initial_epoch`",
        "5",
        "3",
        "nothing",
    )
    assert all(map(np.array_equal, before, model.get_weights()))


def test_f_30_negative_sample_weights(setting, warned):
    weights = np.ones(96, np.float32)
    weights[7] = -1
    warned(lambda: setting.fit(sample_weight=weights), "`sample_weight`[7] is -1", "climb")
    model = setting.model(check_numerics=True)
    with pytest.raises(ValueError, match="`sample_weight`"):
        setting.fit(model, sample_weight=weights)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_sample_weights_that_are_no_numbers(setting, warned, value):
    weights = np.ones(96)
    weights[7] = float(value)
    warned(lambda: setting.fit(sample_weight=weights), f"`sample_weight`[7] is {value}")


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_f_41_before_compile(setting, method):
    model = keras.Sequential([layers.Dense(4)])
    with pytest.raises(ValueError, match=r"You must call `compile\(\)` before using the model"):
        getattr(model, method)(setting.x, setting.y)
    assert not model.built


@pytest.mark.parametrize("batch_size", [1, 32, 96])
def test_f_43_predictions_from_nan_are_nan(both, batch_size):
    """In the rows of the NaN, and nowhere else."""
    x, model = both.x.copy(), both.model()
    clean = model.predict(x, batch_size=batch_size, verbose=0)
    x[5, 10] = x[95, 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p = model.predict(x, batch_size=batch_size, verbose=0)
    assert np.isnan(p[[5, 95]]).all()
    others = np.delete(np.arange(96), [5, 95])
    assert p[others].tobytes() == clean[others].tobytes()


def test_f_43_nan_does_not_hide_behind_zeros(both, warned):
    """Skipped zeros, and weights of zero, would hide it: 0 * nan is nan."""
    x, model = both.x.copy(), both.model()
    x[x < 0.7] = 0
    x[5, 10] = np.nan
    for w in model.weights:
        w.assign(np.zeros(w.shape, np.float32))
    p = warned(lambda: model.predict(x, verbose=0), "`x`[5, 10]")
    assert np.isnan(p[5]).all()
    assert np.isfinite(np.delete(p, 5, 0)).all()


def test_f_44_predict_on_nothing(setting, refused):
    refused(lambda m: m.predict(setting.x[:0], verbose=0), "`x`: expected at least one sample")
    refused(lambda m: m.predict_on_batch(setting.x[:0]), "`x`: expected at least one sample")


def test_f_48_the_caller_changes_x_during_fit(both):
    """What a callback writes into x is seen from the next batch on, the same in every run."""

    def run():
        x = both.x.copy()

        class Writes(Callback):
            def on_train_batch_end(self, batch, logs=None):
                if batch == 0:
                    x[:] = 0

        return both.fit(x=x, callbacks=[Writes()], epochs=1, shuffle=False)

    first, second = run(), run()
    assert first[1] == second[1]
    assert all(map(np.array_equal, first[0], second[0]))
    x = both.x.copy()
    x[32:] = 0
    assert both.fit(x=x, epochs=1, shuffle=False)[1] == first[1]


def test_a_run_that_diverges_is_named_once(both, warned):
    model = linear(both, keras.optimizers.SGD(1e6))
    _, losses = warned(lambda: both.fit(model, epochs=40), "loss", "batch", "epoch")
    assert not np.isfinite(losses[-1])


def test_weights_that_become_infinite_in_the_last_step(setting, warned):
    model = linear(setting, keras.optimizers.SGD(3e38))
    warned(lambda: setting.fit(model, epochs=1, batch_size=96, x=setting.x * 100), "kernel")


def test_weights_that_are_nan_before(setting, warned):
    model = setting.model()
    values = model.get_weights()
    values[2][1, 3] = np.nan
    model.set_weights(values)
    warned(lambda: model.predict(setting.x, verbose=0), "kernel`[1, 3] is nan")
    strict = setting.model(check_numerics=True)
    strict.set_weights(values)
    with pytest.raises(ValueError, match="kernel"):
        setting.fit(strict)


def test_check_numerics_changes_no_bit(both):
    clean, losses = both.fit(epochs=3)
    checked, checked_losses = both.fit(both.model(check_numerics=True), epochs=3)
    assert losses == checked_losses
    assert all(a.tobytes() == b.tobytes() for a, b in zip(clean, checked, strict=True))


def test_check_numerics_puts_the_optimizer_back_too(both):
    model = linear(both, keras.optimizers.SGD(1e6, momentum=0.9), check_numerics=True)
    with pytest.raises(ValueError, match="loss"):
        both.fit(model, epochs=40)
    assert all(np.isfinite(v.numpy()).all() for v in (*model.weights, *model.optimizer.variables))


def test_callers_arrays_are_left_alone(both):
    x, y, w = both.x.copy(), both.y.copy(), np.ones(96, np.float32)
    for array in (x, y, w):
        array.flags.writeable = False
    model = both.model()
    both.fit(model, x, y, sample_weight=w, validation_data=(x, y, w))
    model.evaluate(x, y, sample_weight=w, verbose=0)
    model.train_on_batch(x, y, sample_weight=w)
    np.testing.assert_array_equal(x, both.x)
    np.testing.assert_array_equal(y, both.y)
    assert (w == 1).all()


def test_counters_are_exact_after_2_to_the_24_samples():
    from minisgd.metrics import BinaryAccuracy, Mean

    accuracy, mean = BinaryAccuracy(), Mean()
    accuracy.add(2**24, 2**24)
    accuracy.add(0, 2**24 - 1)
    assert float(accuracy.result()) == np.float32(2**24) / np.float32(2**25 - 1)
    accuracy.add(1, 1)
    assert accuracy._right == 2**24 + 1
    mean.update_state(1.0, sample_weight=2**24)
    for _ in range(3):
        mean.update_state(0.0, sample_weight=1)
    mean.update_state(1.0, sample_weight=2**24 - 3)
    assert float(mean.result()) == np.float32((2**25 - 3) / 2**25)
