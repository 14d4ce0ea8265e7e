"""A classifier for scikit-learn, trained by minisgd: ``from minisgd.sklearn import MLPClassifier``.

Needs scikit-learn: ``pip install 'minisgd[sklearn]'``.
"""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets, unique_labels
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as missing:
    raise ImportError(
        f"minisgd.sklearn needs scikit-learn ({missing}): pip install 'minisgd[sklearn]'"
    ) from missing

from minisgd import initializers, layers, optimizers
from minisgd.models import Sequential
from minisgd.tensor import Array, as_kernel_array

__all__ = ["MLPClassifier"]

# scikit-learn's names of activations, and Keras's.
_ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}
_AUTO_BATCH = 200  # rows in a batch at most, as in scikit-learn
_MAX_SEED = 2**31 - 1


class MLPClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Multi-layer perceptron for classes, trained by SGD on the cross-entropy.

    A thin estimator around `Sequential`: the parameters are those of scikit-learn's own
    ``MLPClassifier(solver="sgd")`` that have a meaning here, with its defaults. Two classes get two
    outputs with softmax (there: one with a sigmoid), and there is no L2 penalty (there:
    ``alpha=0.0001``). Everything is computed in float32.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int
        Units of each hidden layer; an int for one layer, ``()`` for none.
    activation : {"identity", "logistic", "tanh", "relu"}
        Of the hidden layers.
    batch_size : int or "auto"
        Samples in a step; "auto": 200, or all if they are fewer.
    learning_rate_init : float
        Step size.
    momentum : float
        From 0 to 1.
    nesterovs_momentum : bool
    max_iter : int
        Epochs at most; a ConvergenceWarning says that they were all needed.
    shuffle : bool
        Whether each epoch has an order of its own.
    random_state : int, RandomState or None
        Determines the first weights, the orders and the validation samples. No global random state
        is read (unless None) or changed.
    tol : float
        Training ends when the loss (or the validation accuracy) did not get better by more than
        this for `n_iter_no_change` epochs.
    verbose : bool
        Print the loss of each epoch.
    early_stopping : bool
        Set samples aside, end by the accuracy on them, and keep the best weights.
    validation_fraction : float
        The share of samples set aside.
    n_iter_no_change : int

    Attributes
    ----------
    classes_ : array, shape (C,)
        Sorted.
    n_features_in_ : int
    feature_names_in_ : array of str
        If the data had names.
    model_ : Sequential
        The network; its outputs are in the order of `classes_`.
    n_iter_ : int
        Epochs that ran.
    loss_ : float
        Of the last epoch, in nats.
    loss_curve_ : list of float
        Loss of each epoch.
    validation_scores_ : list of float or None
        Accuracy after each epoch, with `early_stopping`.

    References
    ----------
    scikit-learn, ``sklearn.neural_network.MLPClassifier``.
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.001,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
    ) -> None:
        # scikit-learn's rule: a constructor stores, and `fit` checks.
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change

    # --- training ---
    def fit(self, X: Any, y: Any) -> MLPClassifier:  # noqa: N803  # scikit-learn's name
        """Train anew.

        Parameters
        ----------
        X : array_like, shape (N, D)
            Finite numbers.
        y : array_like, shape (N,)
            Classes: ints, strings or bools, at least two of them.

        Returns
        -------
        MLPClassifier
            Itself.

        Raises
        ------
        ValueError
            If the data or a parameter is not as said, or the weights stop being finite.

        Warns
        -----
        ConvergenceWarning
            If training was still under way after `max_iter` epochs.
        """
        x, y = self._checked_data(X, y, reset=True)
        self._check_parameters()
        self.classes_ = unique_labels(y)
        self._start()
        kept = x[:0], y[:0]
        if self.early_stopping:
            x, y, *aside = self._set_aside(x, y)
            kept = aside[0], aside[1]
        stopped = _Patience(self.tol, self.n_iter_no_change)
        best_weights = None
        for _ in range(self.max_iter):
            self._run_epoch(x, y)
            badness = self.loss_
            if self.early_stopping:
                self.validation_scores_.append(self._accuracy(*kept))
                badness = -self.validation_scores_[-1]
            if stopped.sees_a_best(badness) and self.early_stopping:
                best_weights = self.model_.get_weights()
            if stopped.over:
                break
        else:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                "optimization hasn't converged yet: a larger `max_iter` or `learning_rate_init`, "
                "or scaled data, may help.",
                ConvergenceWarning,
                stacklevel=2,
            )
        if best_weights is not None:
            self.model_.set_weights(best_weights)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> MLPClassifier:  # noqa: N803
        """Train for one epoch on these samples, from the present weights on.

        Parameters
        ----------
        X, y : array_like
            See `fit`.
        classes : array_like, shape (C,)
            All classes that will ever come; for the first call. Later it may be left out.

        Returns
        -------
        MLPClassifier
            Itself.

        Raises
        ------
        ValueError
            See `fit`; if `classes` is missing at first, or differs later; with `early_stopping`.
        """
        first = not hasattr(self, "model_")
        x, y = self._checked_data(X, y, reset=first)
        self._check_parameters()
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if first:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_ = unique_labels(classes)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(
                f"`classes`: expected those of the first call, {self.classes_}, received {classes}"
            )
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"`y` contains labels that are not in `classes`: {unknown}")
        if first:
            self._start()
        self._run_epoch(x, y)
        return self

    def _start(self) -> None:
        """A new network and empty records."""
        if len(self.classes_) < 2:
            raise ValueError(
                f"The number of classes has to be greater than one; got {len(self.classes_)} class"
            )
        self._random = check_random_state(self.random_state)
        self.model_ = self._network()
        self.loss_curve_: list[float] = []
        self.validation_scores_: Any = [] if self.early_stopping else None
        self.n_iter_ = 0

    def _network(self) -> Sequential:
        """The network, with names of its own: Keras's counters are left alone."""
        sizes = (*_sizes(self.hidden_layer_sizes), len(self.classes_))
        stack: list[layers.Layer] = [layers.InputLayer((self.n_features_in_,), name="features")]
        for number, units in enumerate(sizes, start=1):
            last = number == len(sizes)
            seed = int(self._random.randint(_MAX_SEED))
            stack.append(
                layers.Dense(
                    units,
                    "softmax" if last else _ACTIVATIONS[self.activation],
                    kernel_initializer=initializers.GlorotUniform(seed=seed),
                    name="classes" if last else f"hidden_{number}",
                )
            )
        model = Sequential(stack, name="mlp_classifier")
        nesterov = bool(self.nesterovs_momentum and self.momentum)
        sgd = optimizers.SGD(self.learning_rate_init, self.momentum, nesterov, name="sgd")
        model.compile(sgd, "sparse_categorical_crossentropy")
        return model

    def _set_aside(self, x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
        """Samples to train on and samples to validate on, each class in both."""
        x, x_kept, y, y_kept = train_test_split(
            x,
            y,
            test_size=self.validation_fraction,
            stratify=y,
            random_state=self._random.randint(_MAX_SEED),
        )
        return x, y, x_kept, y_kept

    def _run_epoch(self, x: Array, y: Array) -> None:
        """Visit all samples once."""
        labels = np.searchsorted(self.classes_, y)
        if self.shuffle:
            order = self._random.permutation(len(x))
            x, labels = x[order], labels[order]
        history = self.model_.fit(
            x, labels, batch_size=self._batch_size(len(x)), shuffle=False, verbose=0
        ).history
        self.loss_ = float(history["loss"][0])
        self.loss_curve_.append(self.loss_)
        self.n_iter_ += 1
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
        if not all(np.isfinite(w).all() for w in self.model_.get_weights()):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large "
                "values and need to be preprocessed, or `learning_rate_init` is too large."
            )

    def _batch_size(self, samples: int) -> int:
        size = _AUTO_BATCH if self.batch_size == "auto" else int(self.batch_size)
        return min(size, samples)

    # --- what it has learnt ---
    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Probability of each class, float32, shape (N, C), in the order of `classes_`.

        A sample's probabilities do not depend on what other samples are given with it.
        """
        check_is_fitted(self, "model_")
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large is refused, by name
            x = validate_data(self, X, reset=False, dtype=np.float32, order="C")
        return self._probabilities(x)

    def _probabilities(self, x: Array) -> Array:
        # Sums are rounded in an order that depends on the number of rows: always the same number.
        rows = _AUTO_BATCH
        padded = np.concatenate([x, np.zeros((-len(x) % rows, x.shape[1]), x.dtype)])
        found: Array = self.model_.predict(padded, batch_size=rows, verbose=0)
        return found[: len(x)]

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The most likely class of each sample, shape (N,)."""
        probabilities = self.predict_proba(X)
        found: Array = self.classes_[probabilities.argmax(1)]
        return found

    def _accuracy(self, x: Array, y: Array) -> float:
        return float(np.mean(self.classes_[self._probabilities(x).argmax(1)] == y))

    @property
    def coefs_(self) -> list[Array]:
        """Kernel of each layer, shape (inputs, units)."""
        return [layer.get_weights()[0] for layer in self.model_.layers]

    @property
    def intercepts_(self) -> list[Array]:
        """Bias of each layer, shape (units,)."""
        return [layer.get_weights()[1] for layer in self.model_.layers]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load from a pickle, also one whose arrays joblib maps read-only from a file."""
        super().__setstate__(state)
        if hasattr(self, "model_"):
            state_of = getattr(self.model_.optimizer, "variables", ())
            for variable in (*self.model_.weights, *state_of):
                variable._array = as_kernel_array(variable)

    # --- checks ---
    def _checked_data(self, x: Any, y: Any, reset: bool) -> tuple[Array, Array]:
        """Rows of finite float32, and one class a row."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large is refused, by name
            x, y = validate_data(self, x, y, reset=reset, dtype=np.float32, order="C")
        check_classification_targets(y)
        return x, y

    def _check_parameters(self) -> None:
        """Refuse what is outside its meaning."""
        _sizes(self.hidden_layer_sizes)
        if self.activation not in _ACTIVATIONS:
            raise ValueError(
                f"`activation`: expected one of {list(_ACTIVATIONS)}, received {self.activation!r}"
            )
        if self.batch_size != "auto":
            _check("batch_size", self.batch_size, int, 1)
        _check("max_iter", self.max_iter, int, 1)
        _check("n_iter_no_change", self.n_iter_no_change, int, 1)
        _check("learning_rate_init", self.learning_rate_init, float, 0)
        _check("momentum", self.momentum, float, 0, 1)
        _check("tol", self.tol, float, 0)
        if self.early_stopping:
            _check("validation_fraction", self.validation_fraction, float, 0, 1)


