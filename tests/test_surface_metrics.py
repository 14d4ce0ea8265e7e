"""Metrics and losses without a reference: counters, bad input, what the compiler leaves alone."""

import warnings

import numpy as np
import pytest

import minisgd as keras
from minisgd import losses, metrics
from minisgd.compiler import compiled_source
from minisgd.metrics.metric import count_up
from minisgd.tensor import Tensor

F32 = np.float32
X = np.random.default_rng(0).standard_normal((8, 5)).astype(F32)
Y = np.eye(3, dtype=F32)[[0, 1, 2, 0, 1, 2, 0, 1]]


def model(**kwargs):
    m = keras.Sequential([keras.layers.Dense(3, "softmax", input_shape=(5,))])
    m.compile("sgd", "categorical_crossentropy", **kwargs)
    return m


# --- exact counters ---
LIMIT = 2**24


def test_counters_are_keras_s_below_the_limit_and_exact_above():
    thirds = F32(0)
    total = 0.0
    for _ in range(100):
        thirds, total = thirds + F32(1 / 3), count_up(total, F32(1 / 3))
    assert total == thirds
    assert count_up(LIMIT - 1, 1) == LIMIT
    assert count_up(LIMIT, 1) == LIMIT + 1  # a float32 stays where it is


@pytest.mark.parametrize(
    ("make", "attribute"),
    [
        (metrics.TruePositives, "true_positives"),
        (metrics.Precision, "true_positives"),
        (metrics.AUC, "true_positives"),
    ],
)
def test_counts_of_positives_after_2_to_the_24(make, attribute):
    metric = make()
    setattr(metric, attribute, np.full(len(metric.thresholds), LIMIT, np.float64))
    for _ in range(3):
        metric.update_state(np.array([1.0]), np.array([0.9]))
    middle = len(metric.thresholds) // 2
    assert getattr(metric, attribute)[middle] == LIMIT + 3


@pytest.mark.parametrize("name", ["Accuracy", "TopKCategoricalAccuracy", "BinaryAccuracy"])
@pytest.mark.parametrize("weight", [None, np.ones(1, F32)])
def test_accuracies_after_2_to_the_24(name, weight):
    metric = getattr(metrics, name)()
    metric.add(LIMIT, LIMIT)
    for _ in range(5):
        metric.update_state(np.ones((1, 1)), np.ones((1, 1), F32), weight)
    assert metric._right == metric._seen == LIMIT + 5


def test_a_mean_counts_weights_beyond_2_to_the_24():
    metric = metrics.MeanSquaredError()
    metric._count = float(LIMIT)
    for _ in range(3):
        metric.update_state(np.zeros((1, 2)), np.zeros((1, 2), F32), np.ones(1, F32))
    assert metric._count == LIMIT + 3


def test_f_scores_count_beyond_2_to_the_24():
    metric = metrics.F1Score()
    metric._tp = np.full(2, LIMIT, np.float64)
    for _ in range(3):
        metric.update_state(np.ones((1, 2)), np.ones((1, 2), F32))
    assert metric._tp.tolist() == [LIMIT + 3] * 2


