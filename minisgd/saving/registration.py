"""Objects of the user's own, by the names under which files refer to them.

Nothing is ever imported because a file says so: a class or function that is neither minisgd's nor
listed here does not exist for the loader.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_objects: dict[str, Any] = {}
_names: dict[Any, str] = {}
_scope: ContextVar[Mapping[str, Any] | None] = ContextVar("custom_objects", default=None)


def register_keras_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[T], T]:
    """Decorator: make a class or function known to files as ``"package>name"``.

    Parameters
    ----------
    package : str
    name : str, optional
        By default the object's own.

    Raises
    ------
    ValueError
        For a class without ``get_config``.

    Examples
    --------
    >>> @register_keras_serializable("my_package")
    ... def double(x):
    ...     return 2 * x
    >>> get_registered_name(double)
    'my_package>double'

    References
    ----------
    Keras, ``keras.saving.register_keras_serializable`` (saving/object_registration.py).
    """

    def register(target: T) -> T:
        if inspect.isclass(target) and not hasattr(target, "get_config"):
            msg = (
                "Cannot register a class that does not have a get_config() method: "
                f"{target.__name__}."
            )
            raise ValueError(msg)
        registered = f"{package}>{name or target.__name__}"  # type: ignore[attr-defined]
        _objects[registered] = target
        _names[target] = registered
        return target

    return register


def get_custom_objects() -> dict[str, Any]:
    """The registered objects by name; changes to this dict count."""
    return _objects


@contextmanager
def custom_object_scope(custom_objects: Mapping[str, Any] | None) -> Iterator[None]:
    """Within the block these objects are known by name, besides those registered.

    Parameters
    ----------
    custom_objects : dict or None
        Classes and functions by name. An outer scope's objects are out of sight, as in Keras.
    """
    token = _scope.set(dict(custom_objects or {}))
    try:
        yield
    finally:
        _scope.reset(token)


def objects_in_scope() -> Mapping[str, Any]:
    """What the present `custom_object_scope` lists."""
    return _scope.get() or {}


def get_registered_name(obj: Any) -> str:
    """Name under which an object was registered, otherwise its own."""
    try:
        return _names[obj]
    except (KeyError, TypeError):  # TypeError: not hashable
        return str(obj.__name__)


def get_registered_object(
    name: str,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """Object with this name in the scope, the registry or the arguments, in this order, or None."""
    for known in (objects_in_scope(), _objects, custom_objects or {}, module_objects or {}):
        if name in known:
            return known[name]
    return None


def own_class(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The user's class that a dict names (``registered_name`` first), None for a public one."""
    name = config.get("class_name")
    registered = config.get("registered_name", name)
    for known in (registered, name) if registered else ():
        found = get_registered_object(str(known), custom_objects)
        if found is not None:
            return found
    return None
