"""SGD: the update rule in float32, its state, and what it refuses."""

import numpy as np
import pytest

import minisgd as keras
from minisgd import GradientTape, Variable
from minisgd.optimizers import SGD

F32 = np.float32


@pytest.fixture(autouse=True)
def fresh_names():
    keras.utils.clear_session(free_memory=False)


def normals(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F32)


RULES = {
    "plain": {},
    "nesterov without momentum": {"nesterov": True},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
}


@pytest.mark.parametrize("name", RULES)
def test_five_steps_with_a_changing_learning_rate(name):
    options = RULES[name]
    optimizer = SGD(0.1, **options)
    w = normals(20, 5)
    variable = Variable(w)
    v, mu = np.zeros_like(w), F32(options.get("momentum", 0))
    for step in range(5):
        if step == 3:
            optimizer.learning_rate = 0.03  # acts on new gradients only: v keeps the old rate
        lr, g = F32(0.1 if step < 3 else 0.03), normals(20, 5, seed=step + 1)
        optimizer.apply_gradients([(g, variable)])
        if not mu:
            w = w - g * lr
        else:
            v = v * mu - g * lr
            w = w + (v * mu - g * lr if options.get("nesterov") else v)
        np.testing.assert_array_equal(variable.numpy(), w)
    assert int(optimizer.iterations) == 5


def test_the_rule_in_float64_uses_the_float32_rate():
    optimizer, w = SGD(0.1, momentum=0.9), Variable(np.ones(3))
    g = np.array([1.0, 2.0, 3.0])
    optimizer.apply_gradients([(g, w)])
    np.testing.assert_array_equal(w.numpy(), 1 - g * np.float64(F32(0.1)))


def test_a_scalar_variable_is_trained():
    w, optimizer = Variable(3.0), SGD(0.5)
    with GradientTape() as tape:
        y = w * w
    optimizer.apply_gradients([(tape.gradient(y, w), w)])
    assert w.shape == ()
    assert float(w) == 0


def test_the_callers_gradient_is_not_changed_nor_its_form_important():
    results = []
    g = normals(4, 3)
    for form in (
        g,
        g.astype(np.float64),
        g.astype(">f4"),
        np.asfortranarray(g),
        keras.ops.convert_to_tensor(g),
    ):
        w = Variable(np.ones((4, 3), F32))
        SGD(0.1).apply_gradients([(form, w)])
        results.append(w.numpy())
        np.testing.assert_array_equal(np.asarray(form), g)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_state():
    a, b = Variable(np.ones(2, F32), name="a"), Variable(np.ones(3, F32), name="b")
    b.path = "model/dense/b"
    optimizer = SGD(0.1, momentum=0.5)
    assert [v.name for v in optimizer.variables] == ["iteration", "learning_rate"]
    optimizer.apply_gradients([(np.ones(2, F32), a), (np.ones(3, F32), b)])
    iteration, rate, *velocities = optimizer.variables
    assert iteration.dtype == "int64"
    assert int(iteration) == 1
    assert rate.dtype == "float32"
    assert float(rate) == float(F32(0.1))
    assert [v.shape for v in velocities] == [(2,), (3,)]
    assert velocities[1].path == "sgd/model_dense_b_momentum"
    assert not any(v.trainable for v in optimizer.variables)
    assert SGD(0.1).variables[2:] == []


def test_learning_rate_may_be_set_to_any_number():
    optimizer = SGD()
    assert float(optimizer.learning_rate) == float(F32(0.01))
    for value in (0.5, F32(0.5), np.float64(0.5), np.array(0.5), keras.ops.convert_to_tensor(0.5)):
        optimizer.learning_rate = 0.1
        optimizer.learning_rate = value
        assert float(optimizer.learning_rate) == 0.5
    optimizer.learning_rate.assign(0.25)
    assert float(optimizer.learning_rate) == 0.25


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -0.1, 1e39])
def test_learning_rates_that_destroy_the_weights(rate):
    with pytest.raises(ValueError, match="float32 can hold"):
        SGD(rate)
    optimizer = SGD(0.1)
    with pytest.raises(ValueError, match="float32 can hold"):
        optimizer.learning_rate = rate
    assert float(optimizer.learning_rate) == float(F32(0.1))


