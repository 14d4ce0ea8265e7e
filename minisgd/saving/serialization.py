"""Objects as dicts that JSON can hold, in Keras's form, and back.

::

    {"module": "keras.layers", "class_name": "Dense", "config": {...}, "registered_name": None,
     "build_config": {...}, "compile_config": {...}}

A dict names a class; the class is looked up among minisgd's public ones and among the user's own
(`minisgd.saving.registration`), and nowhere else: no module is imported, and no code is in a dict,
except for a lambda's, which only ``safe_mode=False`` lets in.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

import numpy as np

from minisgd.saving import lambdas, registration
from minisgd.saving.errors import UnknownObjectError
from minisgd.tensor import Tensor
from minisgd.utils.lookup import did_you_mean, look_up

# Where Keras's public names live here. What a package merely imports is not among them.
_PACKAGES = {
    "keras": "minisgd.models",
    "keras.models": "minisgd.models",
    **{
        f"keras.{name}": f"minisgd.{name}"
        for name in (
            "activations",
            "constraints",
            "initializers",
            "layers",
            "losses",
            "metrics",
            "optimizers",
            "optimizers.schedules",
            "random",
            "regularizers",
        )
    },
}
_WITH_FUNCTIONS = ("keras.activations", "keras.losses", "keras.metrics")
_NOT_FOR_FILES = ("deserialize", "get", "register", "resolve", "serialize", "check_identifier")

_safe: ContextVar[bool | None] = ContextVar("safe_mode", default=None)
_shared: ContextVar[dict[Any, Any] | None] = ContextVar("shared_objects", default=None)


# --- to dicts ---
def serialize_keras_object(obj: Any) -> Any:
    """An object as dicts, lists and plain values.

    Parameters
    ----------
    obj : object
        With ``get_config``; or a function, array, list, dict, number, string or None.

    Raises
    ------
    TypeError
        If it is anything else.

    Warns
    -----
    UserWarning
        Of a lambda, which needs ``safe_mode=False`` to be loaded.

    References
    ----------
    Keras, ``keras.saving.serialize_keras_object`` (saving/serialization_lib.py).
    """
    if obj is None or isinstance(obj, str | int | float):
        return obj
    if isinstance(obj, list | tuple):
        return type(obj)([serialize_keras_object(element) for element in obj])
    if isinstance(obj, Mapping):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    if isinstance(obj, Tensor):
        return _array_config("__tensor__", obj.numpy())
    if isinstance(obj, np.generic) or (isinstance(obj, np.ndarray) and not obj.ndim):
        return obj.item()
    if isinstance(obj, np.ndarray):
        return _array_config("__numpy__", obj)
    if isinstance(obj, types.FunctionType) and obj.__name__ == "<lambda>":
        warnings.warn(
            "The object being serialized includes a `lambda`. This is unsafe. In order to reload "
            "the object, you will have to pass `safe_mode=False` to the loading function. Use a "
            "named Python function instead.",
            stacklevel=2,
        )
        return {"class_name": "__lambda__", "config": {"value": lambdas.dump(obj)}}
    return _object_config(obj)


def _array_config(class_name: str, array: Any) -> dict[str, Any]:
    config = {"value": array.tolist(), "dtype": array.dtype.name}
    return {"class_name": class_name, "config": config}


def _object_config(obj: Any) -> dict[str, Any]:
    """Dict of an object with a configuration, or of a function."""
    kind = type(obj)
    if callable(getattr(obj, "get_config", None)) and not isinstance(obj, type):
        inner = serialize_keras_object(obj.get_config())
        module = _public_module(kind)
    elif hasattr(obj, "__name__"):
        inner, module = registration.get_registered_name(obj), None
    else:
        msg = (
            f"Cannot serialize object {obj} of type {kind}. To be serializable, a class must "
            "implement the `get_config()` method."
        )
        raise TypeError(msg)
    own = None if kind.__module__ == "__main__" else kind.__module__
    config = {
        "module": module or own,
        "class_name": kind.__name__,
        "config": inner,
        "registered_name": None if module else registration.get_registered_name(kind),
    }
    for key in ("build_config", "compile_config"):
        ask = getattr(obj, f"get_{key}", None)
        found = None if ask is None else ask()
        if found is not None:
            config[key] = serialize_keras_object(found)
    return config


def _public_module(kind: type) -> str | None:
    """Keras's module for a class of ours, None for the user's own."""
    for module in _PACKAGES:
        if _public(module, kind.__name__) is kind:
            return module
    return None


# --- from dicts ---
def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True
) -> Any:
    """The object that a dict of `serialize_keras_object` (ours or Keras's) stands for.

    Parameters
    ----------
    config : dict, list, str, number or None
    custom_objects : dict, optional
        Classes and functions of your own by name.
    safe_mode : bool
        False lets lambdas in, and with them whatever code the author of the file has put there.

    Raises
    ------
    UnknownObjectError
        (A TypeError and a ValueError.) If a class or function is not known, or does not take its
        configuration.
    ValueError
        For a lambda in safe mode.

    References
    ----------
    Keras, ``keras.saving.deserialize_keras_object`` (saving/serialization_lib.py).
    """
    known = {**(custom_objects or {}), **registration.objects_in_scope()}
    outer = _safe.get()
    token = _safe.set(safe_mode if outer is None else outer)
    try:
        with registration.custom_object_scope(known):
            return _deserialize(config)
    finally:
        _safe.reset(token)


def drop_defaults(
    config: Mapping[str, Any], defaults: Mapping[str, Any], owner: str
) -> dict[str, Any]:
    """A configuration of Keras's without options that minisgd has not.

    Raises
    ------
    ValueError
        If one of them is set to anything but Keras's default.
    """
    kept = dict(config)
    for name, default in defaults.items():
        if (value := kept.pop(name, default)) != default:
            msg = f"{owner}: `{name}`: only {default!r} is supported, received {value!r}"
            raise ValueError(msg)
    return kept


def deserialize_named(
    config: Any,
    module: str,
    known: Mapping[str, Any],
    custom_objects: Mapping[str, Any] | None,
    kind: str,
) -> Any:
    """The object of one module that a name or a dict stands for; the dict may leave the module out.

    Parameters
    ----------
    config : str or dict
    module : str
        Keras's, e.g. ``"keras.losses"``.
    known : mapping
        The module's classes and functions by name.
    custom_objects : mapping or None
        Classes and functions of your own by name.
    kind : str
        What the objects are, for the error: ``"loss"``.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if isinstance(config, dict):
        return deserialize_keras_object({"module": module, "config": {}, **config}, custom_objects)
    own = registration.get_registered_object(str(config), custom_objects)
    return look_up(config, known, kind) if own is None else own


@contextmanager
def object_sharing() -> Iterator[None]:
    """Within the block, configurations with one ``shared_object_id`` become one object."""
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


def _deserialize(config: Any) -> Any:
    if isinstance(config, str):
        own = registration.get_registered_object(config)
        return config if own is None else own
    if config is None or isinstance(config, int | float):
        return config
    if isinstance(config, list | tuple):
        return [_deserialize(element) for element in config]
    if not isinstance(config, dict):
        raise UnknownObjectError(f"Could not parse config: {config!r}")
    if "class_name" not in config or "config" not in config:
        return {key: _deserialize(value) for key, value in config.items()}
    name, inner = config["class_name"], config["config"]
    if not isinstance(name, str):
        raise UnknownObjectError(f"Could not parse config: expected a 'class_name', found {name!r}")
    if name in _SPECIAL:
        return _with_advice(_SPECIAL[name], inner, config)
    if name == "function":
        return _function(inner, config)
    return _instance(name, {} if inner is None else inner, config)


def _instance(name: str, inner: Any, config: dict[str, Any]) -> Any:
    """Object of a class, built and compiled as the configuration says."""
    if not isinstance(inner, dict):
        msg = f"Expected 'config' to be a dict for {name}, instead got {inner!r}"
        raise UnknownObjectError(msg)
    shared, identity = _shared.get(), config.get("shared_object_id")
    shared = None if identity is None else shared
    if shared is not None and str(identity) in shared:
        return shared[str(identity)]
    kind = _class(name, config)
    if isinstance(kind, types.FunctionType):
        return kind
    if not hasattr(kind, "from_config"):
        msg = (
            f"Unable to reconstruct an instance of '{name}' because the class is missing a "
            "`from_config()` method."
        )
        raise UnknownObjectError(msg)
    instance = _with_advice(kind.from_config, inner, config)
    if config.get("build_config") and not instance.built:
        _with_advice(instance.build_from_config, config["build_config"], config)
    if config.get("compile_config"):
        _with_advice(instance.compile_from_config, config["compile_config"], config)
    if shared is not None:
        shared[str(identity)] = instance
    return instance


def _with_advice(make: Any, inner: Any, config: dict[str, Any]) -> Any:
    """``make(inner)``, whose errors for wrong arguments say where these came from."""
    try:
        return make(inner)
    except ValueError:
        raise  # says it already
    except (TypeError, LookupError, AttributeError, ArithmeticError, NotImplementedError) as error:
        text = repr(inner)
        msg = (
            f"{config['class_name']} could not be deserialized properly. Please ensure that "
            "components that are Python object instances (layers, models, etc.) returned by "
            "`get_config()` are explicitly deserialized in the model's `from_config()` method."
            f"\n\nconfig={text[:500]}{'...' * (len(text) > 500)}\n\nException encountered: {error}"
        )
        raise UnknownObjectError(msg) from error


def _class(name: str, config: dict[str, Any]) -> Any:
    """The user's class with the registered name, or minisgd's with the public one."""
    found = registration.own_class(config)
    if found is not None:
        return found
    found = _public(config.get("module"), name)
    if not isinstance(found, type):
        _refuse("class", name, config.get("module"))
    return found


def _function(name: Any, config: dict[str, Any]) -> Any:
    """The user's function with this name, or minisgd's activation, loss or metric."""
    if not isinstance(name, str):
        msg = f"Expected 'config' to be a non-null str for a function classname, instead got {name}"
        raise UnknownObjectError(msg)
    found = registration.get_registered_object(name)
    if found is not None:
        return found
    module = config.get("module")
    for candidate in _WITH_FUNCTIONS:
        if module in (candidate, "builtins"):
            found = _public(candidate, name)
            if isinstance(found, types.FunctionType):
                return found
    _refuse("function", name, module)


def _public(module: Any, name: Any) -> Any:
    """What Keras's module calls so here: something public that the package itself defines."""
    package = _PACKAGES.get(module) if isinstance(module, str) else None
    room = sys.modules.get(package or "")
    if package is None or room is None or not isinstance(name, str):
        return None
    found = vars(room).get(name)
    home = getattr(found, "__module__", None)
    ours = home is not None and (home == package or home.startswith(f"{package}."))
    return found if ours and not name.startswith("_") and name not in _NOT_FOR_FILES else None


def _refuse(kind: str, name: Any, module: Any) -> NoReturn:
    """Say that there is no such class or function, and what to do.

    Raises
    ------
    UnknownObjectError
    """
    from minisgd.utils.unsupported import PURPOSE, advice

    hint = ""
    if isinstance(module, str) and isinstance(name, str) and module in _PACKAGES:
        public = [n for n in vars(sys.modules.get(_PACKAGES[module], types)) if _public(module, n)]
        hint = did_you_mean(name, public)
        if not hint:
            hint = f" {PURPOSE}. Instead: {advice(module.partition('.')[2], name)}."
    msg = (
        f"Could not locate {kind} {name!r}. Make sure custom classes and functions are decorated "
        "with `@keras.saving.register_keras_serializable()`, or pass them as `custom_objects`."
        f"{hint}"
    )
    raise UnknownObjectError(msg)


def _array(config: dict[str, Any]) -> Any:
    dtype = np.dtype(config["dtype"])
    if dtype.kind not in "fiub":
        raise ValueError(f"expected an array of numbers, received one of dtype {dtype}")
    return np.array(config["value"], dtype)


def _lambda(config: dict[str, Any]) -> Any:
    if _safe.get() is not False:
        raise ValueError(
            "Requested the deserialization of a Python lambda. This carries a potential risk of "
            "arbitrary code execution and thus it is disallowed by default. If you trust the "
            "source of the artifact, you can override this error by passing `safe_mode=False` to "
            "the loading function."
        )
    return lambdas.load(config["value"])


def _dtype_name(config: dict[str, Any]) -> str:
    """Name of the dtype of a Keras policy that computes in one dtype."""
    name = config["name"]
    if name not in ("float32", "float64"):
        msg = f"`dtype`: expected the policy float32 or float64, received {name!r}"
        raise ValueError(msg)
    return str(name)


_SPECIAL = {
    "__numpy__": _array,
    "__tensor__": lambda config: Tensor(_array(config)),
    "__lambda__": _lambda,
    "DTypePolicy": _dtype_name,
}
