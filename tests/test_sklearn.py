"""The estimator: scikit-learn's own checks, and what they do not look at."""

import copy
import pickle
import random

import numpy as np
import pytest

import minisgd

pytest.importorskip("sklearn", reason="needs scikit-learn (minisgd[sklearn])")

from sklearn.base import clone  # noqa: E402
from sklearn.datasets import make_blobs  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from minisgd.sklearn import MLPClassifier  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@parametrize_with_checks([MLPClassifier()])
def test_scikit_learn_s_own_checks(estimator, check):
    check(estimator)


def blobs(classes=3, samples=120):
    x, y = make_blobs(samples, n_features=5, centers=classes, random_state=1)
    return StandardScaler().fit_transform(x), y


def quick(**options):
    defaults = {"hidden_layer_sizes": (8,), "max_iter": 30, "learning_rate_init": 0.05}
    return MLPClassifier(**defaults | {"random_state": 0} | options)


@pytest.mark.parametrize(
    "names",
    [["a", "b"], ["b", "a", "longer"], [5, -1, 3], [False, True], [2.0, 1.0]],
    ids=str,
)
def test_classes_of_any_kind(names):
    x, y = blobs(len(names))
    labels = np.array(names)[y]
    found = quick().fit(x, labels)
    assert found.classes_.tolist() == sorted(names)
    assert found.score(x, labels) > 0.95
    assert found.predict(x).dtype == labels.dtype
    likely = found.predict_proba(x)
    assert likely.shape == (len(x), len(names))
    assert (found.classes_[likely.argmax(1)] == found.predict(x)).all()


@pytest.mark.parametrize("sizes", [(), 7, (7,), (7, 3), [7, 3]], ids=str)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_the_network_is_as_asked(sizes, activation):
    x, y = blobs()
    found = quick(hidden_layer_sizes=sizes, activation=activation, max_iter=1).fit(x, y)
    hidden = list(np.atleast_1d(sizes)) if sizes != () else []
    assert [w.shape[1] for w in found.coefs_] == [*hidden, 3]
    assert [w.shape for w in found.intercepts_] == [(n,) for n in [*hidden, 3]]
    expected = {"identity": "linear", "logistic": "sigmoid"}.get(activation, activation)
    assert all(layer.activation.__name__ == expected for layer in found.model_.layers[:-1])


