"""Layer, the base class: weights, building, and the checks before a call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minisgd import initializers, numerics, ops, saving
from minisgd.saving.limits import spend
from minisgd.tensor import Array, Tensor, Variable
from minisgd.utils.arguments import check_flag
from minisgd.utils.naming import auto_name

Shape = tuple[int | None, ...]

# Options of Keras's layers that are not supported yet, with the values that mean "without".
INPUT_OPTIONS = {"sparse": False, "ragged": False, "optional": False}
DENSE_OPTIONS = dict.fromkeys(
    (
        "kernel_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "bias_constraint",
        "quantization_config",
    )
)


class Layer:
    """A function of a tensor that may own variables.

    Subclasses override `build`, which makes the variables with `add_weight` as soon as the shape of
    the input is known, and `call`, which computes. Users call the layer itself.

    Parameters
    ----------
    trainable : bool
        Whether the layer's weights take part in training.
    dtype : dtype, optional
        Of weights and computation: float32 (default) or float64.
    name : str, optional
        By default made from the class: dense, dense_1, ...
    input_shape : tuple of int, optional
        Shape of one sample, for the first layer of a Sequential.
    input_dim : int, optional
        The same for flat samples: ``input_dim=784`` is ``input_shape=(784,)``.

    References
    ----------
    Keras, ``keras.layers.Layer`` (layers/layer.py).
    """

    def __init__(
        self,
        *,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        input_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            msg = (
                f"Unrecognized keyword arguments passed to {type(self).__name__}: {kwargs}. "
                "Expected: trainable, dtype, name, input_shape, input_dim and those of its class."
            )
            raise ValueError(msg)
        if input_dim is not None:
            input_shape = (input_dim,)
        self.input_shape_argument = None if input_shape is None else _checked_shape(input_shape)
        if isinstance(dtype, dict):  # a policy in Keras's form, as in `get_config`
            dtype = saving.deserialize_keras_object(dtype)
        self._dtype = _checked_dtype(dtype or np.float32)
        if name is not None and (not isinstance(name, str) or "/" in name):
            msg = (
                "Argument `name` must be a string and cannot contain character `/`. Received: "
                f"name={name!r} (of type {type(name)})"
            )
            raise ValueError(msg)
        self.name = name or auto_name(type(self).__name__)
        self.built = False
        self._build_shape: Shape | None = None
        self._trainable = check_flag(trainable, "trainable")
        self._weights: list[Variable] = []
        self._made_trainable = 0  # these come first in `weights`, as in Keras
        self._takes_training = "training" in inspect.signature(self.call).parameters

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let a subclass's `build` mark the layer as built, whoever calls it."""
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _marking_built(cls.build)  # type: ignore[method-assign]

    # --- what subclasses override ---
    def build(self, input_shape: Shape) -> None:
        """Make the weights for inputs of this shape; None stands for the batch."""

    def call(self, inputs: Tensor) -> Tensor:
        """Compute; may take ``training`` as a second argument."""
        raise NotImplementedError(f"expected {type(self).__name__} to define call(inputs)")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the output for inputs of this shape."""
        return input_shape

    def check_input(self, shape: Shape) -> None:
        """Refuse a shape that the layer can't take, with both shapes in the message."""

    # --- what users call ---
    def __call__(self, inputs: Any, training: bool | None = None) -> Tensor:
        """Check, build if need be, and compute."""
        self._refuse_layer(inputs)
        x = ops.convert_to_tensor(inputs)
        if x.dtype != self._dtype and not (numerics.current().wide and x.dtype.kind == "f"):
            x = ops.cast(x, self._dtype)
        if not self.built:
            self._build((None, *x.shape[1:]))
        self.check_input(x.shape)
        if self._takes_training:
            return self.call(x, training=bool(training))  # type: ignore[call-arg]
        return self.call(x)

    def _refuse_layer(self, inputs: Any) -> None:
        """Explain to a user of the functional API what to do."""
        if isinstance(inputs, Layer):
            msg = (
                f"layer '{self.name}' was called on layer '{inputs.name}': the functional API is "
                "not part of minisgd; put the layers into Sequential([...])."
            )
            raise NotImplementedError(msg)

    def _build(self, input_shape: Shape) -> None:
        """Check the shape, then `build`, once."""
        self.check_input(input_shape)
        self.build(input_shape)
        self.built, self._build_shape = True, tuple(input_shape)

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = "glorot_uniform",
        dtype: Any = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> Variable:
        """Make a variable that belongs to this layer; see `Variable`."""
        spend(shape, np.dtype(dtype or self.dtype).itemsize, f"{self.name}/{name}")
        values = initializers.get(initializer)(tuple(shape), dtype=dtype or self.dtype)
        found = np.asarray(values)
        if found.shape != tuple(shape) or found.dtype.kind not in "fiub":
            msg = (
                f"weight '{self.name}/{name}': expected numbers of shape {tuple(shape)} of its "
                f"initializer, received {found.dtype} of shape {found.shape} from {initializer!r}"
            )
            raise ValueError(msg)
        variable = Variable(values, name, dtype or self.dtype, trainable and self._trainable)
        variable.path = f"{self.name}/{variable.name}"
        if trainable:
            self._weights.insert(self._made_trainable, variable)
            self._made_trainable += 1
        else:
            self._weights.append(variable)
        return variable

    @property
    def dtype(self) -> str:
        """Name of the dtype of weights and computation."""
        return self._dtype.name

    @property
    def trainable(self) -> bool:
        """Whether the weights take part in training; may be set."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for weight in self._weights:
            weight.trainable = self._trainable

    @property
    def weights(self) -> list[Variable]:
        """All weights: those made trainable first, each kind in the order of making."""
        return list(self._weights)

    @property
    def variables(self) -> list[Variable]:
        """All variables; those of a Dropout's seed generator included in Keras, not here."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """Weights that training changes."""
        return [w for w in self.weights if w.trainable]

    @property
    def trainable_variables(self) -> list[Variable]:
        """Weights that training changes."""
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Weights that training leaves alone."""
        return [w for w in self.weights if not w.trainable]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """Weights that training leaves alone."""
        return self.non_trainable_weights

    def count_params(self) -> int:
        """Number of elements in all weights."""
        if not self.built:
            msg = (
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't "
                "built. You can build it manually via: `layer.build(input_shape)`."
            )
            raise ValueError(msg)
        return sum(w.size for w in self.weights)

    def get_weights(self) -> list[Array]:
        """Copies of all weights."""
        return [np.array(w) for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights; nothing changes unless all fit.

        Raises
        ------
        ValueError
            If their number or a shape differs, one is not numeric, or one holds a finite number
            beyond what the weight's dtype can hold. (NaN and infinity are taken as they are.)
        """
        own = self.weights
        if len(weights) != len(own):
            msg = (
                f"You called `set_weights(weights)` on layer '{self.name}' with a weight list of "
                f"length {len(weights)}, but the layer was expecting {len(own)} weights."
            )
            raise ValueError(msg)
        arrays = [np.asarray(w) for w in weights]
        for variable, array in zip(own, arrays, strict=True):
            if array.shape != variable.shape or array.dtype.kind not in "fiub":
                msg = (
                    f"Layer {self.name} weight shape {variable.shape} is not compatible with "
                    f"provided weight shape {array.shape} ('{variable.path}', dtype {array.dtype})."
                )
                raise ValueError(msg)
            _refuse_overflow(array, variable)
        for variable, array in zip(own, arrays, strict=True):
            variable.assign(array)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal layer (without its weights)."""
        return {"name": self.name, "trainable": self.trainable, "dtype": self._dtype_config()}

    def _dtype_config(self) -> dict[str, Any]:
        """The dtype in Keras's form."""
        return {
            "module": "keras",
            "class_name": "DTypePolicy",
            "config": {"name": self.dtype},
            "registered_name": None,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Layer with these arguments."""
        return cls(**saving.drop_defaults(config, DENSE_OPTIONS | INPUT_OPTIONS, cls.__name__))

    def get_build_config(self) -> dict[str, Any] | None:
        """Argument of `build_from_config`: the shape that the layer was built for, if it was."""
        return None if self._build_shape is None else {"input_shape": self._build_shape}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build for the shape that `get_build_config` returned."""
        self._build(_checked_shape(config["input_shape"]))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _checked_dtype(dtype: Any) -> np.dtype[Any]:
    """float32 or float64."""
    try:
        found: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)  # a word that NumPy does not know
    if found not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"`dtype`: expected float32 or float64, received {dtype}")
    return found


