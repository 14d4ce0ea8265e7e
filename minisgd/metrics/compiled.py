"""What the entries of ``compile(metrics=..., weighted_metrics=...)`` stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minisgd.metrics.accuracy import BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy
from minisgd.metrics.lookup import get
from minisgd.metrics.metric import Metric
from minisgd.metrics.reduction import MeanMetricWrapper
from minisgd.utils.naming import to_snake_case


class Weighted:
    """An entry of `weighted_metrics`: a metric that is given the sample weights as well.

    It is no `Metric`: a compiled step counts the hits of those, and knows no weights.
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    @property
    def name(self) -> str:
        """The metric's name, its key in the logs."""
        return self.metric.name

    @name.setter
    def name(self, name: str) -> None:
        self.metric.name = name

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any) -> None:
        """Take in one batch."""
        self.metric.update_state(y_true, y_pred, sample_weight=sample_weight)


class Unweighted:
    """An entry of `metrics` as a user's own `train_step` sees it: it takes no notice of weights.

    Keras has an object for all entries there, which does the same.
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch."""
        self.metric.update_state(y_true, y_pred)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.metric, name)


def flattened(entries: Any, argument: str) -> list[Any]:
    """The entries of `metrics` or `weighted_metrics` in a list, each known to stand for a metric.

    Raises
    ------
    ValueError
        If they are no list, tuple or dict, or one of them is unknown.
    """
    if entries and not isinstance(entries, list | tuple | dict):
        msg = (
            f"Expected `{argument}` argument to be a list, tuple, or dict. Received instead: "
            f"{argument}={entries!r} of type {type(entries)}; write {argument}=[...]."
        )
        raise ValueError(msg)
    found: list[Any] = []
    for entry in entries.values() if isinstance(entries, dict) else entries or ():
        if isinstance(entry, list | tuple) or (
            isinstance(entry, dict) and "class_name" not in entry
        ):
            found += flattened(entry, argument)
        else:
            check_identifier(entry)
            found.append(entry)
    return found


def check_identifier(identifier: Any) -> None:
    """Refuse what `resolve` could not interpret.

    Raises
    ------
    ValueError
        If it is neither a metric nor a function nor a known name.
    """
    if identifier is None:
        raise ValueError("Expected metric, received `None`")
    if not _is_accuracy(identifier) and not callable(identifier):
        get(identifier)


def _is_accuracy(identifier: Any) -> bool:
    return isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc")


def resolve(identifier: Any, y_true: Any, y_pred: Any) -> Metric:
    """Metric that an entry of ``compile(metrics=[...])`` stands for.

    ``"accuracy"`` (or ``"acc"``, in any case) becomes one of three by the shapes of labels and
    predictions, whatever the loss is; the metric keeps the name that the user wrote. The mean of a
    function has that function's name.

    Raises
    ------
    ValueError
        If the name is unknown.

    References
    ----------
    Keras, ``get_metric`` (trainers/compile_utils.py).
    """
    check_identifier(identifier)
    if _is_accuracy(identifier):
        return _accuracy(identifier, np.shape(y_true), np.shape(y_pred))
    found = get(identifier)
    name = identifier if isinstance(identifier, str) else _name_of(found)
    metric: Metric = found if isinstance(found, Metric) else MeanMetricWrapper(found)
    metric.name = name
    return metric


def _accuracy(name: str, true_shape: tuple[int, ...], pred_shape: tuple[int, ...]) -> Metric:
    if pred_shape[-1:] == (1,):
        return BinaryAccuracy(name)
    if len(true_shape) < len(pred_shape) or true_shape[-1:] == (1,):
        return SparseCategoricalAccuracy(name)
    return CategoricalAccuracy(name)


def _name_of(found: Any) -> str:
    """Name of a metric, a function or another callable."""
    name = getattr(found, "name", None)
    return name or to_snake_case(getattr(found, "__name__", type(found).__name__))


def resolve_all(
    plain: Sequence[Any], weighted: Sequence[Any], y_true: Any, y_pred: Any
) -> list[Any]:
    """All metrics of a model, each under a name of its own.

    Metrics of one name are numbered: accuracy, accuracy_1, ...; a weighted one is first called
    weighted_accuracy.

    References
    ----------
    Keras, ``CompileMetrics.result`` (trainers/compile_utils.py).
    """
    found: list[Any] = [resolve(m, y_true, y_pred) for m in plain]
    found += [Weighted(resolve(m, y_true, y_pred)) for m in weighted]
    seen: dict[str, int] = {}
    for metric in found:
        name = metric.name
        if isinstance(metric, Weighted) and name in seen:
            name = f"weighted_{name}"
        count = seen.get(name, 0)
        seen[name] = count + 1
        metric.name = f"{name}_{count}" if count else name
    return found


def results(found: Sequence[Any]) -> dict[str, Any]:
    """The running figures by name: Python floats, or arrays of those that have several."""
    logs: dict[str, Any] = {}
    for metric in found:
        result = metric.result()
        named = result if isinstance(result, dict) else {metric.name: result}
        for name, value in named.items():
            logs[name] = float(value) if np.size(value) == 1 else np.array(value)
    return logs
