"""SGD's options one by one, against NumPy in float32; in combination Keras is the measure."""

import json
import math

import numpy as np
import pytest

import minisgd as keras
from minisgd import numerics, optimizers
from minisgd.optimizers import SGD, schedules
from minisgd.tensor import Variable

pytestmark = pytest.mark.optimizer

f32 = np.float32
RNG = np.random.default_rng(3)
W = (RNG.standard_normal((40, 5)) * 0.1).astype(f32)
B = RNG.standard_normal(5).astype(f32)
GRADIENTS = [[(RNG.standard_normal(a.shape) * 0.2).astype(f32) for a in (W, B)] for _ in range(12)]


@pytest.fixture(autouse=True)
def _in_graph():
    with numerics.scope(numerics.DEFAULT):  # as in `fit`
        yield


def train(sgd, gradients=GRADIENTS):
    """Weights after each step."""
    variables = [Variable(W, name="kernel"), Variable(B, name="bias")]
    history = []
    for step in gradients:
        sgd.apply_gradients(zip(step, variables, strict=True))
        history.append([v.numpy() for v in variables])
    return history


def assert_weights(sgd, rule):
    """`rule(step, w, g)` gives the new weights of one variable, in float32."""
    before = [W, B]
    for step, (after, gradients) in enumerate(zip(train(sgd), GRADIENTS, strict=True)):
        for w, g, new in zip(before, gradients, after, strict=True):
            np.testing.assert_array_equal(new, rule(step, w, g))
        before = after


def test_weight_decay_before_the_update():
    factor = f32(0.03) * f32(0.1)

    def rule(step, w, g):
        w = w - w * factor
        return w - g * f32(0.1)

    assert_weights(SGD(0.1, weight_decay=0.03), rule)


def test_excluded_from_weight_decay():
    decayed, plain = train(SGD(0.1, weight_decay=0.5))[0], train(SGD(0.1))[0]
    for exclusion in ({"var_names": ["bias"]}, {"var_names": ["^b", "x"]}):
        sgd = SGD(0.1, weight_decay=0.5)
        sgd.exclude_from_weight_decay(**exclusion)
        kernel, bias = train(sgd)[0]
        np.testing.assert_array_equal(kernel, decayed[0])
        np.testing.assert_array_equal(bias, plain[1])
    sgd, w, other = SGD(0.1, weight_decay=0.5), Variable(W), Variable(W)
    sgd.exclude_from_weight_decay(var_list=[w])
    sgd.apply([GRADIENTS[0][0]] * 2, [w, other])
    np.testing.assert_array_equal(w.numpy(), plain[0])
    np.testing.assert_array_equal(other.numpy(), decayed[0])


def test_clipvalue():
    assert_weights(
        SGD(0.1, clipvalue=0.15),
        lambda step, w, g: w - np.clip(g, f32(-0.15), f32(0.15)) * f32(0.1),
    )


def norm_of_few(g):
    """Norm of five numbers: fewer than a packet are added one after the other."""
    total = f32(0)
    for x in g:
        total = total + x * x
    return np.sqrt(total)


@pytest.mark.parametrize("limit", (0.3, 5.0))
def test_clipnorm(limit):
    w, sgd = Variable(B), SGD(0.1, clipnorm=limit)
    g = GRADIENTS[0][1]
    sgd.apply([g], [w])
    clipped = (g * f32(limit)) / max(norm_of_few(g), f32(limit))
    np.testing.assert_array_equal(w.numpy(), B - clipped * f32(0.1))
    # All variables alike, by their own norms.
    for (kernel, bias), (gk, gb) in zip(train(SGD(1.0, clipnorm=0.3))[:1], GRADIENTS, strict=False):
        assert np.linalg.norm(kernel - W) == pytest.approx(min(0.3, np.linalg.norm(gk)), rel=1e-5)
        assert np.linalg.norm(bias - B) == pytest.approx(min(0.3, np.linalg.norm(gb)), rel=1e-5)


@pytest.mark.parametrize("limit", (0.3, 5.0))
def test_global_clipnorm(limit):
    variables, sgd = [Variable(B), Variable(B)], SGD(0.1, global_clipnorm=limit)
    gradients = [step[1] for step in GRADIENTS[:2]]
    sgd.apply(gradients, variables)
    squares = [norm_sum(g) for g in gradients]
    norm = np.sqrt(squares[0] + squares[1])
    factor = f32(limit) * min(f32(1) / norm, f32(1 / limit))
    for variable, g in zip(variables, gradients, strict=True):
        np.testing.assert_array_equal(variable.numpy(), B - g * (factor * f32(0.1)))


