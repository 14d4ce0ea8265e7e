"""Layers: Keras's names, for multi-layer perceptrons (Keras: ``keras.layers``)."""

from typing import Any

from minisgd.layers.adapted import Normalization
from minisgd.layers.core import Dense, Dropout
from minisgd.layers.elementwise import (
    ELU,
    Activation,
    ActivityRegularization,
    Identity,
    LeakyReLU,
    PReLU,
    ReLU,
    Rescaling,
    Softmax,
)
from minisgd.layers.input_layer import Input, InputLayer
from minisgd.layers.layer import Layer
from minisgd.layers.lookup import deserialize, serialize
from minisgd.layers.noise import AlphaDropout, GaussianDropout, GaussianNoise
from minisgd.layers.normalization import (
    BatchNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from minisgd.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from minisgd.utils.unsupported import explain

__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Normalization",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Softmax",
    "UnitNormalization",
    "deserialize",
    "serialize",
]


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
