"""Layers as dicts in Keras's form, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minisgd import saving
from minisgd.layers.layer import Layer


def serialize(layer: Layer) -> Any:
    """Layer as a dict in Keras's form: module, class_name, config, registered_name.

    References
    ----------
    Keras, ``keras.layers.serialize`` (layers/__init__.py).
    """
    return saving.serialize_keras_object(layer)


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Layer from the dict that `serialize` (ours or Keras's) returned.

    Parameters
    ----------
    config : dict
    custom_objects : dict, optional
        Classes and functions of your own by name.

    Raises
    ------
    ValueError
        If it is the dict of something else.
    TypeError
        If its class is not known.

    Examples
    --------
    >>> from minisgd import layers
    >>> layers.deserialize(layers.serialize(layers.Dense(3, name="mine"))).name
    'mine'

    References
    ----------
    Keras, ``keras.layers.deserialize`` (layers/__init__.py).
    """
    found = saving.deserialize_keras_object(config, custom_objects)
    if not isinstance(found, Layer):
        msg = (
            "`keras.layers.deserialize` was passed a `config` object that is not a "
            f"`keras.layers.Layer`. Received: {config}"
        )
        raise ValueError(msg)
    return found
