"""Layers: Keras's names, for multi-layer perceptrons (Keras: ``keras.layers``)."""

from typing import Any

from minisgd.layers.core import Activation, Dense, Dropout, Flatten, Input, InputLayer
from minisgd.layers.layer import Layer
from minisgd.utils.unsupported import explain

__all__ = ["Activation", "Dense", "Dropout", "Flatten", "Input", "InputLayer", "Layer"]


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