@pytest.mark.parametrize("rate", [1, "0.1", None, np.float32(0.1), True])
def test_learning_rate_must_be_a_float(rate):
    with pytest.raises(ValueError, match="`learning_rate` should be float"):
        SGD(rate)


@pytest.mark.parametrize("momentum", [-0.1, 1.1, "0.9", True, float("nan")])
def test_momentum_is_a_float_from_0_to_1(momentum):
    with pytest.raises(ValueError, match="momentum"):
        SGD(0.1, momentum=momentum)


def test_arguments_that_are_not_known():
    with pytest.raises(ValueError, match=r"not recognized.*`lr` is now `learning_rate`"):
        SGD(lr=0.1)
    with pytest.raises(ValueError, match="not recognized"):
        SGD(0.1, dampening=0.5)
    SGD(0.1, clipnorm=None, use_ema=False)
    with pytest.warns(UserWarning, match="`decay` is no longer supported"):
        SGD(0.1, decay=1e-6)


def test_gradients_that_do_not_exist():
    a, b = Variable(np.ones(2, F32), name="a"), Variable(np.ones(2, F32), name="b")
    optimizer = SGD(0.5)
    with pytest.warns(UserWarning, match="do not exist for variable 'b'"):
        optimizer.apply_gradients([(np.ones(2, F32), a), (None, b)])
    assert a.numpy().tolist() == [0.5, 0.5]
    assert b.numpy().tolist() == [1, 1]
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="No gradients provided"):
        optimizer.apply_gradients([(None, a), (None, b)])
    assert int(optimizer.iterations) == 1
    optimizer.apply_gradients([])
    assert int(optimizer.iterations) == 1


def test_a_wrong_gradient_changes_nothing():
    a, b = Variable(np.ones(2, F32)), Variable(np.ones(2, F32), name="b")
    optimizer = SGD(0.5)
    with pytest.raises(ValueError, match=r"'b': expected shape \(2,\), received \(3,\)"):
        optimizer.apply_gradients([(np.ones(2, F32), a), (np.ones(3, F32), b)])
    assert a.numpy().tolist() == [1, 1]
    assert int(optimizer.iterations) == 0


def test_an_optimizer_knows_its_variables():
    a, stranger = Variable(np.ones(2, F32)), Variable(np.ones(2, F32), name="stranger")
    optimizer = SGD(0.5)
    optimizer.apply_gradients([(np.ones(2, F32), a)])
    with pytest.raises(ValueError, match="Unknown variable: stranger"):
        optimizer.apply_gradients([(np.ones(2, F32), stranger)])
    with pytest.raises(ValueError, match="expected 1 gradients, one a variable, received 2"):
        optimizer.apply([np.ones(2, F32)] * 2)
    optimizer.apply([np.ones(2, F32)])
    assert a.numpy().tolist() == [0, 0]


def test_config_makes_an_equal_optimizer():
    optimizer = SGD(0.1, momentum=0.9, nesterov=True, name="mine")
    twin = SGD.from_config(optimizer.get_config())
    assert twin.get_config() == optimizer.get_config()
    assert float(twin.learning_rate) == float(optimizer.learning_rate)


def test_get():
    optimizer = SGD(0.3)
    assert keras.optimizers.get(optimizer) is optimizer
    for name in ("sgd", "SGD", "Sgd"):
        assert isinstance(keras.optimizers.get(name), SGD)


def test_weights_that_reach_infinity_are_shown():
    w = Variable(np.array([1, 1], F32))
    SGD(1.0).apply_gradients([(np.array([np.nan, np.inf], F32), w)])
    assert np.isnan(w.numpy()[0])
    assert w.numpy()[1] == -np.inf
