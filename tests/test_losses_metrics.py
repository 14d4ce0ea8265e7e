"""Losses and metrics: values by hand, reductions, weights, names."""

import numpy as np
import pytest

import minisgd as keras
from minisgd import GradientTape, Variable, losses, metrics, numerics, ops
from minisgd.metrics import resolve

F32 = np.float32
Y = np.array([[1, 0, 0], [0, 1, 0]], F32)
P = np.array([[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]], F32)
EACH = [-np.log(0.7), -np.log(0.25)]


# --- losses ---
def test_categorical_crossentropy():
    values = losses.categorical_crossentropy(Y, P)
    np.testing.assert_allclose(values.numpy(), EACH, rtol=1e-6)
    assert float(losses.CategoricalCrossentropy()(Y, P)) == pytest.approx(np.mean(EACH), rel=1e-6)
    logits = np.log(P) + 3
    from_logits = losses.CategoricalCrossentropy(from_logits=True)(Y, logits)
    assert float(from_logits) == pytest.approx(np.mean(EACH), rel=1e-6)


def test_sparse_categorical_crossentropy():
    for labels in (np.array([0, 1]), np.array([[0], [1]], F32)):
        loss = losses.SparseCategoricalCrossentropy()(labels, P)
        assert float(loss) == pytest.approx(np.mean(EACH), rel=1e-6)


def test_label_smoothing():
    loss = losses.CategoricalCrossentropy(label_smoothing=0.3)(Y, P)
    smooth = Y * 0.7 + 0.1
    assert float(loss) == pytest.approx(-(smooth * np.log(P)).sum(1).mean(), rel=1e-6)


def test_mean_squared_error():
    a, b = np.array([[1, 2], [3, 5]], F32), np.array([[0, 2], [3, 3]], F32)
    assert losses.mean_squared_error(a, b).numpy().tolist() == [0.5, 2]
    assert float(losses.MeanSquaredError()(a, b)) == 1.25
    column = np.array([[1], [3]], F32)
    assert losses.mean_squared_error(np.array([0, 1]), column).numpy().tolist() == [1, 4]
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(2, 1\)"):
        losses.mean_squared_error(a, column)


WEIGHTS = np.array([3, 1], F32)
A, B = EACH


@pytest.mark.parametrize(
    ("reduction", "plain", "weighted"),
    [
        ("sum_over_batch_size", (A + B) / 2, (3 * A + B) / 2),
        ("mean", (A + B) / 2, (3 * A + B) / 2),
        ("sum", A + B, 3 * A + B),
        ("mean_with_sample_weight", (A + B) / 2, (3 * A + B) / 4),
        ("none", [A, B], [3 * A, B]),
        (None, [A, B], [3 * A, B]),
    ],
)
def test_reductions(reduction, plain, weighted):
    loss = losses.CategoricalCrossentropy(reduction=reduction)
    np.testing.assert_allclose(loss(Y, P).numpy(), plain, rtol=1e-6)
    for weights in (WEIGHTS, WEIGHTS[:, None], WEIGHTS.astype(np.float64)):
        np.testing.assert_allclose(loss(Y, P, weights).numpy(), weighted, rtol=1e-6)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_weights_of_zero_give_a_loss_and_a_gradient_of_zero(reduction):
    z = Variable(np.zeros((2, 3), F32))
    loss = losses.CategoricalCrossentropy(from_logits=True, reduction=reduction)
    with GradientTape() as tape:
        value = loss(Y, z, np.zeros(2, F32))
    assert float(value) == 0
    assert tape.gradient(value, z).numpy().tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("shape", [(3,), (2, 2), (2, 3)])
def test_sample_weights_of_another_shape(shape):
    with pytest.raises(ValueError, match="sample_weight"):
        losses.CategoricalCrossentropy()(Y, P, np.ones(shape, F32))


@pytest.mark.parametrize("name", ["mse", "MSE", "mean_squared_error", "MeanSquaredError"])
def test_names_of_losses(name):
    assert type(losses.resolve(name)) is losses.MeanSquaredError
    function = losses.mean_squared_error
    if name == "MeanSquaredError":
        assert type(losses.get(name)) is losses.MeanSquaredError
    else:
        assert losses.get(name) is function
    assert type(losses.resolve(function)) is losses.MeanSquaredError


