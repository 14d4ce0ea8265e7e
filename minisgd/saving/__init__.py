"""Files: models and weights in Keras's formats (Keras: ``keras.saving``)."""

from typing import Any

from minisgd.saving.arguments import constructor_arguments
from minisgd.saving.errors import UnknownObjectError, UnreadableFileError
from minisgd.saving.model_file import load_model, save_model
from minisgd.saving.registration import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    own_class,
    register_keras_serializable,
)
from minisgd.saving.serialization import (
    deserialize_keras_object,
    deserialize_named,
    drop_defaults,
    serialize_keras_object,
)
from minisgd.saving.weights import load_weights, save_weights
from minisgd.utils.unsupported import explain

CustomObjectScope = custom_object_scope  # Keras's other name

__all__ = [
    "CustomObjectScope",
    "UnknownObjectError",
    "UnreadableFileError",
    "constructor_arguments",
    "custom_object_scope",
    "deserialize_keras_object",
    "deserialize_named",
    "drop_defaults",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "own_class",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