def norm_sum(g):
    total = f32(0)
    for x in g:
        total = total + x * x
    return total


@pytest.mark.parametrize("option", ("clipnorm", "global_clipnorm"))
def test_clipping_zero_and_infinite_gradients(option):
    w = Variable(B)
    SGD(0.1, **{option: 0.5}).apply([np.zeros(5, f32)], [w])
    np.testing.assert_array_equal(w.numpy(), B)
    other = Variable(B)
    infinite = np.array([1, np.inf, 2, 3, 4], f32)
    SGD(0.1, **{option: 0.5}).apply([infinite, np.ones(5, f32)], [w, other])
    assert np.isnan(w.numpy()[1])
    assert np.isnan(other.numpy()).all() == (option == "global_clipnorm")


def test_clipvalue_keeps_nan():
    w = Variable(B)
    SGD(0.1, clipvalue=0.5).apply([np.array([np.nan, np.inf, -9, 0, 1], f32)], [w])
    assert np.isnan(w.numpy()).tolist() == [True, False, False, False, False]


def test_loss_scale_factor():
    """The gradient is times the reciprocal; it meets the learning rate first."""
    factor = (f32(1) / f32(3)) * f32(0.1)
    assert_weights(SGD(0.1, loss_scale_factor=3.0), lambda step, w, g: w - g * factor)
    loss = keras.ops.convert_to_tensor(2.0)
    assert float(SGD(loss_scale_factor=3.0).scale_loss(loss)) == 6.0
    assert SGD().scale_loss(loss) is loss


def test_fit_scales_and_scales_back():
    """A power of two changes no bit; the reported loss is the unscaled one."""
    found = []
    x = RNG.standard_normal((8, 4)).astype(f32)
    for factor in (None, 1024.0):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
        model.compile(SGD(0.1, loss_scale_factor=factor), "mse")
        history = model.fit(x, x[:, :3], epochs=3, batch_size=4, verbose=0)
        found.append((history.history["loss"], *[w.tolist() for w in model.get_weights()]))
    assert found[0] == found[1]


def test_gradient_accumulation():
    sgd = SGD(0.1, gradient_accumulation_steps=3)
    history = train(sgd)
    weights, factor = [W, B], (f32(1) / f32(3)) * f32(0.1)
    for step, arrays in enumerate(history):
        if step % 3 == 2:
            a, b, c = GRADIENTS[step - 2 : step + 1]
            weights = [
                w - ((x + y) + z) * factor for w, x, y, z in zip(weights, a, b, c, strict=True)
            ]
        for mine, expected in zip(arrays, weights, strict=True):
            np.testing.assert_array_equal(mine, expected)
    assert int(sgd.iterations) == 4
    assert int(sgd.variables[0]) == 12
    for accumulator in sgd.variables[2:]:
        assert not accumulator.numpy().any()


def test_gradients_are_left_alone():
    before = [[g.copy() for g in step] for step in GRADIENTS]
    train(SGD(0.1, clipnorm=0.1, loss_scale_factor=2.0, gradient_accumulation_steps=2))
    for step, kept in zip(GRADIENTS, before, strict=True):
        for g, same in zip(step, kept, strict=True):
            np.testing.assert_array_equal(g, same)


def test_moving_averages():
    sgd, plain = SGD(0.1, use_ema=True, ema_momentum=0.7), train(SGD(0.1))
    history = train(sgd)
    average = history[0]
    for arrays, same in zip(history, plain, strict=True):
        np.testing.assert_array_equal(arrays[0], same[0])  # the weights know nothing of it
    for arrays in history[1:]:
        m = f32(0.7)
        average = [m * a + (f32(1) - m) * w for a, w in zip(average, arrays, strict=True)]
    for mine, expected in zip(sgd.variables[2:], average, strict=True):
        np.testing.assert_array_equal(mine.numpy(), expected)


def test_averages_become_the_weights():
    sgd = SGD(0.1, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=2)
    w = Variable(B)
    for step in range(4):
        sgd.apply([GRADIENTS[step][1]], [w])
        same = (w.numpy() == sgd.variables[2].numpy()).all()
        assert same == (step in (0, 1, 3))  # the first average is the weights


