"""Losses by name, as dicts, and as `compile` takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from minisgd import saving
from minisgd.losses import hinges, losses, probabilistic, regression
from minisgd.losses.loss import Loss, LossFunctionWrapper
from minisgd.tensor import Tensor
from minisgd.utils.lookup import get_object
from minisgd.utils.naming import to_snake_case


def _defined_in(module: Any) -> dict[str, Any]:
    """Public losses of a module, classes and functions."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
        and (inspect.isclass(value) or "y_pred" in inspect.signature(value).parameters)
    }


_CLASSES_AND_FUNCTIONS: dict[str, Any] = {}
for _module in (losses, probabilistic, regression, hinges):
    _CLASSES_AND_FUNCTIONS |= _defined_in(_module)

# The class of a function, so that compile(loss="mse") has what the class has.
_CLASS_OF: dict[Callable[..., Tensor], Any] = {
    _CLASSES_AND_FUNCTIONS[to_snake_case(name)]: kind
    for name, kind in _CLASSES_AND_FUNCTIONS.items()
    if inspect.isclass(kind) and to_snake_case(name) in _CLASSES_AND_FUNCTIONS
}

_ALIASES = {
    "bce": probabilistic.binary_crossentropy,
    "kld": probabilistic.kl_divergence,
    "mae": regression.mean_absolute_error,
    "mse": regression.mean_squared_error,
    "mape": regression.mean_absolute_percentage_error,
    "msle": regression.mean_squared_logarithmic_error,
}
_BY_NAME: dict[str, Any] = {
    **_CLASSES_AND_FUNCTIONS,
    "Loss": Loss,
    "LossFunctionWrapper": LossFunctionWrapper,
    **_ALIASES,
    **{name.upper(): function for name, function in _ALIASES.items()},
}


def get(identifier: Any) -> Any:
    """Loss with a name: a function for a function's name, an object for that of a class.

    Parameters
    ----------
    identifier : str, dict, callable or None
        A name (``"mse"``, ``"MeanSquaredError"``), what `serialize` returns, a class, or what is a
        loss already.

    Raises
    ------
    ValueError
        If there is none with that name.

    References
    ----------
    Keras, ``keras.losses.get`` (losses/__init__.py).
    """
    return get_object(identifier, _BY_NAME, "loss", deserialize)


def serialize(loss: Any) -> Any:
    """Loss or function as a dict in Keras's form: module, class_name, config, registered_name."""
    return saving.serialize_keras_object(loss)


def deserialize(name: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Loss or function from the dict that `serialize` (ours or Keras's) wrote.

    Raises
    ------
    ValueError
        If the name is unknown; losses of your own go into `custom_objects`.

    Examples
    --------
    >>> deserialize(serialize(regression.Huber(delta=2.0))).get_config()["delta"]
    2.0
    """
    return saving.deserialize_named(name, "keras.losses", _BY_NAME, custom_objects, "loss")


def resolve(identifier: Any) -> Loss | None:
    """Loss that ``compile(loss=...)`` stands for; a function becomes one with its name.

    ``"crossentropy"`` (or ``"ce"``, in any case) is chosen by the shapes of the first batch.

    Raises
    ------
    ValueError
        If the name is unknown.

    References
    ----------
    Keras, ``get_loss`` (trainers/compile_utils.py).
    """
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        return Crossentropy(identifier)
    found = get(identifier)
    if found is None or isinstance(found, Loss):
        return found
    own_name = getattr(found, "name", None) or to_snake_case(
        getattr(found, "__name__", type(found).__name__)
    )
    name = identifier if isinstance(identifier, str) else own_name
    if inspect.isfunction(found) and found in _CLASS_OF:
        loss: Loss = _CLASS_OF[found](name=name)
        return loss
    return LossFunctionWrapper(found, name=name)


class Crossentropy(Loss):
    """The cross-entropy that fits the shapes: binary, sparse categorical or categorical."""

    def __init__(self, name: str) -> None:
        super().__init__(name)

    def labels(self, y_true: Any, y_pred: Tensor) -> Any:
        """The labels as they are."""
        return y_true

    def call(self, y_true: Any, y_pred: Tensor) -> Tensor:
        """One value per sample."""
        return self._chosen(getattr(y_true, "shape", ()), y_pred.shape).call(y_true, y_pred)

    def check_targets(self, y_true: Any, outputs: int) -> None:
        """What the chosen one refuses."""
        self._chosen(y_true.shape, (*y_true.shape[:1], outputs)).check_targets(y_true, outputs)

    def doubtful_targets(self, y_true: Any) -> tuple[int, str] | None:
        """What the chosen one doubts."""
        if y_true.shape[-1:] == (1,):  # class numbers
            return None
        return losses.CategoricalCrossentropy().doubtful_targets(y_true)

    @staticmethod
    def _chosen(true_shape: tuple[int, ...], pred_shape: tuple[int, ...]) -> Loss:
        if pred_shape[-1:] == (1,):
            return probabilistic.BinaryCrossentropy()
        if len(true_shape) < len(pred_shape) or true_shape[-1:] == (1,):
            return losses.SparseCategoricalCrossentropy()
        return losses.CategoricalCrossentropy()
