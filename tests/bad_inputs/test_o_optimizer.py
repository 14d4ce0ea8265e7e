"""Rows O: optimizers, schedules and what compile is given."""

import numpy as np
import pytest

import minisgd as keras
from minisgd.callbacks import LearningRateScheduler
from minisgd.optimizers import SGD, schedules

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"learning_rate": -0.1}, id="O-01"),
        pytest.param({"learning_rate": NAN}, id="O-02"),
        pytest.param({"learning_rate": INF}, id="O-03"),
        pytest.param({"learning_rate": None}, id="O-06"),
        pytest.param({"learning_rate": "0.1"}, id="rate '0.1'"),
        pytest.param({"learning_rate": True}, id="rate True"),
        pytest.param({"learning_rate": 1e39}, id="rate 1e39"),
        pytest.param({"momentum": 1.5}, id="O-10"),
        pytest.param({"momentum": -0.1}, id="momentum -0.1"),
        pytest.param({"momentum": NAN}, id="O-12"),
        pytest.param({"momentum": 1}, id="O-14"),
        pytest.param({"momentum": True}, id="momentum True"),
        pytest.param({"momentum": "0.9"}, id="momentum '0.9'"),
        pytest.param({"nesterov": "yes", "momentum": 0.9}, id="O-16"),
        pytest.param({"clipnorm": 0.0}, id="O-18"),
        pytest.param({"clipnorm": NAN}, id="O-19"),
        pytest.param({"clipnorm": -1.0}, id="clipnorm -1"),
        pytest.param({"clipnorm": "1"}, id="clipnorm '1'"),
        pytest.param({"clipvalue": 0.0}, id="clipvalue 0"),
        pytest.param({"clipvalue": INF}, id="clipvalue inf"),
        pytest.param({"global_clipnorm": 0}, id="global_clipnorm 0"),
        pytest.param({"global_clipnorm": True}, id="global_clipnorm True"),
        pytest.param({"weight_decay": -0.1}, id="O-23"),
        pytest.param({"weight_decay": NAN}, id="O-24"),
        pytest.param({"weight_decay": "0.1"}, id="decay '0.1'"),
        pytest.param({"use_ema": "yes"}, id="use_ema"),
        pytest.param({"use_ema": True, "ema_momentum": 1.5}, id="ema_momentum"),
        pytest.param({"ema_overwrite_frequency": 0, "use_ema": True}, id="O-26"),
        pytest.param({"ema_overwrite_frequency": 1.5, "use_ema": True}, id="ema frequency 1.5"),
        pytest.param({"gradient_accumulation_steps": 0}, id="O-27"),
        pytest.param({"gradient_accumulation_steps": 2.0}, id="accumulation 2.0"),
        pytest.param({"loss_scale_factor": 0}, id="loss scale 0"),
        pytest.param({"loss_scale_factor": NAN}, id="loss scale nan"),
    ],
)
def test_wrong_arguments(arguments):
    named = "ema_momentum" if "ema_momentum" in arguments else next(iter(arguments))
    with pytest.raises((ValueError, TypeError), match=f"`{named}`") as raised:
        SGD(**arguments)
    value = arguments[named]
    assert repr(value) in str(raised.value) or str(value) in str(raised.value)


def test_o_05_a_rate_of_zero(both):
    model = both.model(optimizer=SGD(0.0))
    before = model.get_weights()
    weights, losses = both.fit(model)
    assert all(map(np.array_equal, before, weights))
    assert losses[0] == losses[1]