def test_fit_ends_with_the_averages():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
    model.compile(SGD(0.5, use_ema=True), "mse")
    x = RNG.standard_normal((8, 4)).astype(f32)
    start = model.get_weights()
    model.fit(x, x[:, :3], epochs=2, initial_epoch=2, verbose=0)  # no step: nothing to average
    np.testing.assert_array_equal(model.get_weights()[0], start[0])
    model.fit(x, x[:, :3], epochs=2, batch_size=4, verbose=0)
    assert not np.array_equal(model.get_weights()[0], start[0])
    for weight, average in zip(model.get_weights(), model.optimizer.variables[2:], strict=True):
        np.testing.assert_array_equal(weight, average.numpy())
    with pytest.raises(ValueError, match=r"The length of model variables \(1\)"):
        model.optimizer.finalize_variable_values(model.trainable_variables[:1])


def test_schedule_is_read_before_the_count():
    schedule = schedules.PiecewiseConstantDecay([0, 1], [0.5, 0.25, 0.125])
    w, sgd = Variable(np.zeros(1, f32)), SGD(schedule)
    values = []
    for _ in range(3):
        assert float(sgd.learning_rate) == [0.5, 0.25, 0.125][len(values)]
        sgd.apply([-np.ones(1, f32)], [w])
        values.append(float(w.numpy()[0]))
    assert values == [0.5, 0.75, 0.875]
    assert [v.name for v in sgd.variables] == ["iteration"]


def test_a_function_as_learning_rate():
    rates = iter([0.5, 0.25])
    w, sgd = Variable(np.zeros(1, f32)), SGD(lambda: next(rates))
    for _ in range(2):
        sgd.apply([-np.ones(1, f32)], [w])
    assert w.numpy() == [0.75]
    with pytest.raises(TypeError, match="`callable` object .* not settable"):
        sgd.learning_rate = 0.1


def test_setting_the_learning_rate():
    sgd = SGD(0.5)
    sgd.learning_rate = 0.25
    assert float(sgd.learning_rate) == 0.25
    sgd.learning_rate = schedules.CosineDecay(0.125, 10)
    assert float(sgd.learning_rate) == 0.125
    with pytest.raises(TypeError, match="hence its learning rate is not settable"):
        sgd.learning_rate = 0.1


@pytest.mark.parametrize("bad", (math.nan, -1.0, math.inf, "x", None))
@pytest.mark.parametrize("steps", (None, 2))
def test_a_bad_scheduled_rate_changes_nothing(bad, steps):
    class Bad(schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.1 if int(step) < 3 else bad

    sgd = SGD(Bad(), momentum=0.9, use_ema=True, gradient_accumulation_steps=steps)
    w = Variable(B)
    for _ in range(3):
        sgd.apply([B], [w])
    before = [v.numpy() for v in (w, *sgd.variables)]
    with pytest.raises(ValueError, match="learning rate schedule 'Bad' at step 3"):
        sgd.apply([B], [w])
    for variable, kept in zip((w, *sgd.variables), before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), kept)


