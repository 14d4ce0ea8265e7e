"""Sequential: a stack of layers that can be trained (Keras: models/sequential.py)."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minisgd import ops, saving
from minisgd.layers import InputLayer, Layer
from minisgd.layers.layer import Shape, checked_shape
from minisgd.layers.tracking import flatten, unique
from minisgd.metrics.compiled import Unweighted, Weighted
from minisgd.saving.model_file import clone_model, load_model, model_from_json, save_model
from minisgd.tensor import Tensor
from minisgd.trainer import Trainer
from minisgd.utils.summary import print_summary
from minisgd.utils.unsupported import explain

__all__ = ["Sequential", "clone_model", "load_model", "model_from_json", "save_model"]


class Sequential(Trainer, Layer):
    """Layers one after the other.

    Its weights are made as soon as the shape of the input is known: from an `Input` or a first
    layer with ``input_shape=`` at once, otherwise with the first data.

    Parameters
    ----------
    layers : iterable of Layer, optional
    name : str, optional

    Examples
    --------
    >>> from minisgd import Sequential, layers
    >>> model = Sequential([layers.Input((784,)), layers.Dense(128, "relu"), layers.Dense(10)])
    >>> model.count_params()
    101770
    """

    _mutable = True
    _untracked = Layer._untracked | {
        "_input", "_loss", "_loss_tracker", "_metric_identifiers", "_metrics", "_compiled_with",
        "loss",
    }  # fmt: skip

    def __init__(
        self,
        layers: Iterable[Layer] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        Layer.__init__(self, trainable=trainable, name=name)
        self._layers: list[Layer] = []
        self._input: InputLayer | None = None
        for layer in layers or ():
            self._append(layer)
        self._build_if_shape_known()

    # --- structure ---
    @property
    def layers(self) -> list[Layer]:
        """The layers, without the `Input`."""
        return list(self._layers)

    def add(self, layer: Layer) -> None:
        """Put a layer on top.

        Raises
        ------
        ValueError
            If it is no layer, its name is taken, or it is a second `Input`.
        """
        self._append(layer)
        self._build_if_shape_known()

    def pop(self) -> Layer:
        """Remove the last layer and return it."""
        if not self._layers:
            raise IndexError("pop from empty list: there are no layers in the model.")
        layer = self._layers.pop()
        self.built = bool(self._layers) and all(layer.built for layer in self._layers)
        return layer

    def _append(self, layer: Layer) -> None:
        if not isinstance(layer, Layer):
            msg = (
                "Only instances of `keras.Layer` can be added to a Sequential model. Received: "
                f"{layer} (of type {type(layer)})"
            )
            raise ValueError(msg)
        if any(layer.name == known.name for known in self._layers):
            msg = (
                "All layers added to a Sequential model should have unique names. Name "
                f"'{layer.name}' is already the name of a layer in this model. Update the `name` "
                "argument to pass a unique name."
            )
            raise ValueError(msg)
        if isinstance(layer, InputLayer):
            if self._input is not None or self._layers:
                msg = (
                    f"Sequential model '{self.name}' has already been configured: expected one "
                    "Input, as the first element."
                )
                raise ValueError(msg)
            self._input = layer
            return
        if not self._layers and self._input is None and layer.input_shape_argument is not None:
            self._input = InputLayer(layer.input_shape_argument)
        self._layers.append(layer)
        self.built = False

    def _build_if_shape_known(self) -> None:
        if self._input is not None and self._layers:
            self.build(self._input.batch_shape)

    def build(self, input_shape: Shape | None = None) -> None:
        """Make the weights of all layers for inputs of this shape; None stands for the batch."""
        if not self._layers:
            msg = (
                f"Sequential model {self.name} cannot be built because it has no layers. Call "
                "`model.add(layer)`."
            )
            raise ValueError(msg)
        if input_shape is None:
            raise ValueError("`input_shape`: expected e.g. (None, 784), received None")
        if self._input is None:
            self._input = InputLayer(batch_shape=(None, *input_shape[1:]))
        shape: Shape = tuple(input_shape)
        for layer in self._layers:
            if layer.built:
                layer.check_input(shape)
            else:
                layer._build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    @property
    def input_shape(self) -> Shape:
        """Shape of the input, None for the batch."""
        if self._input is None:
            msg = f"Sequential model '{self.name}' has no defined input shape yet."
            raise AttributeError(msg)
        return self._input.batch_shape

    @property
    def output_shape(self) -> Shape:
        """Shape of the output, None for the batch."""
        return self.compute_output_shape(self.input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the output for inputs of this shape."""
        for layer in self._layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def output_shapes(self) -> list[Shape | None]:
        """Shape after each layer; None where it is not known yet."""
        if not self.built or self._input is None:
            return [None] * len(self._layers)
        shapes: list[Shape | None] = []
        shape = self._input.batch_shape
        for layer in self._layers:
            shape = layer.compute_output_shape(shape)
            shapes.append(shape)
        return shapes

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Layer with a name, or at a position.

        Raises
        ------
        ValueError
            If there is none.
        """
        if (name is None) == (index is None):
            raise ValueError("Provide either a layer name or layer index at `get_layer`.")
        if index is not None:
            if not -len(self._layers) <= index < len(self._layers):
                msg = (
                    f"Was asked to retrieve layer at index {index} but model only has "
                    f"{len(self._layers)} layers."
                )
                raise ValueError(msg)
            return self._layers[index]
        for layer in self._layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self._layers]
        msg = f"No such layer: {name}. Existing layers are: {names}."
        raise ValueError(msg)

    # --- what a layer has ---
    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Outputs for a batch of inputs: each layer's is the next one's input."""
        x = inputs
        for layer in self._layers:
            x = layer(x, training=training)
        return x

    def _converted(self, inputs: Any) -> Tensor:
        """The inputs as a tensor with the axes that the model was made for."""
        return self._with_expected_axes(ops.convert_to_tensor(inputs))

    def _track(self, value: Any) -> Any:
        """Take note of variables and metrics; layers are what `add` was given."""
        return value if isinstance(value, Layer) else super()._track(value)

    def _with_expected_axes(self, x: Tensor) -> Tensor:
        """`x` with a last axis of length 1 put on or taken off, if that is all that it needs."""
        if self._input is not None:
            expected = self._input.batch_shape
            if x.ndim == len(expected) + 1 and x.shape[-1] == 1:
                return ops.reshape(x, x.shape[:-1])
            if x.ndim == len(expected) - 1 and expected[-1] == 1:
                return ops.expand_dims(x, -1)
        return x

    def check_input(self, shape: Shape) -> None:
        """Refuse inputs whose shape is not the one that the model was made for."""
        if self._input is None:
            return
        expected = self._input.batch_shape
        fits = len(shape) == len(expected) and all(
            e is None or s is None or s == e for s, e in zip(shape[1:], expected[1:], strict=True)
        )
        if not fits and self._layers:
            # A layer's own message says more where only the width is wrong.
            if len(shape) == len(expected):
                self._layers[0].check_input(shape)
            msg = (
                f"Invalid input shape for model '{self.name}'. Expected shape {expected}, but "
                f"input has incompatible shape {shape}"
            )
            raise ValueError(msg)

    @property
    def metrics(self) -> list[Any]:
        """The loss tracker, the metrics of `compile`, and those that are attributes."""
        own = [m for layer in [self, *flatten(self)] for m in layer._own_metrics]
        found = unique([*Trainer.metrics.__get__(self), *own])
        if type(self).train_step is Trainer.train_step:
            return found
        # A step of the user's own may give sample weights to all: here only to weighted metrics.
        unweighted = [m for m in self._metrics or () if not isinstance(m, Weighted)]
        return [Unweighted(m) if m in unweighted else m for m in found]

    # --- configuration ---
    def get_config(self) -> dict[str, Any]:
        """Name, layers and the shape of the input: the argument of `from_config`."""
        stack = [self._input, *self._layers] if self._input is not None else self._layers
        config = {
            **super().get_config(),
            "layers": [saving.serialize_keras_object(layer) for layer in stack],
        }
        if self._input is not None and self.built:
            config["build_input_shape"] = self._input.batch_shape
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Model with these layers and new weights; built if the other one was.

        Parameters
        ----------
        config : dict
            From `get_config` (ours or Keras's).
        custom_objects : dict, optional
            Classes and functions of your own by name.

        Raises
        ------
        ValueError
            If it is no configuration of a Sequential, or names a class that is not known.
        """
        if "name" not in config or not isinstance(config.get("layers"), list | tuple):
            msg = (
                "A Sequential model configuration must be a dictionary containing the 'name' and "
                f"'layers' keys. Received: config={str(config)[:500]}"
            )
            raise ValueError(msg)
        model = cls(name=config["name"])
        for layer in config["layers"]:
            # They are built in their order, as soon as the shape of the input is known.
            unbuilt = {k: v for k, v in layer.items() if k != "build_config"}
            model._append(saving.deserialize_keras_object(unbuilt, custom_objects))
        model._build_if_shape_known()
        shape = config.get("build_input_shape")
        if shape and model._layers and not model.built:
            model.build(checked_shape(shape))
        return model

    def _clone(self, clone_function: Callable[[Layer], Layer]) -> Sequential:
        """Sequential of clones; those inside it are cloned layer by layer, too."""
        clone = Sequential(name=self.name, trainable=self.trainable)
        if self._input is not None:
            clone._append(InputLayer.from_config(self._input.get_config()))
        for layer in self._layers:
            if isinstance(layer, Sequential):
                clone._append(layer._clone(clone_function))
            else:
                clone._append(clone_function(layer))
        clone._build_if_shape_known()
        if self.compiled:
            clone.compile_from_config(self.get_compile_config())
        return clone

    def get_compile_config(self) -> dict[str, Any]:
        """Arguments of `compile` in Keras's form; empty if the model is not compiled.

        The learning rate is the present one. Keras's files have no place for ``numerics``.
        """
        if not self.compiled:
            return {}
        loss, loss_weights, metrics, weighted_metrics, steps_per_execution = self._compiled_with
        arguments = {
            "optimizer": self.optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": self.run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": self.jit_compile is True,
        }
        return {name: saving.serialize_keras_object(value) for name, value in arguments.items()}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as `get_compile_config` (ours or Keras's) says, and make the optimizer's state.

        Keras writes "auto" as ``jit_compile=False``; since the bits are the same, False means
        "auto" here.
        """
        if type(self).compile is not Trainer.compile:
            warnings.warn(
                "`compile()` was not called as part of model loading because the model's "
                "`compile()` method is custom. Override `compile_from_config(config)`, too, or "
                "call `compile()` after loading.",
                stacklevel=2,
            )
            return
        arguments = saving.deserialize_keras_object(config)
        arguments["jit_compile"] = arguments.get("jit_compile") or "auto"
        self.compile(**arguments)
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def to_json(self, **kwargs: Any) -> str:
        """The model without its weights, for `model_from_json`; `kwargs` are ``json.dumps``'s."""
        return json.dumps(saving.serialize_keras_object(self), **kwargs)

    # --- files ---
    def save(
        self,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        zipped: bool | None = None,
    ) -> None:
        """Write the whole model to a ``.keras`` file; see `minisgd.saving.save_model`."""
        saving.save_model(self, filepath, overwrite, zipped)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write weights and optimizer state; see `minisgd.saving.save_weights`."""
        saving.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: str | os.PathLike[str], skip_mismatch: bool = False) -> None:
        """Read weights and optimizer state; see `minisgd.saving.load_weights`."""
        saving.load_weights(self, filepath, skip_mismatch)

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
    ) -> None:
        """Print a table of the layers; see `minisgd.utils.summary.print_summary`."""
        print_summary(
            self, line_length, positions, print_fn, expand_nested, show_trainable, layer_range
        )


def __getattr__(name: str) -> Any:
    return explain(__name__, name)
