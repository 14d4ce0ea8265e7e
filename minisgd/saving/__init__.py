"""Files: weights in Keras's HDF5 layout (Keras: ``keras.saving``)."""

from typing import Any

from minisgd.saving.weights import load_weights, save_weights
from minisgd.utils.unsupported import explain

__all__ = ["load_weights", "save_weights"]


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