def test_a_function_is_a_loss():
    loss = losses.resolve(lambda y_true, y_pred: ops.sum(ops.square(y_pred - y_true), -1))
    assert float(loss(Y, P)) == pytest.approx(float(np.sum((Y - P) ** 2, -1).mean()), rel=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.get("categorical_crossentropi"), "Did you mean 'categorical_crossentropy'"),
        (lambda: losses.get(3), "Could not interpret loss identifier: 3"),
        (lambda: losses.MeanSquaredError(reduction="max"), "argument `reduction`"),
        (lambda: losses.CategoricalCrossentropy(label_smoothing=2.0), "`label_smoothing`"),
        (lambda: losses.CategoricalCrossentropy(axis=0), "`axis`"),
    ],
)
def test_losses_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_line_is_found():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (200, 2)).astype(F32)
    y = x @ np.array([[2], [-3]], F32) + 0.5
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(2,))])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 1e-8 < losses[0]
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(kernel.ravel(), [2, -3], atol=1e-3)
    np.testing.assert_allclose(bias, [0.5], atol=1e-3)


# --- accuracy ---
PRED = np.array([[0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.4, 0.4, 0.2]], F32)
CLASSES = np.array([1, 0, 1, 0])  # right, right, wrong, right: the first of a tie counts


@pytest.mark.parametrize(
    ("y_true", "kind"),
    [
        (CLASSES, metrics.SparseCategoricalAccuracy),
        (CLASSES[:, None].astype(F32), metrics.SparseCategoricalAccuracy),
        (np.eye(3)[CLASSES], metrics.CategoricalAccuracy),
    ],
)
def test_accuracy_is_chosen_by_the_shapes(y_true, kind):
    metric = resolve("accuracy", y_true, PRED)
    assert type(metric) is kind
    assert metric.name == "accuracy"
    assert float(metric(y_true, PRED)) == 0.75
    assert float(metric(y_true[:1], PRED[:1])) == F32(4 / 5)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_binary_accuracy():
    y_true, y_pred = np.array([0, 1, 1, 0]), np.array([[0.1], [0.9], [0.5], [np.nan]], F32)
    metric = resolve("acc", y_true, y_pred)
    assert type(metric) is metrics.BinaryAccuracy
    assert metric.name == "acc"
    assert float(metric(y_true, y_pred)) == 0.5  # a half is class 0, NaN is wrong


def test_a_prediction_of_nan_is_never_right():
    y_pred = np.array([[np.nan, np.nan], [0, np.nan]], F32)
    for y_true, kind in (
        (np.array([0, 1]), metrics.SparseCategoricalAccuracy),
        (np.eye(2), metrics.CategoricalAccuracy),
    ):
        assert float(kind()(y_true, y_pred)) == 0


def test_unknown_metrics_are_refused():
    with pytest.raises(ValueError, match=r"'acuracy'.*'accuracy'"):
        resolve("acuracy", CLASSES, PRED)


# --- Mean ---
def test_mean():
    metric = metrics.Mean()
    assert float(metric.result()) == 0
    metric.update_state(F32(2), sample_weight=4)
    metric.update_state(F32(5), sample_weight=2)
    assert float(metric.result()) == 3
    metric.reset_state()
    metric.update_state([1, 2, 3])
    metric.update_state(np.array([10, 20]), [0, 1])
    assert float(metric.result()) == 26 / 4


def test_mean_rounds_its_total_to_float32():
    metric, total = metrics.Mean(), F32(0)
    values = np.random.default_rng(0).uniform(0, 3, 200).astype(F32)
    for v in values:
        metric.update_state(v, sample_weight=32)
        total = total + v * F32(32)
    assert metric.result().numpy() == total / F32(200 * 32)


# --- to_categorical ---
def test_to_categorical():
    received = keras.utils.to_categorical([2, 0], 4)
    assert received.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert keras.utils.to_categorical(np.array([[1], [0]])).tolist() == [[0, 1], [1, 0]]
    assert keras.utils.to_categorical(np.zeros((2, 3), int), 2).shape == (2, 3, 2)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [([-1, 0], None), ([3], 3), ([1.5], None), ([np.nan], None), (["a"], 2), ([], None)],
)
def test_to_categorical_refuses(labels, classes):
    with pytest.raises(ValueError, match="`x`: expected"):
        keras.utils.to_categorical(labels, classes)


@pytest.mark.parametrize("known", [False, True])
def test_gradient_of_a_constant_times_weighted_losses(known):
    """Two orders of rounding, one gradient, for the predictions and for the weights."""
    rng = np.random.default_rng(0)
    y, p, w = rng.random((6, 3)) + 1, rng.random((6, 3)), rng.random(6) + 0.5
    loss = losses.MeanAbsolutePercentageError()
    with numerics.scope(numerics.DEFAULT, shapes_known=known):
        report = keras.gradcheck(lambda p, w: loss(y, p, sample_weight=w), [p, w])
    assert report.ok and report.worst.error <= 1e-6
