"""Optimizers: SGD and learning-rate schedules (Keras: ``keras.optimizers``)."""

from typing import Any

from minisgd import saving
from minisgd.optimizers import schedules
from minisgd.optimizers.optimizer import Optimizer
from minisgd.optimizers.sgd import SGD
from minisgd.utils.lookup import did_you_mean
from minisgd.utils.unsupported import advice, explain

__all__ = ["SGD", "Optimizer", "deserialize", "get", "schedules", "serialize"]


def get(identifier: Any) -> Optimizer:
    """Optimizer with a name ("sgd", in any case) or a configuration; an optimizer is itself.

    Raises
    ------
    ValueError
        If it is anything else; the message says what to use.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if identifier is SGD or (isinstance(identifier, str) and identifier.lower() == "sgd"):
        return SGD()
    raise _unknown(identifier, identifier)


def serialize(optimizer: Optimizer) -> Any:
    """Optimizer as a dict in Keras's form: module, class_name, config, registered_name."""
    return saving.serialize_keras_object(optimizer)


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Optimizer:
    """Optimizer from the dict that `serialize` (ours or Keras's) wrote.

    Parameters
    ----------
    config : dict
        With "class_name" (in any case) and "config".
    custom_objects : dict, optional
        Optimizers, schedules and functions of your own by name.

    Raises
    ------
    ValueError
        If the class is unknown.

    Examples
    --------
    >>> schedule = schedules.CosineDecay(0.5, decay_steps=100)
    >>> optimizer = deserialize(serialize(SGD(schedule, momentum=0.75)))
    >>> optimizer.momentum, float(optimizer.learning_rate)
    (0.75, 0.5)
    """
    name = config.get("class_name") if isinstance(config, dict) else None
    if str(name).lower() == "sgd":
        config = {**config, "class_name": "SGD"}
    elif name is None or saving.own_class(config, custom_objects) is None:
        raise _unknown(name, config)
    config = {"module": "keras.optimizers", "config": {}, **config}
    optimizer: Optimizer = saving.deserialize_keras_object(config, custom_objects)
    return optimizer


def _unknown(name: Any, identifier: Any) -> ValueError:
    """Error for what is no optimizer."""
    hint = did_you_mean(name, ["sgd"]) if isinstance(name, str) else ""
    if name == "rmsprop":
        hint = " (It is the default of Keras's `compile`: name an optimizer.)"
    msg = (
        f"Could not interpret optimizer identifier: {identifier!r}.{hint} Expected 'sgd' or an SGD "
        f"instance; {advice('optimizers', str(name))}."
    )
    return ValueError(msg)


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
