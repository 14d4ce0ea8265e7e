"""Optimizers: SGD (Keras: ``keras.optimizers``)."""

from typing import Any

from minisgd.optimizers.sgd import SGD
from minisgd.utils.lookup import did_you_mean
from minisgd.utils.unsupported import advice, explain

__all__ = ["SGD", "get"]


def get(identifier: Any) -> SGD:
    """Optimizer with a name ("sgd", in any case); an SGD is itself.

    Raises
    ------
    ValueError
        If it is anything else; the message says what to use.
    """
    if isinstance(identifier, SGD):
        return identifier
    if identifier is SGD or (isinstance(identifier, str) and identifier.lower() == "sgd"):
        return SGD()
    hint = did_you_mean(identifier, ["sgd"]) if isinstance(identifier, str) else ""
    if identifier == "rmsprop":
        hint = " (It is the default of Keras's `compile`: name an optimizer.)"
    msg = (
        f"Could not interpret optimizer identifier: {identifier!r}.{hint} Expected 'sgd' or an SGD "
        f"instance; {advice('optimizers', str(identifier))}."
    )
    raise ValueError(msg)


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
