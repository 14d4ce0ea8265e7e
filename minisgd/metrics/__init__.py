"""Metrics: running figures over the batches of an epoch (Keras: ``keras.metrics``)."""

from typing import Any

from minisgd.metrics.accuracy import (
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    resolve,
)
from minisgd.metrics.metric import Mean, Metric
from minisgd.utils.unsupported import explain

__all__ = [
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "Mean",
    "Metric",
    "SparseCategoricalAccuracy",
    "resolve",
]


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
