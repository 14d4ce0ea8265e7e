"""Utilities (Keras: ``keras.utils``)."""

from typing import Any

from minisgd.plots import model_to_dot, plot_history, plot_model
from minisgd.random import set_random_seed
from minisgd.saving.registration import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from minisgd.saving.serialization import deserialize_keras_object, serialize_keras_object
from minisgd.utils.batches import (
    normalize,
    pack_x_y_sample_weight,
    unpack_x_y_sample_weight,
)
from minisgd.utils.categorical import to_categorical
from minisgd.utils.dtypes import standardize_dtype
from minisgd.utils.naming import clear_session
from minisgd.utils.progbar import Progbar
from minisgd.utils.py_dataset import PyDataset
from minisgd.utils.unsupported import explain

CustomObjectScope = custom_object_scope  # Keras's other names
Sequence = PyDataset

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "PyDataset",
    "Sequence",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "model_to_dot",
    "normalize",
    "pack_x_y_sample_weight",
    "plot_history",
    "plot_model",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "standardize_dtype",
    "to_categorical",
    "unpack_x_y_sample_weight",
]


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
