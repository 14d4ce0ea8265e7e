"""Losses: how far predictions are from the truth, per sample, then reduced to one number.

Keras: ``keras.losses``.
"""

from typing import Any

from minisgd.losses.loss import Loss, LossFunctionWrapper, get
from minisgd.losses.losses import (
    CategoricalCrossentropy,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
    categorical_crossentropy,
    mean_squared_error,
    sparse_categorical_crossentropy,
)
from minisgd.utils.unsupported import explain

__all__ = [
    "CategoricalCrossentropy",
    "Loss",
    "LossFunctionWrapper",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "categorical_crossentropy",
    "get",
    "mean_squared_error",
    "sparse_categorical_crossentropy",
]


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
