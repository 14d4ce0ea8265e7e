"""Configurations of classes without a `get_config` of their own: the constructor's arguments."""

from __future__ import annotations

import inspect
from typing import Any

_PLAIN = (str, int, float, bool, type(None))


def constructor_arguments(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
    """`config` and the arguments that the layer was made with, defaults included.

    Parameters
    ----------
    layer : Layer
        Its ``_arguments`` are what its class was called with.
    config : dict
        With the name, which is left out if the constructor doesn't take it.

    Raises
    ------
    NotImplementedError
        If an argument is no number, string, bool, None, or list or dict of these, or has no name.

    References
    ----------
    Keras, ``Operation.get_config`` (ops/operation.py).
    """
    signature = inspect.signature(type(layer).__init__)
    args, kwargs = layer._arguments
    bound = signature.bind(None, *args, **kwargs)
    bound.apply_defaults()
    found = dict(bound.arguments)
    del found[next(iter(found))]  # self
    kinds = {p.kind: p.name for p in signature.parameters.values()}
    found |= found.pop(kinds.get(inspect.Parameter.VAR_KEYWORD, ""), {})
    nameless = found.pop(kinds.get(inspect.Parameter.VAR_POSITIONAL, ""), ())
    found.pop("name", None)
    kind = type(layer).__name__
    if nameless or inspect.Parameter.POSITIONAL_ONLY in kinds:
        msg = (
            f"Object {kind} was created by passing positional only or variadic positional "
            "arguments (e.g., `*args`) to `__init__()`, which is not supported by the automatic "
            "config generation. Override `get_config()` and `from_config()`."
        )
        raise NotImplementedError(msg)
    for name, value in found.items():
        if not _is_plain(value):
            msg = (
                f"Object {kind} was created by passing non-serializable argument values in "
                f"`__init__()` (`{name}`={value!r}), and therefore the object must override "
                "`get_config()` in order to be serializable. Please implement `get_config()`."
            )
            raise NotImplementedError(msg)
    takes_name = "name" in signature.parameters
    takes_all = kinds.get(inspect.Parameter.VAR_KEYWORD) == "kwargs"  # so Keras asks
    return (config if takes_name or takes_all else {}) | found


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return isinstance(value, _PLAIN)
