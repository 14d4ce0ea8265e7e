"""Metrics by name, and as dicts."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from minisgd import losses, saving
from minisgd.metrics import accuracy, at_best, auc, confusion, correlation, means, scores, topk
from minisgd.metrics.metric import Mean, Metric
from minisgd.metrics.reduction import MeanMetricWrapper, Sum
from minisgd.utils.lookup import get_object
from minisgd.utils.naming import to_snake_case

CLASSES: dict[str, type[Metric]] = {
    kind.__name__: kind
    for kind in (
        Metric, Mean, Sum, MeanMetricWrapper,
        means.MeanSquaredError, means.RootMeanSquaredError, means.MeanAbsoluteError,
        means.MeanAbsolutePercentageError, means.MeanSquaredLogarithmicError,
        means.CosineSimilarity, means.LogCoshError, scores.R2Score,
        auc.AUC, confusion.FalseNegatives, confusion.FalsePositives, confusion.Precision,
        confusion.Recall, confusion.TrueNegatives, confusion.TruePositives,
        means.Hinge, means.SquaredHinge, means.CategoricalHinge,
        means.KLDivergence, means.Poisson, means.BinaryCrossentropy,
        means.CategoricalCrossentropy, means.SparseCategoricalCrossentropy,
        topk.Accuracy, accuracy.BinaryAccuracy, accuracy.CategoricalAccuracy,
        accuracy.SparseCategoricalAccuracy, topk.TopKCategoricalAccuracy,
        at_best.PrecisionAtRecall, at_best.RecallAtPrecision, at_best.SensitivityAtSpecificity,
        at_best.SpecificityAtSensitivity, correlation.ConcordanceCorrelation,
        correlation.PearsonCorrelation,
        topk.SparseTopKCategoricalAccuracy, scores.F1Score, scores.FBetaScore,
    )
}  # fmt: skip
_ALIASES: dict[str, type[Metric]] = {
    "bce": means.BinaryCrossentropy,
    "mse": means.MeanSquaredError,
    "mae": means.MeanAbsoluteError,
    "mape": means.MeanAbsolutePercentageError,
    "msle": means.MeanSquaredLogarithmicError,
}
_BY_NAME: dict[str, type[Metric]] = {
    **{to_snake_case(name): kind for name, kind in CLASSES.items()},
    **CLASSES,
    **_ALIASES,
    **{name.upper(): kind for name, kind in _ALIASES.items()},
}

# What a wrapper's config may name besides: the functions of both modules.
_CANDIDATES: list[Any] = [
    *(value for value in vars(losses).values() if inspect.isfunction(value)),
    accuracy.binary_accuracy,
    accuracy.categorical_accuracy,
    accuracy.sparse_categorical_accuracy,
    topk.top_k_categorical_accuracy,
    topk.sparse_top_k_categorical_accuracy,
    correlation.concordance_correlation,
    correlation.pearson_correlation,
]
_FUNCTIONS: dict[str, Any] = {
    function.__name__: function
    for function in _CANDIDATES
    if "y_pred" in inspect.signature(function).parameters
}


def get(identifier: Any) -> Any:
    """Metric with a name; a function stays one.

    Parameters
    ----------
    identifier : str, dict, callable or None
        A name (``"mse"``, ``"AUC"``, ``"binary_accuracy"``), what `serialize` returns, a class, or
        what is a metric already.

    Raises
    ------
    ValueError
        If there is none with that name.

    References
    ----------
    Keras, ``keras.metrics.get`` (metrics/__init__.py).
    """
    return get_object(identifier, _BY_NAME, "metric", deserialize)


def serialize(metric: Any) -> Any:
    """Metric or function as a dict in Keras's form: module, class_name, config, registered_name."""
    return saving.serialize_keras_object(metric)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Metric or function from the dict that `serialize` (ours or Keras's) wrote.

    Raises
    ------
    ValueError
        If the name is unknown; metrics of your own go into `custom_objects`.

    Examples
    --------
    >>> deserialize(serialize(topk.TopKCategoricalAccuracy(k=3))).k
    3
    """
    known = {**_BY_NAME, **_FUNCTIONS}
    return saving.deserialize_named(config, "keras.metrics", known, custom_objects, "metric")
