"""Rows L: layers, models and their weights."""

import numpy as np
import pytest

import minisgd as keras
from minisgd import layers

F32 = np.float32
NAN = float("nan")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        pytest.param(lambda: layers.Dense("64"), "invalid value for `units`.*'64'", id="L-04"),
        pytest.param(lambda: layers.Dense(True), "invalid value for `units`.*True", id="L-05"),
        pytest.param(lambda: layers.Dense(NAN), "invalid value for `units`", id="units nan"),
        pytest.param(
            lambda: layers.Dense(3, activation="rleu"),
            "Could not interpret activation.*'rleu'.*Did you mean 'relu'",
            id="L-07",
        ),
        pytest.param(
            lambda: layers.Dense(3, kernel_initializer="glorot"),
            "Could not interpret initializer identifier.*'glorot'.*Did you mean 'glorot_",
            id="L-08",
        ),
        pytest.param(lambda: layers.Input((-1,)), "Cannot convert '\\(-1,\\)' to a", id="L-10"),
        pytest.param(lambda: layers.Input("784"), "Cannot convert '784' to a shape", id="a word"),
        pytest.param(lambda: layers.Input(0), "Cannot convert '0' to a shape", id="Input(0)"),
        pytest.param(lambda: layers.Input((True,)), "Cannot convert", id="a bool"),
        pytest.param(lambda: layers.Input((2.0,)), "Cannot convert", id="a float"),
        pytest.param(lambda: layers.Dropout(NAN), "argument `rate`", id="rate nan"),
        pytest.param(lambda: layers.Dropout(True), "argument `rate`", id="rate True"),
        pytest.param(lambda: layers.Dense(3, use_bias="no"), "`use_bias`", id="use_bias"),
        pytest.param(lambda: layers.Dense(3, trainable="no"), "`trainable`", id="trainable"),
        pytest.param(lambda: layers.Dense(3, name=5), "`name`", id="name 5"),
        pytest.param(lambda: layers.Dense(3, dtype="int32"), "`dtype`", id="dtype"),
        pytest.param(lambda: layers.Dense(3, dtype="float3"), "`dtype`", id="dtype float3"),
    ],
)
def test_wrong_layers(make, match):
    with pytest.raises((ValueError, TypeError), match=match):
        make()


def test_l_11_an_int_for_a_shape():
    """Accepted, where Keras raises: it can only mean this."""
    assert layers.Input(784).batch_shape == (None, 784)


@pytest.mark.parametrize(
    "values", [np.ones((3, 2), F32), 1.0, np.ones((4, 3, 1), F32), np.full((4, 3), None), None]
)
def test_l_09_an_initializer_of_another_shape(values):
    layer = layers.Dense(3, kernel_initializer=lambda shape, dtype=None: values)
    with pytest.raises(ValueError, match=r"kernel.*\(4, 3\)"):
        layer.build((None, 4))
    assert not layer.built


def test_l_12_no_layers():
    model = keras.Sequential()
    with pytest.raises(ValueError, match="cannot be built because it has no layers"):
        model.predict(np.zeros((2, 3), F32), verbose=0)


@pytest.mark.parametrize("thing", ["dense", 3, layers.Dense, None])
def test_l_13_no_layer(thing):
    model = keras.Sequential()
    with pytest.raises(ValueError, match=r"Only instances of `keras\.Layer` can be added"):
        model.add(thing)
    assert model.layers == []


def test_l_14_a_name_twice():
    model = keras.Sequential([layers.Dense(2, name="a")])
    with pytest.raises(ValueError, match="should have unique names. Name 'a'"):
        model.add(layers.Dense(2, name="a"))
    assert len(model.layers) == 1


def test_l_18_nan_is_a_value_of_weights(setting, warned):
    """`set_weights` takes it; the next fit, evaluate or predict says so."""
    model = setting.model()
    values = [np.full(w.shape, np.nan, F32) for w in model.get_weights()]
    model.set_weights(values)
    assert all(np.isnan(w).all() for w in model.get_weights())
    warned(lambda: model.predict(setting.x, verbose=0), "kernel`[0, 0] is nan")


@pytest.mark.parametrize("value", [1e300, -1e39])
def test_l_19_numbers_beyond_float32(setting, refused, value):
    def act(model):
        values = [w.astype(np.float64) for w in model.get_weights()]
        values[2][1, 3] = value
        model.set_weights(values)

    text = refused(act, "kernel")
    assert "[1, 3]" in text
    assert "float32" in text


def test_l_19_one_variable(setting):
    weight = setting.model().weights[0]
    with pytest.warns(RuntimeWarning, match="overflow"):  # NumPy's, as in Keras
        weight.assign(np.full(weight.shape, 1e300))


def test_l_20_weights_are_copies(setting):
    model = setting.model()
    before = [w.copy() for w in model.get_weights()]
    for w in (*model.get_weights(), *model.layers[0].get_weights()):
        w[:] = 7
    given = [w + F32(1) for w in before]
    model.set_weights(given)
    for w in given:
        w[:] = 9
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b + F32(1))