# --- bad input; more in tests/bad_inputs ---
def refused(loss, labels, message, **kwargs):
    m = keras.Sequential([keras.layers.Dense(3, "softmax", input_shape=(5,))])
    m.compile("sgd", loss, **kwargs)
    before = m.get_weights()
    with pytest.raises(ValueError, match=message):
        m.fit(X, labels, verbose=0)
    for a, b in zip(before, m.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


CLASSES = np.array([0, 1, 2, 0, 1, 2, 0, 1])
ELEMENTWISE = [
    "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error", "cosine_similarity", "huber", "log_cosh", "hinge",
    "squared_hinge", "categorical_hinge", "kl_divergence", "poisson", "binary_crossentropy",
    "binary_focal_crossentropy", "categorical_focal_crossentropy",
]  # fmt: skip


@pytest.mark.parametrize("loss", ELEMENTWISE)
@pytest.mark.parametrize("labels", [Y[:, :2], Y[:, :1], CLASSES], ids=["width", "column", "rank"])
def test_labels_of_another_width(loss, labels):
    """Keras repeats a column, or takes (N,) for a row, in silence."""
    refused(loss, labels, r"shape|rank")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"weighted_metrics": ["acuracy"]}, "Did you mean 'accuracy'"),
        ({"metrics": "mse"}, r"Expected `metrics` argument to be a list.*metrics=\[...\]"),
        ({"weighted_metrics": "mse"}, "Expected `weighted_metrics` argument to be a list"),
        ({"metrics": [None]}, "Expected metric, received `None`"),
    ],
)
def test_compile_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        model().compile("sgd", **{"loss": "mse", **kwargs})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metrics.Precision(thresholds=1.5), r"in \[0, 1\]. Received: \[1.5\]"),
        (lambda: metrics.Recall(thresholds=[0.5, None]), r"Received: \[None\]"),
        (lambda: metrics.TruePositives(thresholds=float("nan")), r"in \[0, 1\]"),
        (lambda: metrics.AUC(num_thresholds=1), "must be an integer > 1"),
        (lambda: metrics.AUC(curve="roc!"), "Invalid AUC curve value"),
        (lambda: metrics.AUC(summation_method="sum"), "Invalid AUC summation method value"),
        (lambda: metrics.AUC(num_labels=2), "`num_labels` is needed only"),
        (lambda: metrics.F1Score(average="mean"), "Invalid `average`"),
        (lambda: metrics.FBetaScore(beta=2), "should be a Python float"),
        (lambda: metrics.FBetaScore(beta=-1.0), "should be > 0"),
        (lambda: metrics.F1Score(threshold=2.0), "0 < threshold <= 1"),
        (lambda: metrics.R2Score(num_regressors=-1), "Expected a value >= 0"),
        (lambda: metrics.R2Score("mean"), "`class_aggregation`"),
        (lambda: metrics.TopKCategoricalAccuracy(0), "`k`: expected a positive int"),
        (lambda: metrics.MeanSquaredError(dtype="float16"), "`dtype`"),
        (lambda: losses.Huber(dtype="float64"), "`dtype`"),
        (lambda: losses.BinaryCrossentropy(label_smoothing=1.5), "`label_smoothing`"),
        (lambda: metrics.Precision(class_id=1).update_state([1, 0], [0.5, 0.2]), "2D array"),
        (lambda: metrics.F1Score().update_state([1, 0], [0.5, 0.2]), "F1Score expects 2D inputs"),
        (lambda: metrics.Precision().update_state(Y, Y[:, :2]), "same shape"),
    ],
)
def test_settings_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_nan_is_never_among_the_top():
    p = np.array([[np.nan, 0.1, 0.2], [0.5, 0.2, 0.3]], F32)
    assert metrics.top_k_categorical_accuracy(Y[[0, 0]], p, k=3).numpy().tolist() == [0, 1]
    assert metrics.sparse_top_k_categorical_accuracy([0, 9], p, k=3).numpy().tolist() == [0, 0]


def test_cosine_similarity_of_a_zero_vector():
    """Its length counts as 1e-7, as in Keras: a steep slope, but no NaN."""
    p = Tensor(np.zeros((2, 3), F32))
    with keras.GradientTape() as tape:
        tape.watch(p)
        loss = losses.CosineSimilarity()(Y[:2], p)
    assert float(loss) == 0
    expected = np.array([[-5e6, 0, 0], [0, -5e6, 0]], F32)
    np.testing.assert_allclose(tape.gradient(loss, p).numpy(), expected, rtol=1e-6)


# --- the compiled step ---
def test_weighted_accuracy_is_not_counted_by_a_compiled_step():
    """A compiled step knows no weights: with them the steps run one by one."""
    weight = np.array([0, 1, 0, 2, 0, 1, 0, 3], F32)
    found = []
    for jit in (True, False):
        keras.utils.set_random_seed(1)
        m = model(metrics=["accuracy"], weighted_metrics=["accuracy"], jit_compile=jit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            history = m.fit(X, Y, batch_size=4, epochs=3, verbose=0, sample_weight=weight)
        found.append(history.history)
    assert found[0] == found[1]
    assert sorted(found[0]) == ["accuracy", "loss", "weighted_accuracy"]
    assert found[0]["accuracy"] != found[0]["weighted_accuracy"]


@pytest.mark.parametrize("loss", ["mse", "mean_squared_error", "MeanSquaredError"])
def test_a_loss_by_name_is_one_that_compiles(loss):
    m = keras.Sequential([keras.layers.Dense(3, input_shape=(5,))])
    m.compile("sgd", loss, metrics=["accuracy"], jit_compile=True)
    m.fit(X, Y, batch_size=4, verbose=0)
    assert "def train_step" in compiled_source(m)


def test_results_of_several_numbers_stand_in_the_history():
    m = model(metrics=[metrics.F1Score(), metrics.Precision([0.2, 0.5], name="precision")])
    history = m.fit(X, Y, epochs=2, verbose=0).history
    assert [np.shape(v) for v in history["f1_score"]] == [(3,), (3,)]
    assert [np.shape(v) for v in history["precision"]] == [(2,), (2,)]
    for verbose in (1, 2):
        m.fit(X, Y, verbose=verbose)
