"""Layers and Sequential: structure, names, weights, and inputs that don't fit."""

import numpy as np
import pytest

import minisgd as keras
from minisgd import layers

F32 = np.float32


@pytest.fixture(autouse=True)
def fresh_names():
    keras.utils.clear_session(free_memory=False)


def mlp():
    return keras.Sequential(
        [layers.Dense(4, activation="relu", input_shape=(3,)), layers.Dense(2, "softmax")]
    )


def one_hot(n, classes=2):
    return np.eye(classes, dtype=F32)[np.arange(n) % classes]


# --- Dense ---
def test_dense_is_x_times_kernel_plus_bias():
    layer = layers.Dense(2, bias_initializer="ones")
    x = np.arange(6, dtype=F32).reshape(2, 3)
    out = layer(x)
    np.testing.assert_allclose(out.numpy(), x @ layer.kernel.numpy() + 1, rtol=1e-6)
    assert [w.path for w in layer.weights] == ["dense/kernel", "dense/bias"]
    layer.set_weights([-np.ones((3, 2)), np.array([20, 0])])
    layer.activation = keras.activations.get("relu")
    assert layer(x).numpy().tolist() == [[17, 0], [8, 0]]


def test_dense_without_bias():
    layer = layers.Dense(2, use_bias=False)
    x = np.arange(6, dtype=F32).reshape(2, 3)
    np.testing.assert_allclose(layer(x).numpy(), x @ layer.kernel.numpy(), rtol=1e-6)
    assert layer.bias is None
    assert layer.count_params() == 6


def test_dense_works_on_the_last_axis():
    layer = layers.Dense(5, "relu")
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(F32)
    out = layer(x)
    assert out.shape == (2, 3, 5)
    np.testing.assert_array_equal(out.numpy()[1], layer(x[1]).numpy())


@pytest.mark.parametrize("units", [0, -1, 2.0, np.int64(3), True, "4", None])
def test_units_must_be_a_positive_int(units):
    with pytest.raises(ValueError, match="invalid value for `units`"):
        layers.Dense(units)


def test_float64_layers():
    layer = layers.Dense(2, dtype="float64")
    assert layer(np.ones((1, 3), F32)).dtype == "float64"
    assert layer.kernel.dtype == "float64"
    with pytest.raises(ValueError, match="expected float32 or float64"):
        layers.Dense(2, dtype="float16")


def test_unknown_arguments_are_refused():
    with pytest.raises(ValueError, match=r"Unrecognized keyword arguments .*unit"):
        layers.Flatten(unit=3)


# --- Flatten, Activation, Dropout ---
def test_flatten_keeps_the_batch():
    x = np.arange(2 * 28 * 28, dtype=F32).reshape(2, 28, 28)
    assert layers.Flatten()(x).numpy().tolist() == x.reshape(2, 784).tolist()
    assert layers.Flatten()(np.ones(3, F32)).shape == (3, 1)
    assert layers.Flatten().compute_output_shape((None, 28, 28)) == (None, 784)
    assert layers.Flatten().compute_output_shape((None, None, 28)) == (None, None)


def test_activation_layer():
    x = np.array([[-1, 2]], F32)
    assert layers.Activation("relu")(x).numpy().tolist() == [[0, 2]]
    assert layers.Activation("linear")(x).numpy().tolist() == [[-1, 2]]
    assert layers.Activation(lambda t: t * 2)(x).numpy().tolist() == [[-2, 4]]


def test_dropout_of_nothing_and_of_everything():
    x = np.ones((2, 3), F32)
    assert layers.Dropout(0)(x, training=True).numpy().tolist() == x.tolist()
    assert not layers.Dropout(1.0)(x, training=True).numpy().any()


@pytest.mark.parametrize("rate", [-0.1, 1.5, "0.5", None, float("nan")])
def test_dropout_rate(rate):
    with pytest.raises(ValueError, match="argument `rate`"):
        layers.Dropout(rate)