def test_state_and_set_weights():
    def make():
        sgd = SGD(0.1, 0.9, use_ema=True, gradient_accumulation_steps=2, name="mine")
        sgd.build([Variable(W, name="kernel"), Variable(B, name="bias")])
        return sgd

    sgd = make()
    assert [v.path for v in sgd.variables] == [
        "mine/iteration",
        "mine/learning_rate",
        "mine/kernel_average",
        "mine/bias_average",
        "mine/kernel_gradient_accumulator",
        "mine/bias_gradient_accumulator",
        "mine/kernel_momentum",
        "mine/bias_momentum",
    ]
    values = [np.full(v.shape, i + 1, v.dtype) for i, v in enumerate(sgd.variables)]
    sgd.set_weights(values)
    for variable, value in zip(sgd.variables, values, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    with pytest.raises(ValueError, match="expected 8 arrays, received 7"):
        sgd.set_weights(values[:-1])
    with pytest.raises(ValueError, match="not compatible with provided weight shape"):
        sgd.set_weights([*values[:-1], np.zeros(6)])
    with pytest.raises(ValueError, match="has not yet been built"):
        SGD().set_weights([])


@pytest.mark.parametrize(
    "sgd",
    [
        SGD(0.25, 0.5, True, 0.01, clipnorm=1.0),
        SGD(use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3, global_clipnorm=1.0),
        SGD(loss_scale_factor=8.0, gradient_accumulation_steps=4, clipvalue=2.0),
        SGD(schedules.CosineDecay(0.1, 10), momentum=0.9),
    ],
)
def test_configuration_round_trip(sgd):
    config = json.loads(json.dumps(optimizers.serialize(sgd)))
    assert list(config) == ["module", "class_name", "config", "registered_name"]
    kept = json.dumps(config)
    for again in (optimizers.deserialize(config), optimizers.get(config)):
        assert again.get_config() == sgd.get_config()
    assert SGD.from_config(sgd.get_config()).get_config() == sgd.get_config()
    assert json.dumps(config) == kept


def test_configuration_of_a_function():
    def rate():
        return 0.25

    config = optimizers.serialize(SGD(rate))
    again = optimizers.deserialize(config, custom_objects={"rate": rate})
    assert float(again.learning_rate) == 0.25
    with pytest.raises(ValueError, match="`custom_objects`"):
        optimizers.deserialize(config)


def test_an_optimizer_of_the_users():
    class Signed(optimizers.Optimizer):
        """Steps of the learning rate's length."""

        def update_step(self, gradient, variable, lr, index):
            variable.array_inplace().reshape(-1)[...] -= np.sign(gradient) * lr

    signed, w = Signed(0.5), Variable(np.zeros(2, f32))
    assert optimizers.get(signed) is signed
    signed.apply([np.array([3, -2], f32)], [w])
    np.testing.assert_array_equal(w.numpy(), [-0.5, 0.5])
    config = optimizers.serialize(signed)
    assert type(optimizers.deserialize(config, {"Signed": Signed})) is Signed
    with pytest.raises(ValueError, match="Could not interpret optimizer identifier"):
        optimizers.deserialize(config)
    with pytest.raises(NotImplementedError, match="must override `update_step`"):
        optimizers.Optimizer(0.1).apply([B], [Variable(B)])


@pytest.mark.parametrize("identifier", (None, 3, "sdg", {"config": {}}, {"class_name": "Adam"}))
def test_unknown_identifiers(identifier):
    with pytest.raises(ValueError, match="Could not interpret optimizer identifier"):
        optimizers.get(identifier)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": math.nan}, "`learning_rate`"),
        ({"learning_rate": math.inf}, "`learning_rate`"),
        ({"nesterov": "yes"}, "`nesterov`: expected True or False, received 'yes'"),
        ({"use_ema": "no"}, "`use_ema`"),
        ({"weight_decay": -0.1}, "`weight_decay`: expected a finite number >= 0, or None"),
        ({"weight_decay": math.nan}, "`weight_decay`"),
        ({"weight_decay": True}, "`weight_decay`"),
        ({"clipnorm": 0.0}, "`clipnorm`: expected a finite number > 0, or None to turn it off"),
        ({"clipnorm": math.nan}, "`clipnorm`"),
        ({"clipvalue": -1.0}, "`clipvalue`"),
        ({"clipvalue": "1"}, "`clipvalue`"),
        ({"global_clipnorm": math.inf}, "`global_clipnorm`"),
        ({"clipnorm": 1.0, "global_clipnorm": 1.0}, "Only one of `clipnorm`, `clipvalue` and"),
        ({"loss_scale_factor": 0.0}, "`loss_scale_factor`"),
        ({"gradient_accumulation_steps": 0}, "must be an integer >= 2"),
        ({"gradient_accumulation_steps": 1}, "must be an integer >= 2"),
        ({"gradient_accumulation_steps": 2.5}, "must be an integer >= 2"),
        ({"use_ema": True, "ema_overwrite_frequency": 0}, "must be an integer >= 1 or None"),
        ({"use_ema": True, "ema_momentum": 1.5}, r"in the range \[0, 1\]"),
        ({"use_ema": True, "ema_momentum": math.nan}, r"in the range \[0, 1\]"),
        ({"beta": 1.0}, "Argument.s. not recognized: {'beta': 1.0}. Expected learning_rate, mom"),
    ],
    ids=str,
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SGD(**arguments)


def test_float64_variables():
    """Everything in the variables' own precision, but for the float32 learning rate."""
    w = Variable(B.astype(np.float64))
    sgd = SGD(0.5, 0.5, weight_decay=0.25, clipnorm=100.0, use_ema=True)
    sgd.apply([np.full(5, 0.1)], [w])
    np.testing.assert_allclose(w.numpy(), B.astype(np.float64) * (1 - 0.125) - 0.05, rtol=1e-14)
    assert all(v.dtype == np.float64 for v in sgd.variables[2:])