def test_it_is_what_fit_does():
    """The same network, trained by hand: the estimator adds nothing."""
    x, y = blobs()
    found = quick(shuffle=False, max_iter=4, batch_size=32, momentum=0.5).fit(x, y)
    start = quick(shuffle=False, max_iter=4, batch_size=32, momentum=0.5)
    start.classes_, start.n_features_in_ = found.classes_, 5
    start._start()
    history = start.model_.fit(
        x.astype(np.float32), y, batch_size=32, epochs=4, shuffle=False, verbose=0
    )
    assert found.loss_curve_ == history.history["loss"]
    assert found.n_iter_ == 4 and found.loss_ == found.loss_curve_[-1]
    for ours, theirs in zip(found.model_.get_weights(), start.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_random_state_repeats_a_fit_and_leaves_global_states_alone():
    x, y = blobs()
    minisgd.utils.set_random_seed(9)
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    curves = [quick(random_state=seed).fit(x, y).loss_curve_ for seed in (3, 3, 4)]
    assert curves[0] == curves[1] != curves[2]
    generators = [quick(random_state=np.random.RandomState(3)).fit(x, y) for _ in range(2)]  # noqa: NPY002
    assert generators[0].loss_curve_ == generators[1].loss_curve_ == curves[0]
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert minisgd.random._Global.seed == 9
    unseeded = [quick(random_state=None).fit(x, y).loss_curve_ for _ in range(2)]
    assert unseeded[0] != unseeded[1]


def test_layers_made_later_have_the_names_that_they_would_have_had():
    minisgd.utils.clear_session(free_memory=False)
    quick(max_iter=1).fit(*blobs())
    assert minisgd.layers.Dense(2).name == "dense"
    assert minisgd.Sequential().name == "sequential"


def test_a_sample_s_probabilities_do_not_depend_on_its_company():
    x, y = blobs(samples=450)
    found = quick().fit(x, y)
    whole = found.predict_proba(x)
    order = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_array_equal(found.predict_proba(x[order]), whole[order])
    single = np.concatenate([found.predict_proba(x[i : i + 1]) for i in range(20)])
    np.testing.assert_array_equal(single, whole[:20])


@pytest.mark.parametrize("batch_size", [1, 7, 1000, "auto"])
def test_batches(batch_size):
    x, y = blobs(samples=29)
    found = quick(batch_size=batch_size, max_iter=10, learning_rate_init=0.02).fit(x, y)
    assert found.score(x, y) > 0.9
    steps = {1: 29, 7: 5}.get(batch_size, 1)
    assert int(found.model_.optimizer.iterations.numpy()) == 10 * steps


@pytest.mark.parametrize(
    "duplicate",
    [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy],
    ids=["pickle", "deepcopy"],
)
def test_copies_of_a_fitted_estimator(duplicate):
    x, y = blobs()
    found = quick().fit(x, y)
    other = duplicate(found)
    np.testing.assert_array_equal(other.predict_proba(x), found.predict_proba(x))
    # They go on alike, the order of samples included.
    assert other.partial_fit(x, y).loss_ == found.partial_fit(x, y).loss_
    fresh = clone(found)
    assert fresh.get_params() == found.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(x)


def test_partial_fit_goes_on():
    x, y = blobs()
    whole = quick(max_iter=5).fit(x, y)
    parts = quick()
    for call in range(5):
        parts.partial_fit(x, y, classes=[2, 1, 0] if call == 0 else None)
    assert parts.loss_curve_ == whole.loss_curve_
    assert parts.n_iter_ == 5
    seen = quick().partial_fit(x[y < 2], y[y < 2], classes=[0, 1, 2])
    assert seen.predict_proba(x).shape == (len(x), 3)


def test_early_stopping_keeps_the_best_weights():
    x, y = blobs(samples=60)
    x = x + np.random.default_rng(0).normal(0, 2, x.shape)  # hard to tell apart
    options = {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 5}
    found = quick(**options, max_iter=200).fit(x, y)
    scores = found.validation_scores_
    assert len(scores) == found.n_iter_ < 200
    assert max(scores[-6:]) <= max(scores[:-6]) + found.tol
    again = quick(**options, max_iter=int(np.argmax(scores)) + 1).fit(x, y)
    for ours, theirs in zip(found.model_.get_weights(), again.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert quick().fit(x, y).validation_scores_ is None


def test_training_ends_where_the_loss_stays():
    x, y = blobs()
    found = quick(max_iter=500, tol=0.01, n_iter_no_change=3).fit(x, y)
    curve = found.loss_curve_
    assert found.n_iter_ < 500
    assert min(curve[-4:]) > min(curve[:-4]) - 4 * 0.01


@pytest.mark.filterwarnings("error")
def test_not_converged_is_said():
    x, y = blobs()
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached"):
        quick(max_iter=2, tol=0).fit(x, y)


def test_verbose(capsys):
    quick(max_iter=2, verbose=True).fit(*blobs())
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        "Iteration 1",
        "Iteration 2",
    ]


def test_in_a_pipeline_and_a_search():
    x, y = blobs()
    pipeline = make_pipeline(StandardScaler(), quick())
    search = GridSearchCV(pipeline, {"mlpclassifier__hidden_layer_sizes": [(4,), (8, 4)]}, cv=2)
    assert search.fit(x, y).score(x, y) > 0.95


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": (0,)}, "`hidden_layer_sizes`: expected a whole number from 1"),
        ({"hidden_layer_sizes": (3.5,)}, "`hidden_layer_sizes`"),
        ({"hidden_layer_sizes": "ab"}, "`hidden_layer_sizes`"),
        ({"activation": "swish"}, "`activation`: expected one of"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"batch_size": "all"}, "`batch_size`"),
        ({"max_iter": 0}, "`max_iter`"),
        ({"max_iter": 2.0}, "`max_iter`"),
        ({"learning_rate_init": -1.0}, "`learning_rate_init`"),
        ({"learning_rate_init": float("nan")}, "`learning_rate_init`"),
        ({"momentum": 1.5}, "`momentum`: expected a number from 0 to 1"),
        ({"momentum": True}, "`momentum`"),
        ({"tol": "small"}, "`tol`"),
        ({"n_iter_no_change": 0}, "`n_iter_no_change`"),
        ({"early_stopping": True, "validation_fraction": 2}, "`validation_fraction`"),
    ],
)
def test_bad_parameters(parameters, message):
    estimator = MLPClassifier(**parameters)
    with pytest.raises(ValueError, match=message):
        estimator.fit(*blobs())
    assert not hasattr(estimator, "model_")


def test_bad_data():
    x, y = blobs()
    with pytest.raises(ValueError, match="number of classes has to be greater than one"):
        quick().fit(x, np.zeros(len(x), int))
    with pytest.raises(ValueError, match="NaN"):
        quick().fit(np.full_like(x, np.nan), y)
    with pytest.raises(ValueError, match="too large for dtype"):
        quick().fit(x * 1e300, y)
    with pytest.raises(ValueError, match="classes must be passed"):
        quick().partial_fit(x, y)
    with pytest.raises(ValueError, match=r"not in `classes`: \[2\]"):
        quick().partial_fit(x, y, classes=[0, 1])
    found = quick().partial_fit(x, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="`classes`: expected those of the first call"):
        found.partial_fit(x, y, classes=[0, 1])
    with pytest.raises(ValueError, match="early_stopping"):
        quick(early_stopping=True).partial_fit(x, y, classes=[0, 1, 2])


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:the loss is")
def test_a_run_that_diverges_is_refused():
    x, y = blobs()
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        quick(learning_rate_init=1e30, batch_size=5).fit(x * 1e10, y)


def test_images_of_digits():
    (x, y), (x_test, y_test) = minisgd.datasets.mnist.load_data()
    x, x_test = (a.reshape(-1, 784) / 255 for a in (x[:5000], x_test[:2000]))
    found = quick(hidden_layer_sizes=(64,), max_iter=5, batch_size=32).fit(x, y[:5000])
    assert found.score(x_test, y_test[:2000]) > 0.88