def test_dropout_noise_shape():
    out = layers.Dropout(0.5, noise_shape=(None, 1), seed=1)(np.ones((40, 3), F32), training=True)
    assert set(out.numpy().sum(1).tolist()) == {0, 6}


# --- Sequential ---
def test_names_count_up():
    model = mlp()
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    assert model.name == "sequential"
    assert layers.Dense(1).name == "dense_2"
    assert layers.Dense(1, name="mine").name == "mine"
    assert mlp().name == "sequential_1"
    paths = [w.path for w in model.weights]
    assert paths[0] == "sequential/dense/kernel"
    assert paths[3] == "sequential/dense_1/bias"


@pytest.mark.parametrize("how", ["input_shape", "input_dim", "Input", "add"])
def test_ways_to_say_the_input_shape(how):
    if how == "add":
        model = keras.Sequential()
        model.add(keras.Input(shape=(3,)))
        model.add(layers.Dense(4))
    elif how == "Input":
        model = keras.Sequential([keras.Input((3,)), layers.Dense(4)])
    else:
        model = keras.Sequential([layers.Dense(4, **{how: (3,) if how == "input_shape" else 3})])
    assert model.built
    assert len(model.layers) == 1
    assert model.input_shape == (None, 3)
    assert model.output_shape == (None, 4)
    assert model.count_params() == 16


def test_deferred_build():
    model = keras.Sequential([layers.Flatten(), layers.Dense(4)])
    assert not model.built
    assert model.weights == []
    with pytest.raises(ValueError, match="isn't built"):
        model.count_params()
    assert model(np.zeros((5, 2, 3), F32)).shape == (5, 4)
    assert model.built
    assert model.input_shape == (None, 2, 3)
    assert model.layers[1].kernel.shape == (6, 4)


def test_add_and_pop():
    model = mlp()
    x = np.ones((2, 3), F32)
    last = model.layers[-1]
    weights = model.get_weights()
    assert model.pop() is last
    assert model.output_shape == (None, 4)
    assert model(x).shape == (2, 4)
    model.add(layers.Dense(7))
    assert model(x).shape == (2, 7)
    for kept, before in zip(model.get_weights()[:2], weights[:2], strict=True):
        np.testing.assert_array_equal(kept, before)
    for _ in model.layers:
        model.pop()
    with pytest.raises(IndexError, match="no layers"):
        model.pop()


def test_models_nest():
    inner = keras.Sequential([layers.Dense(4, "relu", input_shape=(3,)), layers.Dense(5)])
    model = keras.Sequential([inner, layers.Dense(2)])
    x = np.ones((1, 3), F32)
    assert model(x).shape == (1, 2)
    assert len(model.trainable_variables) == 6
    assert model.count_params() == 16 + 25 + 12


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        ([3], "Only instances of `keras.Layer`"),
        ([layers.Dense], "Only instances of `keras.Layer`"),
        (["a", "a"], "unique names.*'a'"),
        (["in", "in"], "already been configured"),
        (["a", "in"], "already been configured"),
    ],
)
def test_stacks_that_make_no_model(stack, message):
    made = {"a": lambda: layers.Dense(2, name="a"), "in": lambda: keras.Input((3,))}
    stack = [made[item]() if isinstance(item, str) else item for item in stack]
    with pytest.raises(ValueError, match=message):
        keras.Sequential(stack)


@pytest.mark.parametrize("shape", [(0,), (-3,), (2.5,), ("3",)])
def test_input_shapes_that_are_none(shape):
    with pytest.raises(ValueError, match="expected positive ints or None"):
        keras.Input(shape)


def test_get_layer():
    model = mlp()
    assert model.get_layer("dense_1") is model.get_layer(index=1) is model.layers[1]
    with pytest.raises(ValueError, match=r"No such layer: x.*dense"):
        model.get_layer("x")
    with pytest.raises(ValueError, match="index 2 but model only has 2"):
        model.get_layer(index=2)
    with pytest.raises(ValueError, match="either a layer name or layer index"):
        model.get_layer()


