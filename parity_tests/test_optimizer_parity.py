"""SGD with all its options against live Keras, on the same gradients: equal in every bit."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from minisgd.parity import sgd_cases
from minisgd.parity.compare import first_difference
from minisgd.parity.sides import keras_side, minisgd_side

pytestmark = pytest.mark.optimizer


@pytest.fixture(scope="module")
def gradients():
    return sgd_cases.gradients()


def assert_equal_runs(case, gradients):
    ours = sgd_cases.run(minisgd_side(), case, gradients)
    theirs = sgd_cases.run(keras_side(), case, gradients)
    found = sgd_cases.first_divergence(ours, theirs)
    assert found is None, f"SGD({case}): {found}"


@pytest.mark.parametrize("case", sgd_cases.pairwise(), ids=str)
def test_pairs_of_options(case, gradients):
    """Weights, velocities, averages and accumulators, each of 20 steps."""
    assert_equal_runs(case, gradients)


def test_pairs_are_covered():
    """Every two values of two options meet, in far fewer cases than the product has."""
    cases = sgd_cases.pairwise()
    sizes = [len(values) for values in sgd_cases.OPTIONS.values()]
    met = {pair for case in cases for pair in sgd_cases._pairs(case.choice)}
    total = sum(sizes)
    assert len(met) == (total * total - sum(n * n for n in sizes)) // 2
    assert len(cases) < 60 < len(list(sgd_cases.product()))


@pytest.mark.parametrize(
    "schedule",
    [
        ("CosineDecay", 0.1, 13, 0.1),
        ("CosineDecay", 0.1, 13),
        ("CosineDecayRestarts", 0.1, 5, 1.0, 0.8),
        ("PolynomialDecay", 0.3, 15, 0.0, 3.0),
        ("PolynomialDecay", 0.3, 15, 0.0, 0.7),
    ],
    ids=str,
)
def test_a_constant_meets_the_schedule(schedule, gradients, monkeypatch):
    """Weight decay times a schedule that is a product: the constants are multiplied first."""
    options = {"all": ({"learning_rate": schedule, "momentum": 0.9, "weight_decay": 0.004},)}
    monkeypatch.setattr(sgd_cases, "OPTIONS", options)
    assert_equal_runs(sgd_cases.Case((0,)), gradients)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"momentum": 0.9},
        {"use_ema": True},
        {"gradient_accumulation_steps": 2},
        {"momentum": 0.9, "use_ema": True, "gradient_accumulation_steps": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("scheduled", (False, True))
def test_names_shapes_dtypes_and_order_of_the_state(arguments, scheduled):
    found = []
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.clear_session(free_memory=False)
        layers, optimizers = side.ns.layers, side.ns.optimizers
        model = side.ns.Sequential([layers.Input((3,)), layers.Dense(4), layers.Dense(2)])
        rate = optimizers.schedules.ExponentialDecay(0.1, 10, 0.9) if scheduled else 0.01
        sgd = optimizers.SGD(rate, **arguments)
        sgd.build(model.trainable_variables)
        found.append([(v.path, v.name, tuple(v.shape), str(v.dtype)) for v in sgd.variables])
    assert found[0] == found[1]


CONFIGURATIONS = [
    lambda o: o.SGD(),
    lambda o: o.SGD(0.1, 0.9, True, 0.01, clipnorm=1.0, name="mine"),
    lambda o: o.SGD(use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3, clipvalue=0.5),
    lambda o: o.SGD(global_clipnorm=2.0, loss_scale_factor=8.0, gradient_accumulation_steps=4),
    lambda o: o.SGD(o.schedules.ExponentialDecay(0.1, 10, 0.9, True)),
    lambda o: o.SGD(o.schedules.InverseTimeDecay(0.1, 10, 0.9)),
    lambda o: o.SGD(o.schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2, 0.3])),
    lambda o: o.SGD(o.schedules.PolynomialDecay(0.1, 10, cycle=True)),
    lambda o: o.SGD(o.schedules.CosineDecay(0.1, 10, warmup_target=0.3, warmup_steps=4)),
    lambda o: o.SGD(o.schedules.CosineDecayRestarts(0.1, 10, 1.5, 0.9, 0.1)),
]


@pytest.mark.parametrize("make", CONFIGURATIONS)
def test_serialized_forms(make):
    """The same JSON, which either package reads."""
    forms = []
    for side in (minisgd_side(), keras_side()):
        side.ns.utils.clear_session(free_memory=False)
        forms.append(side.ns.optimizers.serialize(make(side.ns.optimizers)))
    assert json.dumps(forms[0]) == json.dumps(forms[1])
    for side in (minisgd_side(), keras_side()):
        for form in forms:
            again = side.ns.optimizers.deserialize(json.loads(json.dumps(form)))
            assert json.dumps(side.ns.optimizers.serialize(again)) == json.dumps(forms[0])


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        ({"learning_rate": 1}, "Argument `learning_rate` should be float"),
        ({"learning_rate": None}, "or an instance of LearningRateSchedule, or a callable"),
        ({"momentum": 1.5}, "`momentum` must be a float between [0, 1]."),
        ({"clipnorm": 1.0, "clipvalue": 1.0}, "Only one of `clipnorm`, `clipvalue` and"),
        ({"gradient_accumulation_steps": 1}, "`gradient_accumulation_steps` must be an integer >="),
        ({"use_ema": True, "ema_momentum": 1.5}, "`ema_momentum` must be in the range [0, 1]"),
        (
            {"use_ema": True, "ema_overwrite_frequency": 1.5},
            "`ema_overwrite_frequency` must be an integer >= 1 or None. Received:",
        ),
        ({"lr": 0.1}, "Argument(s) not recognized: {'lr': 0.1}"),
    ],
    ids=str,
)
def test_errors_have_the_same_type_and_key_phrase(arguments, phrase):
    for side in (minisgd_side(), keras_side()):
        with pytest.raises(ValueError) as raised:
            side.ns.optimizers.SGD(**arguments)
        assert phrase in str(raised.value)


def test_a_schedule_cannot_be_set_to_a_number():
    for side in (minisgd_side(), keras_side()):
        schedules = side.ns.optimizers.schedules
        sgd = side.ns.optimizers.SGD(schedules.ExponentialDecay(0.1, 10, 0.9))
        with pytest.raises(TypeError, match="hence its learning rate is not settable"):
            sgd.learning_rate = 0.5
        sgd = side.ns.optimizers.SGD(0.5)
        sgd.learning_rate = schedules.ExponentialDecay(0.1, 10, 0.9)
        assert [v.name for v in sgd.variables] == ["iteration"]
        with pytest.raises(ValueError, match="has not yet been built"):
            sgd.set_weights([np.int64(3)])


def test_missing_gradients_and_excluded_variables(gradients):
    """A variable without a gradient stays, and its average is kept; "bias" does not decay."""
    found = []
    for side in (minisgd_side(), keras_side()):
        variables = [
            side.ns.Variable(value, name=name)
            for value, name in zip(sgd_cases.weights(), ("kernel", "bias", "k2", "b2"), strict=True)
        ]
        sgd = side.ns.optimizers.SGD(0.1, weight_decay=0.1, use_ema=True)
        sgd.exclude_from_weight_decay(var_list=[variables[2]], var_names=["bias"])
        step = without_last(side, sgd, variables)
        states = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for arrays in gradients[:4]:
                step(*(side.tensor(array) for array in arrays[:3]))
                states += [np.array(v.numpy()) for v in (*variables, *sgd.variables)]
        found.append(states)
    for mine, reference in zip(*found, strict=True):
        difference = first_difference("state", mine, reference)
        assert difference is None, str(difference)


def without_last(side, sgd, variables):
    """A function of the gradients of all variables but the last."""
    return side.compiled(lambda *grads: sgd.apply([*grads, None], variables) or 0)


@pytest.mark.parametrize(
    "arguments", [{"momentum": 0.5}, {"clipvalue": 0.5}, {"use_ema": True}, {"clipnorm": 0.5}]
)
def test_denormal_numbers_are_flushed(arguments):
    """Velocities and gradients below 1.2e-38 are zero."""
    tiny = np.array([1e-39, 2e-38, -1.3e-38, 3e-38], np.float32)
    found = []
    for side in (minisgd_side(), keras_side()):
        w = side.ns.Variable(tiny, name="w")
        step, sgd = compiled_step(side, [w], arguments)
        for _ in range(3):
            step(side.tensor(tiny))
        found.append([np.array(v.numpy()) for v in (w, *sgd.variables)])
    for mine, reference in zip(*found, strict=True):
        difference = first_difference(str(arguments), mine, reference)
        assert difference is None, str(difference)


def compiled_step(side, variables, arguments):
    """A function of the gradients that updates these variables, and its optimizer."""
    sgd = side.ns.optimizers.SGD(0.5, **arguments)
    sgd.build(variables)
    return side.compiled(lambda *grads: sgd.apply(list(grads), variables) or 0), sgd
