"""Losses and metrics as dicts in Keras's form, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minisgd.utils.lookup import look_up


def serialize(thing: Any, module: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """`thing`, an object or a function, as Keras's dict.

    Parameters
    ----------
    thing : object with `get_config`, or function
    module : str
        Keras's module for classes of minisgd, e.g. ``"keras.losses"``.
    own : mapping
        The classes and functions of that module by name.

    References
    ----------
    Keras, ``serialize_keras_object`` (saving/serialization_lib.py).
    """
    if not hasattr(thing, "get_config"):
        name = thing.__name__
        return {
            "module": "builtins",
            "class_name": "function",
            "config": name,
            "registered_name": "function",
        }
    kind = type(thing)
    known = own.get(kind.__name__) is kind
    return {
        "module": module if known else kind.__module__,
        "class_name": kind.__name__,
        "config": thing.get_config(),
        "registered_name": None if known else kind.__name__,
    }


def deserialize(
    config: Any, own: Mapping[str, Any], custom_objects: Mapping[str, Any] | None, kind: str
) -> Any:
    """Object or function from what `serialize` (ours or Keras's) wrote, or from a name.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    known = {**own, **(custom_objects or {})}
    if not isinstance(config, dict):
        return look_up(config, known, kind)
    name = config.get("class_name")
    if name == "function":
        return look_up(config.get("config"), known, kind)
    return look_up(name, known, kind).from_config(config.get("config", {}))


def check_dtype(dtype: Any) -> str:
    """Name of the dtype that a loss or metric computes in.

    Raises
    ------
    ValueError
        If it is neither None nor float32.
    """
    if dtype is None or str(getattr(dtype, "name", dtype)) == "float32":
        return "float32"
    msg = (
        f"`dtype`: expected None or 'float32', received {dtype!r}; for sums in float64 use "
        "compile(numerics='accurate')."
    )
    raise ValueError(msg)