def _refuse_overflow(values: Array, variable: Variable) -> None:
    """Raise for finite numbers that would become infinite."""
    with np.errstate(invalid="ignore"):
        lost = (np.abs(values) > np.finfo(variable.dtype).max) & ~np.isinf(values)
    if lost.any():
        place = tuple(int(i) for i in np.unravel_index(int(np.argmax(lost)), values.shape))
        msg = (
            f"weight '{variable.path}': expected numbers that {variable.dtype} can hold, received "
            f"{values[place]} at {list(place)}"
        )
        raise ValueError(msg)


def _marking_built(build: Callable[..., None]) -> Callable[..., None]:
    """`build` that also sets ``built``."""

    @functools.wraps(build)
    def build_and_mark(self: Layer, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        self.built = True
        if args and args[0] is not None:
            self._build_shape = tuple(args[0])

    return build_and_mark


def _checked_shape(shape: Any) -> Shape:
    """A tuple of positive ints and Nones.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    for n in lengths:
        whole = isinstance(n, int | np.integer) and not isinstance(n, bool)
        if n is not None and not (whole and n > 0):
            msg = (
                f"Cannot convert '{shape}' to a shape: expected positive ints or None, received "
                f"{n!r}."
            )
            raise ValueError(msg)
    return tuple(None if n is None else int(n) for n in lengths)
