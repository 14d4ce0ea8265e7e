"""Layer, the base class: weights, building, and the checks before a call."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minisgd import constraints, initializers, numerics, ops, regularizers, saving
from minisgd.layers.tracking import Owner, flatten, unique
from minisgd.saving.limits import spend
from minisgd.tensor import Array, Tensor, Variable
from minisgd.utils.naming import auto_name

Shape = tuple[int | None, ...]


class _Calls(threading.local):
    """The layers that are being built or called in this thread, the outermost first."""

    def __init__(self) -> None:
        self.scopes: list[Layer] = []  # they name the weights
        self.training: bool | None = None  # what the outer call was told
        self.active = False  # whether a call is on its way: the outermost clears the losses


_calls = _Calls()
_SAMPLES = 3  # in a call that only asks for shapes


class Layer(Owner):
    """A function of a tensor that may own variables.

    Subclasses override `build`, which makes the variables with `add_weight` as soon as the shape of
    the input is known, and `call`, which computes. Users call the layer itself. Variables, layers
    and metrics that are attributes belong to it, too (`minisgd.layers.tracking`).

    Parameters
    ----------
    activity_regularizer : str, Regularizer or callable, optional
        Penalty on the output, added to the loss after division by the number of samples.
    trainable : bool
        Whether the layer's weights take part in training.
    dtype : dtype, optional
        Of weights and computation: float32 (default) or float64.
    autocast : bool
        Whether inputs are brought to the layer's dtype.
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

    _building = False
    _mutable = False  # whether it may get new layers after `build`
    _untracked = frozenset({"activity_regularizer", "_losses", "_build_arguments"})

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        input_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            msg = (
                f"Unrecognized keyword arguments passed to {type(self).__name__}: {kwargs}. "
                "Expected: activity_regularizer, trainable, dtype, autocast, name, input_shape, "
                "input_dim and those of its class."
            )
            raise ValueError(msg)
        if not isinstance(trainable, bool):
            msg = (
                "Expected `trainable` to be a boolean. Received: "
                f"trainable={trainable} (of type {type(trainable)})"
            )
            raise ValueError(msg)
        if input_dim is not None:
            input_shape = (input_dim,)
        self.input_shape_argument = None if input_shape is None else checked_shape(input_shape)
        if isinstance(dtype, dict):  # a policy in Keras's form, as in `get_config`
            dtype = saving.deserialize_keras_object(dtype)
        self._dtype = _checked_dtype(dtype or np.float32)
        if name is not None and (not isinstance(name, str) or "/" in name):
            msg = (
                "Argument `name` must be a string and cannot contain character `/`. Received: "
                f"name={name!r} (of type {type(name)})"
            )
            raise ValueError(msg)
        self.autocast = bool(autocast)
        self.name = name or auto_name(type(self).__name__)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.built = False
        self._build_arguments: dict[str, Any] | None = None
        self._trainable = trainable
        self._losses: list[Tensor] = []
        self._takes_training = "training" in inspect.signature(self.call).parameters

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Remember the arguments, for a class without a `get_config` of its own."""
        self = super().__new__(cls)
        if cls.get_config is Layer.get_config:
            vars(self)["_arguments"] = args, kwargs
        return self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let a subclass's `build` mark the layer as built, whoever calls it."""
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = marking_built(cls.build)  # type: ignore[method-assign]

    # --- what subclasses override ---
    def build(self, input_shape: Shape) -> None:
        """Make the weights for inputs of this shape; None stands for the batch."""
        if any(not layer.built for layer in self._layers):  # a call builds them
            self._output_of_zeros(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Compute; may take ``training`` as a second argument."""
        raise NotImplementedError(
            f"Layer {type(self).__name__} does not have a `call` method implemented: expected it "
            "to define call(self, inputs)."
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the output for inputs of this shape: by default that of a call with zeros."""
        if not self.built:
            self._build(input_shape)
        shape = self._output_of_zeros(input_shape).shape
        return (None if shape[:1] == (_SAMPLES,) else shape[0], *shape[1:])

    def check_input(self, shape: Shape) -> None:
        """Refuse a shape that the layer can't take, with both shapes in the message."""

    # --- what users call ---
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Check, build if need be, and compute.

        Further arguments are those of `call`. What ``training`` is not told, the layer that calls
        this one knows, or the default of `call`.
        """
        self._check_super_called()
        self._refuse_layer(inputs)
        x = self._converted(inputs)
        with self._as_scope():
            if not self.built:
                self._build((None, *x.shape[1:]))
            self.check_input(x.shape)
            return self._call(x, args, kwargs)

    def _call(self, x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """`call`, as a part of the calls that are on their way."""
        outer = _calls.active, _calls.training
        if not _calls.active:
            self._clear_losses()
        told = kwargs.pop("training", None)
        training = _calls.training if told is None else bool(told)
        _calls.active, _calls.training = True, training
        try:
            if self._takes_training and training is not None and not args:
                kwargs["training"] = training
            output = self.call(x, *args, **kwargs)
            if self.activity_regularizer is not None and isinstance(output, Tensor):
                penalty = self.activity_regularizer(output)
                self.add_loss(penalty / float(len(output)) if output.ndim else penalty)
            return output
        finally:
            _calls.active, _calls.training = outer

    def _converted(self, inputs: Any) -> Tensor:
        """The inputs as a tensor of the layer's dtype."""
        x = ops.convert_to_tensor(inputs)
        wide = numerics.current().wide and x.dtype.kind == "f"
        if self.autocast and x.dtype != self._dtype and not wide:
            x = ops.cast(x, self._dtype)
        return x

    @contextmanager
    def _as_scope(self) -> Iterator[None]:
        """Name what is made inside after this layer, too."""
        if _calls.scopes and _calls.scopes[-1] is self:
            yield
            return
        _calls.scopes.append(self)
        try:
            yield
        finally:
            _calls.scopes.pop()

    def _refuse_layer(self, inputs: Any) -> None:
        """Explain to a user of the functional API what to do."""
        if isinstance(inputs, Layer):
            msg = (
                f"layer '{self.name}' was called on layer '{inputs.name}': the functional API is "
                "not part of minisgd; put the layers into Sequential([...])."
            )
            raise NotImplementedError(msg)

    def _check_super_called(self) -> None:
        if "_losses" not in vars(self):
            msg = (
                f"In layer '{type(self).__name__}', you forgot to call `super().__init__()` as "
                "the first statement in the `__init__()` method. Go add it!"
            )
            raise RuntimeError(msg)

    def _build(self, input_shape: Shape) -> None:
        """Check the shape, then `build`, once."""
        self.check_input(input_shape)
        self.build(input_shape)

    def _output_of_zeros(self, input_shape: Shape) -> Tensor:
        """What the layer makes of samples of zeros; builds the layers in it."""
        lengths = [_SAMPLES, *(1 if n is None else n for n in input_shape[1:])]
        with self._as_scope():
            output = self._call(Tensor(np.zeros(lengths, self._dtype)), (), {})
        if not _calls.active:
            self._clear_losses()
        return output

    # --- state ---
    def add_weight(
        self,
        shape: Sequence[int] | None = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        *,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Make a variable that belongs to this layer; see `Variable`.

        Parameters
        ----------
        shape : tuple of int, optional
            By default (), a number.
        initializer : str, Initializer or callable, optional
            By default "glorot_uniform"; "zeros" for other dtypes than floats.
        dtype : dtype, optional
            By default the layer's.
        trainable : bool
        autocast : bool
            Accepted as in Keras; variables are never cast.
        regularizer : str, Regularizer or callable, optional
            Penalty that is added to the loss.
        constraint : str, Constraint or callable, optional
            What replaces the variable after each update.
        name : str, optional

        Raises
        ------
        ValueError
            For a shape, initializer, regularizer or constraint that is none.
        """
        self._check_super_called()
        if isinstance(shape, str):
            msg = (
                "`name` must be passed as a keyword argument. Received: "
                f"add_weight('{shape}', ...). Use: add_weight(shape=..., name='{shape}')."
            )
            raise ValueError(msg)
        lengths = () if shape is None else tuple(shape)
        dtype = np.dtype(dtype or self.dtype)
        if initializer is None:
            initializer = "glorot_uniform" if dtype.kind == "f" else "zeros"
        penalty, limit = regularizers.get(regularizer), constraints.get(constraint)
        spend(lengths, dtype.itemsize, f"{self.name}/{name}")
        values = initializers.get(initializer)(lengths, dtype=dtype)
        found = np.asarray(values)
        if found.shape != lengths or found.dtype.kind not in "fiub":
            msg = (
                f"weight '{self.name}/{name}': expected numbers of shape {lengths} of its "
                f"initializer, received {found.dtype} of shape {found.shape} from {initializer!r}"
            )
            raise ValueError(msg)
        variable = Variable(values, name, dtype, trainable)
        with self._as_scope():
            owners = [layer.name for layer in _calls.scopes]
        variable.path = "/".join([*owners, variable.name])
        variable.regularizer, variable.constraint = penalty, limit
        self._track(variable)
        return variable

    def _track(self, value: Any) -> Any:
        """Take note of state; what a frozen layer gets is frozen."""
        value = super()._track(value)
        if isinstance(value, Variable) and not getattr(self, "_trainable", True):
            value.trainable = False
        return value

    # --- losses ---
    def add_loss(self, loss: Any) -> None:
        """Add a tensor (or several) to the loss of the model; to be called from `call`.

        Raises
        ------
        ValueError
            If it is no tensor.
        """
        for one in loss if isinstance(loss, list | tuple) else [loss]:
            if not isinstance(one, Tensor):
                msg = (
                    "`add_loss()` can only be called from inside `build()` or `call()`, on a "
                    f"tensor input. Received invalid value: {one}"
                )
                raise ValueError(msg)
            self._losses.append(one)

    @property
    def losses(self) -> list[Tensor]:
        """What the latest call added, here and in inner layers, and the penalties on weights."""
        added = [loss for layer in [self, *flatten(self)] for loss in layer._losses]
        penalized = [w for w in self.trainable_weights if w.regularizer is not None]
        return added + [w.regularizer(w) for w in penalized]

    def _clear_losses(self) -> None:
        for layer in [self, *flatten(self)]:
            layer._losses.clear()

    @property
    def metrics(self) -> list[Any]:
        """Metrics that are attributes of this layer and of those in it."""
        return unique(m for layer in [self, *flatten(self)] for m in layer._own_metrics)

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
        for weight in self._trainable_variables:
            weight.trainable = self._trainable
        for layer in self._layers:
            layer.trainable = value

    @property
    def weights(self) -> list[Variable]:
        """All weights: those made trainable first, the others, then those of inner layers."""
        own = [*self._trainable_variables, *self._non_trainable_variables]
        return unique([*own, *(w for layer in self._layers for w in layer.weights)])

    @property
    def variables(self) -> list[Variable]:
        """All variables; those of a Dropout's seed generator included in Keras, not here."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """Weights that training changes."""
        return [w for w in self.weights if w.trainable] if self.trainable else []

    @property
    def trainable_variables(self) -> list[Variable]:
        """Weights that training changes."""
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Weights that training leaves alone."""
        return [w for w in self.weights if not (w.trainable and self.trainable)]

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
        config: dict[str, Any] = {"name": self.name}
        if type(self).get_config is Layer.get_config:
            config = saving.constructor_arguments(self, config)
        config |= {"trainable": self.trainable, "dtype": self._dtype_config()}
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return config

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
        return cls(**config)

    def get_build_config(self) -> dict[str, Any] | None:
        """Argument of `build_from_config`: the shape that the layer was built for, if it was."""
        arguments = self._build_arguments
        if arguments is None or len(arguments) == 1:
            return arguments and {"input_shape": next(iter(arguments.values()))}
        return {"shapes_dict": arguments}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build for the shape that `get_build_config` returned."""
        if "shapes_dict" in config:
            shapes = config["shapes_dict"].items()
            self.build(**{name: checked_shape(shape) for name, shape in shapes})
        else:
            self._build(checked_shape(config["input_shape"]))

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


def marking_built(build: Callable[..., None]) -> Callable[..., None]:
    """`build` that also sets ``built``, names the weights and then allows no more of them."""
    signature = inspect.signature(build)

    @functools.wraps(build)
    def build_and_mark(self: Layer, *args: Any, **kwargs: Any) -> None:
        if self._building:  # called by the `build` of a subclass
            build(self, *args, **kwargs)
            return
        vars(self)["_building"] = True
        try:
            with self._as_scope():
                build(self, *args, **kwargs)
        finally:
            del vars(self)["_building"]
        arguments = dict(signature.bind(self, *args, **kwargs).arguments)
        del arguments[next(iter(arguments))]  # self
        self.built, self._build_arguments = True, arguments
        self._locked = not self._mutable

    return build_and_mark


Layer.build = marking_built(Layer.build)  # type: ignore[method-assign]


def checked_shape(shape: Any) -> Shape:
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