def test_a_frozen_layer():
    keras.utils.set_random_seed(0)  # some starts have no hidden unit that this input reaches
    model = mlp()
    model.layers[0].trainable = False
    assert [w.path for w in model.trainable_variables] == [
        "sequential/dense_1/kernel",
        "sequential/dense_1/bias",
    ]
    assert len(model.non_trainable_weights) == 2
    model.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy")
    before = model.get_weights()
    model.fit(np.ones((2, 3), F32), one_hot(2)[[0, 0]], verbose=0)
    after = model.get_weights()
    assert [np.array_equal(a, b) for a, b in zip(after, before, strict=True)] == [
        True,
        True,
        False,
        False,
    ]
    model.trainable = False
    assert model.trainable_variables == []
    model.trainable = True
    assert len(model.trainable_variables) == 4


def test_the_functional_api_is_refused_with_advice():
    for called in (layers.Dense(3), mlp()):
        with pytest.raises(NotImplementedError, match=r"functional API.*Sequential\(\["):
            called(keras.Input((3,)))


# --- weights ---
def test_get_weights_are_copies_and_set_weights_copies():
    model = mlp()
    weights = model.get_weights()
    assert [w.shape for w in weights] == [(3, 4), (4,), (4, 2), (2,)]
    assert all(w.dtype == F32 for w in weights)
    weights[0][:] = 7
    assert not (model.get_weights()[0] == 7).any()
    model.set_weights(weights)
    weights[0][:] = 8
    assert (model.get_weights()[0] == 7).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w[:1], "weight list of length 1, but the layer was expecting 4 weights"),
        (lambda w: [*w[:3], np.ones(3)], r"weight shape \(2,\) is not compatible with .*\(3,\)"),
        (lambda w: [*w[:3], np.array(["a", "b"])], "dtype <U1"),
    ],
)
def test_set_weights_changes_all_or_nothing(change, message):
    model = mlp()
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.set_weights(change([w + 1 for w in before]))
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


# --- summary ---
def test_summary():
    model = keras.Sequential(
        [layers.Dense(128, "relu", input_shape=(784,)), layers.Dense(10, "softmax")]
    )
    texts = []
    model.summary(line_length=76, print_fn=texts.append)
    assert len(texts) == 1
    lines = [line.rstrip() for line in texts[0].splitlines()]
    assert lines[0] == 'Model: "sequential"'
    assert lines[1][0] + lines[1][-1] == "┏┓"
    assert {len(line) for line in lines[1:8]} == {76}
    rows = [line.split("│")[1:-1] for line in lines if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["dense (Dense)", "(None, 128)", "100,480"],
        ["dense_1 (Dense)", "(None, 10)", "1,290"],
    ]
    assert lines[-3:] == [
        " Total params: 101,770 (397.54 KB)",
        " Trainable params: 101,770 (397.54 KB)",
        " Non-trainable params: 0 (0.00 B)",
    ]
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "categorical_crossentropy")
    model.train_on_batch(np.zeros((1, 784), F32), np.eye(10, dtype=F32)[:1])
    model.summary(print_fn=texts.append)
    assert " Total params: 203,542 (795.09 KB)" in texts[1]
    assert " Optimizer params: 101,772 (397.55 KB)" in texts[1]


def test_summary_of_an_unbuilt_model(capsys):
    keras.Sequential([layers.Dense(3, name="[odd]")], name="m").summary()
    printed = capsys.readouterr().out
    assert 'Model: "m"' in printed
    assert "[odd] (Dense)" in printed
    assert "0 (unbuilt)" in printed