def test_o_15_nesterov_without_momentum(both):
    results = []
    for nesterov in (True, False):
        optimizer = SGD(0.1, momentum=0.0, nesterov=nesterov)
        results.append(both.fit(both.model(optimizer=optimizer))[0])
    assert all(map(np.array_equal, *results))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        pytest.param(
            lambda: schedules.ExponentialDecay(0.1, decay_steps=0, decay_rate=0.9),
            "`decay_steps` must be > 0. Received: decay_steps=0",
            id="O-29",
        ),
        pytest.param(
            lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2]),
            "length of boundaries should be 1 less than the length of values",
            id="O-31",
        ),
        pytest.param(
            lambda: schedules.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]),
            "boundaries",
            id="O-32",
        ),
        pytest.param(
            lambda: schedules.ExponentialDecay(NAN, 10, 0.9), "initial_learning_rate", id="nan"
        ),
        pytest.param(
            lambda: schedules.CosineDecay(0.1, decay_steps=-1), "decay_steps", id="cosine -1"
        ),
        pytest.param(
            lambda: schedules.PolynomialDecay(0.1, decay_steps=0), "decay_steps", id="polynomial 0"
        ),
        pytest.param(
            lambda: schedules.InverseTimeDecay(0.1, 0, 0.5), "decay_steps", id="inverse time 0"
        ),
        pytest.param(
            lambda: schedules.ExponentialDecay(0.1, 9, 0.9, staircase="yes"), "staircase", id="flag"
        ),
        pytest.param(lambda: schedules.PolynomialDecay(0.1, 9, cycle=1), "cycle", id="cycle 1"),
        pytest.param(
            lambda: schedules.CosineDecayRestarts(0.1, 0), "first_decay_steps", id="restarts 0"
        ),
    ],
)
def test_wrong_schedules(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize("value", [None, "0.1", np.ones(2), NAN, -1.0])
def test_a_rate_that_a_function_returns_or_that_is_set(setting, refused, value):
    model = setting.model(optimizer=SGD(lambda: value))
    refused(lambda m: setting.fit(m), "`learning_rate`.*received", model=model)
    optimizer = SGD(0.5)
    with pytest.raises(ValueError, match="`learning_rate`.*received"):
        optimizer.learning_rate = value
    assert float(optimizer.learning_rate) == 0.5


class Wild(schedules.LearningRateSchedule):
    """NaN from the third step on."""

    def __call__(self, step):
        return 0.1 if int(step) < 2 else NAN

    def get_config(self):
        return {}


def test_o_33_a_schedule_that_returns_nan(both):
    model = both.model(optimizer=SGD(Wild()))
    with pytest.raises(ValueError, match="Wild.*nan") as raised:
        both.fit(model)
    assert "2" in str(raised.value)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="O-36"),
        pytest.param(NAN, id="O-37"),
        pytest.param(-1.0, id="O-38"),
        pytest.param("0.1", id="a word"),
        pytest.param(INF, id="infinity"),
        pytest.param(True, id="a bool"),
    ],
)
def test_what_a_scheduler_returns(setting, refused, value):
    callback = LearningRateScheduler(lambda epoch, lr: value)
    refused(lambda m: setting.fit(m, callbacks=[callback]), "schedule|learning rate")


def test_o_40_one_optimizer_for_two_models(setting, refused):
    optimizer = SGD(0.1, momentum=0.9)
    setting.fit(setting.model(optimizer=optimizer))
    second = setting.model(optimizer=optimizer)
    before = optimizer.variables[-1].numpy().copy()
    refused(lambda m: setting.fit(m), "Unknown variable", model=second)
    np.testing.assert_array_equal(before, optimizer.variables[-1].numpy())


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        pytest.param(
            {"loss": "categorical_crossentropyy"},
            "Could not interpret loss identifier.*categorical_crossentropy",
            id="O-42",
        ),
        pytest.param(
            {"metrics": ["acuracy"]},
            "Could not interpret metric identifier.*Did you mean 'accuracy'",
            id="O-43",
        ),
        pytest.param({"jit_compile": "maybe"}, "`jit_compile`.*'maybe'", id="O-45"),
        pytest.param({"optimizer": "sdg"}, "Did you mean 'sgd'", id="optimizer"),
        pytest.param({"optimizer": 3}, "optimizer", id="optimizer 3"),
        pytest.param({"loss": 3}, "loss", id="loss 3"),
        pytest.param({"metrics": [3]}, "metric", id="metric 3"),
    ],
)
def test_wrong_arguments_of_compile(setting, arguments, match):
    with pytest.raises((ValueError, TypeError), match=match):
        setting.model(**arguments)


def test_a_refused_compile_changes_nothing(setting):
    model = setting.model()
    optimizer = model.optimizer
    with pytest.raises(ValueError, match="loss"):
        model.compile(keras.optimizers.SGD(0.5), "nonsense")
    assert model.optimizer is optimizer
