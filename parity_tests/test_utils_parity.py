"""Small utilities, the summary's options, and what `keras.config` says: as Keras has them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minisgd.parity.sides import keras_side, minisgd_side

SIDES = [minisgd_side, keras_side]


def both(call):
    return [call(side().ns) for side in SIDES]


@pytest.mark.parametrize("data", [1, (1,), [1], (1, 2), [1, 2], (1, 2, 3), (1, None, 3)], ids=str)
def test_data_is_taken_apart_alike(data):
    ours, theirs = both(lambda ns: ns.utils.unpack_x_y_sample_weight(data))
    assert ours == theirs


@pytest.mark.parametrize("data", [(), (1, 2, 3, 4)], ids=str)
def test_data_of_no_such_form_is_refused_alike(data):
    messages = []
    for side in SIDES:
        with pytest.raises(ValueError, match="Data is expected to be in format") as caught:
            side().ns.utils.unpack_x_y_sample_weight(data)
        messages.append(str(caught.value).partition("found:")[0])  # ours shows no arrays
    assert messages[0] == messages[1]


@pytest.mark.parametrize(
    "parts", [(1,), ((1, 2),), ([1],), (1, 2), (1, 2, 3), (1, None, 3)], ids=str
)
def test_data_is_joined_alike(parts):
    ours, theirs = both(lambda ns: ns.utils.pack_x_y_sample_weight(*parts))
    assert ours == theirs


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("order", [1, 2, np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normalize(axis, order, dtype):
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(dtype)
    x[1] = 0
    x[:, 2] = 0
    ours, theirs = both(lambda ns: ns.utils.normalize(x, axis, order))
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype


def test_normalize_along_the_first_axis():
    """Keras takes axis 0 for the last one, and fails."""
    x = np.random.default_rng(0).normal(size=(4, 3))
    ours = minisgd_side().ns.utils.normalize(x, axis=0)
    np.testing.assert_array_equal(ours, x / np.linalg.norm(x, 2, 0, keepdims=True))
    with pytest.raises(ValueError, match="broadcast"):
        keras_side().ns.utils.normalize(x, axis=0)


def test_config():
    for name in ("floatx", "epsilon", "image_data_format"):
        ours, theirs = both(lambda ns, name=name: getattr(ns.config, name)())
        assert ours == theirs


def test_variables_are_added_to():
    def values(ns):
        variable = ns.Variable(np.array([1.0, 2.0], np.float32))
        variable.assign_add(np.array([0.1, 0.2]))
        return np.asarray(variable.assign_sub(3)), np.asarray(variable)

    ours, theirs = both(values)
    np.testing.assert_array_equal(ours, theirs)


def model_of(ns):
    inner = ns.Sequential(
        [
            ns.layers.Input((5,)),
            ns.layers.Dense(4, name="in_1"),
            ns.layers.Dropout(0.1, name="in_2"),
        ],
        name="inner",
    )
    model = ns.Sequential(
        [
            ns.layers.Input((6,)),
            ns.layers.Dense(5, name="dense_a"),
            ns.layers.Flatten(name="flat"),
            inner,
            ns.layers.Dense(3, name="dense_b"),
        ],
        name="model",
    )
    model.layers[0].trainable = False
    return model


SUMMARIES = [
    {},
    {"show_trainable": True},
    {"expand_nested": True},
    {"expand_nested": True, "show_trainable": True, "line_length": 78},
    {"positions": [0.3, 0.6, 1.0]},
    {"positions": [0.3, 0.6, 0.9], "show_trainable": True},
    {"layer_range": ["flat", "inner"]},
    {"layer_range": ["inner", "flat"]},
    {"layer_range": ("dense.*", "dense.*")},
]


@pytest.mark.parametrize("options", SUMMARIES, ids=str)
def test_summaries_are_equal(options, monkeypatch):
    monkeypatch.setenv("COLUMNS", "110")

    def text(ns):
        texts = []
        model_of(ns).summary(print_fn=texts.append, **{"line_length": 100} | options)
        return re.sub(r" +$", "", "".join(texts), flags=re.MULTILINE)

    ours, theirs = both(text)
    assert ours == theirs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"line_length": 10}, "Insufficient console width to print summary."),
        ({"layer_range": ["flat"]}, "layer_range must be a list or tuple of length 2"),
        ({"layer_range": ["flat", 3]}, "layer_range should contain string type only"),
        ({"layer_range": ["flat", "gone"]}, "Passed layer_names do not match the layer names"),
    ],
)
def test_bad_options_of_a_summary(options, message):
    for side in SIDES:
        with pytest.raises(ValueError, match=message):
            model_of(side().ns).summary(**options)


@pytest.mark.parametrize(
    "dtype",
    [
        None, int, float, bool, str, complex, "int", "float32", "bfloat16", np.float64, np.uint8,
        np.dtype("int16"), np.dtype(">f4"), np.zeros(2, np.int32).dtype,
    ],
    ids=str,
)  # fmt: skip
def test_standardize_dtype(dtype):
    ours, theirs = both(lambda ns: ns.utils.standardize_dtype(dtype))
    assert ours == theirs


@pytest.mark.parametrize("dtype", ["float", "float31", object, list, np.dtype("M8[s]"), 3], ids=str)
def test_standardize_dtype_refuses_alike(dtype):
    for side in SIDES:
        with pytest.raises(ValueError, match="Invalid dtype: "):
            side().ns.utils.standardize_dtype(dtype)


def test_layers_deserialize_refuses_alike():
    for side in SIDES:
        ns = side().ns
        config = ns.losses.serialize(ns.losses.MeanSquaredError())
        with pytest.raises(ValueError, match=r"passed a `config` object that is not a `keras\.lay"):
            ns.layers.deserialize(config)
