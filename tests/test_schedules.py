"""Learning-rate schedules: values, configurations, errors; their bits are compared with Keras's."""

import json
import math

import numpy as np
import pytest

from minisgd import ops
from minisgd.optimizers import SGD, schedules
from minisgd.tensor import Tensor, Variable

pytestmark = pytest.mark.optimizer

# Schedule, and the formula of its docstring in float64.
FORMULAS = [
    (schedules.ExponentialDecay(0.1, 37, 0.96), lambda t: 0.1 * 0.96 ** (t / 37)),
    (
        schedules.ExponentialDecay(0.1, 37, 0.5, staircase=True),
        lambda t: 0.1 * 0.5 ** (t // 37),
    ),
    (schedules.InverseTimeDecay(0.1, 10, 0.5), lambda t: 0.1 / (1 + 0.5 * t / 10)),
    (
        schedules.InverseTimeDecay(0.1, 37, 0.5, staircase=True),
        lambda t: 0.1 / (1 + 0.5 * (t // 37)),
    ),
    (
        schedules.PiecewiseConstantDecay([3, 100], [0.3, 0.2, 0.1]),
        lambda t: 0.3 if t <= 3 else 0.2 if t <= 100 else 0.1,
    ),
    (
        schedules.PolynomialDecay(0.1, 100, 0.01, 0.7),
        lambda t: 0.09 * (1 - min(t, 100) / 100) ** 0.7 + 0.01,
    ),
    (
        schedules.PolynomialDecay(0.1, 37, 0.0, 3.0),
        lambda t: 0.1 * (1 - min(t, 37) / 37) ** 3,
    ),
    (
        schedules.PolynomialDecay(0.1, 100, 0.01, 2.0, cycle=True),
        lambda t: 0.09 * (1 - t / (100 * max(1, math.ceil(t / 100)))) ** 2 + 0.01,
    ),
    (
        schedules.CosineDecay(0.1, 100, 0.2),
        lambda t: 0.1 * (0.8 * 0.5 * (1 + math.cos(math.pi * min(t, 100) / 100)) + 0.2),
    ),
    (
        schedules.CosineDecay(0.1, 100, 0.2, warmup_target=0.5, warmup_steps=40),
        lambda t: (
            0.1 + 0.4 * t / 40
            if t < 40
            else 0.5 * (0.4 * (1 + math.cos(math.pi * min(t - 40, 100) / 100)) + 0.2)
        ),
    ),
    (
        schedules.CosineDecayRestarts(0.1, 50, 1.0, 0.5, 0.2),
        lambda t: 0.1 * (0.4 * 0.5 ** (t // 50) * (1 + math.cos(math.pi * (t % 50) / 50)) + 0.2),
    ),
]
ALL = [schedule for schedule, _ in FORMULAS] + [schedules.CosineDecayRestarts(0.1, 10)]


@pytest.mark.parametrize(("schedule", "formula"), FORMULAS)
def test_values(schedule, formula):
    for t in range(300):
        rate = schedule(t)
        assert rate.shape == () and rate.dtype == np.float32
        assert float(rate) == pytest.approx(formula(t), rel=1e-4, abs=1e-7)


def test_restarts_of_growing_length():
    """Decays of 10, 20, 40 steps; each starts at the top."""
    rates = [float(schedules.CosineDecayRestarts(0.5, 10)(t)) for t in range(70)]
    assert [t for t, rate in enumerate(rates) if rate == 0.5] == [0, 10, 30]
    assert rates[9] < 0.02 and rates[29] < 0.01 and rates[69] < 0.01


def test_order_of_rounding():
    """The reciprocal of the number of steps, rounded, times the step; then the power."""
    reciprocal = np.float32(1) / np.float32(49)
    rates = [np.float32(schedules.InverseTimeDecay(0.1, 49, 0.3)(t)) for t in range(200)]
    t = np.arange(200, dtype=np.float32)
    expected = np.float32(0.1) / (np.float32(1) + t * (np.float32(0.3) * reciprocal))
    np.testing.assert_array_equal(rates, expected)
    formula = np.float32(0.1) / (np.float32(1) + np.float32(0.3) * (t / np.float32(49)))
    assert (rates != formula).any()  # rounded as it is written it would be another number


def test_constants_meet_first():
    schedule = schedules.CosineDecay(0.1, 700, 0.1)
    share = [np.float32(schedules.CosineDecay(1.0, 700, 0.1)(t)) for t in range(300)]
    times = [np.float32(schedule.times(np.float32(0.004), t)) for t in range(300)]
    first = [(np.float32(0.004) * np.float32(0.1)) * s for s in share]
    last = [np.float32(0.004) * (np.float32(0.1) * s) for s in share]
    assert times == first
    assert times != last
    # A sum is no product: the constant comes last.
    schedule = schedules.PolynomialDecay(0.1, 700, 0.01)
    times = [np.float32(schedule.times(np.float32(0.004), t)) for t in range(300)]
    assert times == [np.float32(0.004) * np.float32(schedule(t)) for t in range(300)]


ODD = [
    schedules.ExponentialDecay(0.3, 1.5, 0.999),
    schedules.ExponentialDecay(0.1, 7, 0.0, staircase=True),
    schedules.ExponentialDecay(0.1, 1, 0.9),  # down into the denormal numbers
    schedules.InverseTimeDecay(0.1, 7, 0.3, staircase=True),
    schedules.PiecewiseConstantDecay([2.5, 17, 9999.9], [0.3, 0.0, 0.1, 0.7]),
    schedules.PolynomialDecay(0.1, 777, 0.01, 0.7, cycle=True),
    schedules.PolynomialDecay(0.1, 777, 0.0, 2.0, cycle=True),
    schedules.PolynomialDecay(0.1, 12_345, 0.0, 0.0),
    schedules.CosineDecay(0.1, 9000, 0.1, warmup_target=0.5, warmup_steps=0),
    schedules.CosineDecay(0.3, 37.5, 0.1, warmup_target=0.1, warmup_steps=1234.5),
    schedules.CosineDecayRestarts(0.1, 33, 1.1, 0.9, 0.01),
    schedules.CosineDecayRestarts(0.1, 33, 1.0, 1.001),
]


@pytest.mark.parametrize("schedule", [*ALL, *ODD], ids=lambda s: f"{s.get_config()}")
def test_many_steps_at_once_have_the_bits_of_one_by_one(schedule):
    steps = np.concatenate([np.arange(20_000), [123_456, 2**24 + 1, 2**31, 10**12]])
    for rate in (schedule, lambda step: schedule.times(np.float32(0.004), step)):
        at_once = rate(steps).numpy()
        assert at_once.dtype == np.float32
        one_by_one = [rate(step).numpy() for step in steps]
        assert at_once.tobytes() == np.array(one_by_one).tobytes()


@pytest.mark.parametrize("schedule", ALL)
def test_a_step_may_be_any_number_or_tensor(schedule):
    expected = float(schedule(7))
    for step in (np.int64(7), 7.0, np.array(7), Tensor(np.array(7)), Variable(np.int64(7))):
        assert float(schedule(step)) == expected


def test_a_denormal_rate_is_zero():
    assert float(schedules.ExponentialDecay(0.1, 1, 0.1)(38)) == 0.0


@pytest.mark.parametrize("schedule", ALL)
def test_configuration_round_trip(schedule):
    config = json.loads(json.dumps(schedules.serialize(schedule)))
    again = schedules.deserialize(config)
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()
    assert config["module"] == "keras.optimizers.schedules"
    assert config["registered_name"] is None
    assert type(schedule).from_config(schedule.get_config()).get_config() == schedule.get_config()


class Halving(schedules.LearningRateSchedule):
    """A schedule of the user's, with tensors' operators."""

    def __init__(self, start):
        self.start = start

    def __call__(self, step):
        return self.start / (ops.cast(step, "float32") + 1.0)

    def get_config(self):
        return {"start": self.start}


def test_a_schedule_of_the_users():
    sgd = SGD(Halving(0.5))
    w = Variable(np.zeros(1, np.float32))
    for _ in range(2):
        sgd.apply([-np.ones(1, np.float32)], [w])
    assert w.numpy() == [0.75]
    config = schedules.serialize(Halving(0.5))
    assert (config["class_name"], config["registered_name"]) == ("Halving", "Halving")
    again = schedules.deserialize(config, custom_objects={"Halving": Halving})
    assert again.start == 0.5
    with pytest.raises(ValueError, match="`custom_objects`"):
        schedules.deserialize(config)


@pytest.mark.parametrize("config", [None, {}, {"class_name": 3}, {"class_name": "CosinDecay"}])
def test_an_unknown_configuration(config):
    with pytest.raises(ValueError, match="Could not deserialize a learning rate schedule"):
        schedules.deserialize(config)


S = schedules


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: S.ExponentialDecay(0.1, 0, 0.9), r"`decay_steps` must be > 0. Received: .*=0;"),
        (lambda: S.InverseTimeDecay(0.1, -1, 0.9), "`decay_steps` must be > 0"),
        (lambda: S.PolynomialDecay(0.1, math.nan), "`decay_steps` must be > 0"),
        (lambda: S.CosineDecay(0.1, "10"), "`decay_steps` must be > 0"),
        (lambda: S.CosineDecay(0.1, True), "`decay_steps` must be > 0"),
        (lambda: S.CosineDecayRestarts(0.1, 0), "`first_decay_steps` must be > 0"),
        (lambda: S.CosineDecayRestarts(0.1, 10, t_mul=0.5), "`t_mul` must be >= 1"),
        (lambda: S.CosineDecayRestarts(0.1, 10, m_mul=-1.0), "`m_mul`"),
        (lambda: S.ExponentialDecay(-0.1, 10, 0.9), "`initial_learning_rate`"),
        (lambda: S.ExponentialDecay(math.inf, 10, 0.9), "`initial_learning_rate`"),
        (lambda: S.ExponentialDecay(0.1, 10, math.nan), "`decay_rate`"),
        (lambda: S.PolynomialDecay(0.1, 10, -0.1), "`end_learning_rate`"),
        (lambda: S.PolynomialDecay(0.1, 10, power=-1.0), "`power`"),
        (lambda: S.CosineDecay(0.1, 10, alpha=None), "`alpha`"),
        (lambda: S.CosineDecay(0.1, 10, warmup_target=-1.0), "`warmup_target`"),
        (lambda: S.CosineDecay(0.1, 10, warmup_steps=-1), "`warmup_steps`"),
        (lambda: S.PiecewiseConstantDecay([1, 2], [0.1, 0.2]), "should be 1 less than the length"),
        (lambda: S.PiecewiseConstantDecay([], [0.1]), "at least one step"),
        (lambda: S.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]), "strictly increasing"),
        (lambda: S.PiecewiseConstantDecay([2, 2], [0.1, 0.2, 0.3]), "strictly increasing"),
        (lambda: S.PiecewiseConstantDecay([2], [0.1, math.nan]), "`values`"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_base_class_says_what_to_write():
    class Unfinished(schedules.LearningRateSchedule):
        pass

    with pytest.raises(NotImplementedError, match="'Unfinished' must override `__call__"):
        Unfinished()(0)
    with pytest.raises(NotImplementedError, match="'Unfinished' must override `get_config"):
        schedules.serialize(Unfinished())