# --- inputs that don't fit: refused before any weight moves ---
X, Y = np.ones((8, 3), F32), one_hot(8)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((8, 5), F32), Y, r"'dense'.*to have value 3, .*\(1, 5\)"),
        (np.ones((8, 3, 2), F32), Y, r"'sequential'.*\(None, 3\).*\(1, 3, 2\)"),
        (np.ones(8, F32), Y, r"\(None, 3\).*\(1,\)"),
        (X, Y[:6], "ambiguous(.|\n)*'x' sizes: 8\n'y' sizes: 6"),
        (X, one_hot(8, 3), r"same shape.*\(1, 3\).*\(1, 2\)"),
        (X, np.zeros(8), "same rank"),
        (X.astype("U3"), Y, "Invalid dtype: <U3. `x`"),
        (X.astype(object), Y, "Invalid dtype: object. `x`"),
        (X.astype(np.complex64), Y, "Invalid dtype: complex64. `x`"),
        (X, Y.astype("U3"), "Invalid dtype: <U3. `y`"),
        ({"x": X}, Y, "Unrecognized data type: x is of type dict"),
        (X, {"y": Y}, "Unrecognized data type: y is of type dict"),
        (X, None, "None values not supported"),
        (np.float32(1), Y, "at least one axis"),
        (X[:0], Y[:0], "expected at least one sample"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "train_on_batch"])
def test_data_that_does_not_fit(method, x, y, message):
    model = mlp()
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), "categorical_crossentropy")
    before = model.get_weights()
    message = message.replace(r"\(1", r"\((1|8)")
    kwargs = {"verbose": 0} if method == "fit" else {}
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(x, y, **kwargs)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(model.optimizer.iterations) == 0


def test_a_wrong_label_far_back_is_found_before_training():
    model = mlp()
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    before = model.get_weights()
    y = np.zeros(8, np.int64)
    y[7] = 2
    with pytest.raises(ValueError, match="whole numbers from 0 to 1"):
        model.fit(X, y, batch_size=2, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(8, 2), (8, 3, 1), (8, 0)])
def test_sample_weights_of_another_shape(shape):
    model = mlp()
    model.compile("sgd", "categorical_crossentropy")
    before = model.get_weights()
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X, Y, sample_weight=np.ones(shape, F32), batch_size=2, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


# --- inputs that do fit, in whatever form ---
def forms():
    """The same whole numbers in every form that an array can have."""
    plain = np.random.default_rng(2).integers(0, 2, (20, 3)).astype(F32)
    wide = np.zeros((40, 6), F32)
    wide[::2, ::2] = plain
    shifted = np.zeros(plain.nbytes + 1, np.uint8)[1:].view(F32).reshape(plain.shape)
    shifted[:] = plain
    frozen = plain.copy()
    frozen.flags.writeable = False
    return plain, {
        "float64": plain.astype(np.float64),
        "float16": plain.astype(np.float16),
        "uint8": plain.astype(np.uint8),
        "int64": plain.astype(np.int64),
        "bool": plain.astype(bool),
        "big-endian": plain.astype(">f4"),
        "big-endian ints": plain.astype(">i4"),
        "Fortran": np.asfortranarray(plain),
        "strided": wide[::2, ::2],
        "reversed": plain[::-1].copy()[::-1],
        "read-only": frozen,
        "unaligned": shifted,
        "a subclass": np.ma.masked_array(plain),
        "a Tensor": keras.ops.convert_to_tensor(plain),
    }


@pytest.mark.parametrize("form", forms()[1])
def test_the_form_of_the_data_does_not_change_a_bit(form):
    plain, others = forms()
    other = others[form]
    labels = one_hot(20)

    def train(x, y):
        keras.utils.set_random_seed(1)
        model = mlp()
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "categorical_crossentropy")
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        return [*model.get_weights(), model.predict(x, verbose=0)]

    for a, b in zip(train(other, labels), train(plain, labels), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(np.asarray(other), plain)  # the caller's data are untouched


@pytest.mark.parametrize("dtype", ["float64", "uint8", "bool", ">f4", "int32"])
def test_the_form_of_the_labels_does_not_change_a_bit(dtype):
    plain = forms()[0]

    def train(y):
        keras.utils.set_random_seed(1)
        model = mlp()
        model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(plain, y, batch_size=8, verbose=0).history
        return history, model.get_weights()

    (history, weights), (expected, expected_weights) = (
        train(one_hot(20).astype(dtype)),
        train(one_hot(20)),
    )
    assert history == expected
    np.testing.assert_array_equal(weights[0], expected_weights[0])