class _Patience:
    """When to end: no badness better than the best by more than `tol`, too many times in a row."""

    def __init__(self, tol: float, epochs: int) -> None:
        self._tol, self._epochs = tol, epochs
        self._best, self._waited = np.inf, 0

    def sees_a_best(self, badness: float) -> bool:
        """Take note; returns whether it is the best so far."""
        self._waited = self._waited + 1 if badness > self._best - self._tol else 0
        best = badness < self._best
        self._best = min(self._best, badness)
        return best

    @property
    def over(self) -> bool:
        """Whether it has lasted too long."""
        return self._waited > self._epochs


def _sizes(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """Units of the hidden layers."""
    sizes = np.atleast_1d(np.asarray(hidden_layer_sizes, dtype=object))
    for units in sizes:
        _check("hidden_layer_sizes", units, int, 1)
    return tuple(int(units) for units in sizes)


def _check(
    name: str, value: Any, kind: type, low: float, high: float = float(np.finfo(np.float32).max)
) -> None:
    """A number of a kind (int or float) in a range."""
    abstract = Integral if kind is int else Real  # NumPy's numbers, too
    if isinstance(value, bool) or not isinstance(value, abstract) or not low <= value <= high:  # type: ignore[operator]
        number = "a whole number" if kind is int else "a number"
        limit = f"from {low} to {high}" if high <= 1 else f"from {low} on"
        raise ValueError(f"`{name}`: expected {number} {limit}, received {value!r}")
