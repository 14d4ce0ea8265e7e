"""minisgd: what happens inside Keras's ``model.fit`` with SGD, in code that you can read.

>>> import minisgd as keras
>>> keras.utils.set_random_seed(0)
>>> model = keras.Sequential([keras.layers.Dense(10, activation="softmax", input_shape=(784,))])
>>> model.compile(optimizer="sgd", loss="categorical_crossentropy", metrics=["accuracy"])

The names are Keras's. Start reading at `minisgd.trainer.Trainer.fit`.
"""

from typing import Any

from minisgd import (
    activations,
    callbacks,
    compiler,
    config,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    random,
    regularizers,
    saving,
    utils,
)
from minisgd.compiler import get_threads, set_threads
from minisgd.gradcheck import GradCheckError, gradcheck, hvp
from minisgd.initializers import Initializer
from minisgd.layers import Input, Layer
from minisgd.losses import Loss
from minisgd.metrics import Metric
from minisgd.models import Sequential
from minisgd.optimizers import Optimizer
from minisgd.regularizers import Regularizer
from minisgd.tape import GradientTape
from minisgd.tensor import Tensor, Variable
from minisgd.utils.unsupported import explain

__version__ = "0.1.0"

__all__ = [
    "GradCheckError",
    "GradientTape",
    "Initializer",
    "Input",
    "Layer",
    "Loss",
    "Metric",
    "Optimizer",
    "Regularizer",
    "Sequential",
    "Tensor",
    "Variable",
    "activations",
    "callbacks",
    "compiler",
    "config",
    "constraints",
    "datasets",
    "get_threads",
    "gradcheck",
    "hvp",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "random",
    "regularizers",
    "saving",
    "set_threads",
    "utils",
    "version",
]


def version() -> str:
    """Version of minisgd."""
    return __version__


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
