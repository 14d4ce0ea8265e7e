"""OptimizerState: what an optimizer is made of. Its arguments, variables and learning rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minisgd import saving
from minisgd.optimizers import _arguments as arguments
from minisgd.optimizers.schedules import LearningRateSchedule
from minisgd.tensor import Tensor, Variable
from minisgd.utils.naming import auto_name


class OptimizerState:
    """Arguments, variables, learning rate and configuration; `Optimizer` does the updates."""

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule | Callable[[], Any],
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        arguments.refuse_unknown(kwargs, type(self))
        arguments.check_clipping(clipnorm, clipvalue, global_clipnorm)
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.weight_decay = arguments.check_number(weight_decay, "weight_decay", above_zero=False)
        self.use_ema = arguments.check_flag(use_ema, "use_ema")
        self.ema_momentum = arguments.check_ema_momentum(ema_momentum)
        self.ema_overwrite_frequency = arguments.check_count(
            ema_overwrite_frequency, "ema_overwrite_frequency", 1
        )
        self.loss_scale_factor = arguments.check_number(
            loss_scale_factor, "loss_scale_factor", above_zero=True
        )
        self.gradient_accumulation_steps = arguments.check_count(
            gradient_accumulation_steps, "gradient_accumulation_steps", 2
        )
        self.name = name or auto_name(type(self).__name__)
        self.built = False
        self._trained: list[Variable] = []
        self._averages: list[Variable] = []
        self._accumulators: list[Variable] = []
        self._state: list[Variable] = []
        self._not_decayed: list[Variable] = []
        self._not_decayed_names: list[str] = []
        self._iterations = self._own_variable(np.int64(0), "iteration")
        self._learning_rate: Variable | Callable[..., Any]
        if callable(learning_rate):  # a schedule is
            self._learning_rate = learning_rate
        elif isinstance(learning_rate, float):
            rate = np.float32(arguments.check_rate(learning_rate))
            self._learning_rate = self._own_variable(rate, "learning_rate")
        else:
            arguments.refuse_rate(learning_rate)

    # --- state ---
    def _own_variable(self, value: Any, name: str) -> Variable:
        variable = Variable(value, name=name, trainable=False)
        variable.path = f"{self.name}/{name}"
        return variable

    def _add_state(self, variables: Sequence[Variable], name: str) -> list[Variable]:
        """One variable of zeros for each, named like ``sgd/sequential_dense_kernel_momentum``."""
        added = [
            self._own_variable(np.zeros(v.shape, v.dtype), f"{v.path.replace('/', '_')}_{name}")
            for v in variables
        ]
        self._state += added
        return added

    @property
    def variables(self) -> list[Variable]:
        """State in Keras's order: iteration, learning rate, averages, accumulators, momentums.

        Those that the options ask for; no learning rate with a schedule.
        """
        rate = [self._learning_rate] if isinstance(self._learning_rate, Variable) else []
        return [self._iterations, *rate, *self._state]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the values of `variables`.

        Raises
        ------
        ValueError
            If the optimizer has no state yet, or numbers or shapes differ. Nothing was changed
            then.
        """
        if not self.built:
            raise ValueError(
                "You are calling `set_weights()` on an optimizer that has not yet been built. "
                "Please call `optimizer.build(trainable_variables)` to create the optimizer "
                "weights before calling `set_weights()`."
            )
        variables, arrays = self.variables, [np.asarray(weight) for weight in weights]
        if len(arrays) != len(variables):
            msg = f"`weights`: expected {len(variables)} arrays, received {len(arrays)}"
            raise ValueError(msg)
        for variable, array in zip(variables, arrays, strict=True):
            if array.shape != variable.shape:
                msg = (
                    f"Optimizer variable {variable.path} has shape {variable.shape} not "
                    f"compatible with provided weight shape {array.shape}."
                )
                raise ValueError(msg)
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)

    @property
    def iterations(self) -> Tensor:
        """Number of updates so far, int64, shape (); with accumulation not that of calls."""
        if self.gradient_accumulation_steps:
            return Tensor(np.asarray(self._updates()))
        return self._iterations

    def _updates(self) -> Any:
        """Number of updates so far, as a NumPy int64."""
        return self._updates_in(self._iterations._array[()])

    def _updates_in(self, calls: Any) -> Any:
        """How many of so many calls were updates; takes vectors, too."""
        return calls // (self.gradient_accumulation_steps or 1)

    # --- the learning rate ---
    @property
    def learning_rate(self) -> Tensor:
        """The learning rate of the next update, float32, shape ().

        A variable, which may be set to a number; with a schedule its present value.
        """
        if isinstance(self._learning_rate, Variable):
            return self._learning_rate
        return Tensor(np.asarray(self._current_rate()))

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if callable(value):
            self._learning_rate = value
        elif isinstance(self._learning_rate, Variable):
            self._learning_rate.assign(arguments.as_rate(value))
        else:
            scheduled = isinstance(self._learning_rate, LearningRateSchedule)
            kind = "LearningRateSchedule" if scheduled else "callable"
            msg = (
                f"This optimizer was created with a `{kind}` object as its `learning_rate` "
                "constructor argument, hence its learning rate is not settable. If you need the "
                "learning rate to be settable, you should instantiate the optimizer with a float "
                f"`learning_rate` argument. Received: learning_rate={value!r}"
            )
            raise TypeError(msg)

    def _current_rate(self) -> Any:
        """The learning rate of this call, a NumPy float32.

        A schedule counts calls, also those that only accumulate (as Keras has it).

        Raises
        ------
        ValueError
            If a schedule or function returns a rate that can't train.
        """
        if isinstance(self._learning_rate, Variable):
            return self._learning_rate._array[()]
        rate: Any
        step = self._iterations._array[()]
        if not isinstance(self._learning_rate, LearningRateSchedule):
            rate, source = self._learning_rate(), f"`learning_rate`, {self._learning_rate!r}"
        else:
            rate = self._learning_rate(Tensor(np.asarray(step)))
            source = f"learning rate schedule '{type(self._learning_rate).__name__}' at step {step}"
        return arguments.as_rate(rate, source)

    # --- configuration ---
    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal optimizer (without its state), in Keras's form."""
        rate: Any = self._learning_rate
        if isinstance(rate, Variable):
            rate = float(rate)
        else:
            rate = saving.serialize_keras_object(rate)
        return {
            "name": self.name,
            "learning_rate": rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Any:
        """Optimizer with these arguments; a schedule comes as its own configuration.

        Parameters
        ----------
        config : dict
            From `get_config` (ours or Keras's).
        custom_objects : dict, optional
            Schedules and functions of your own by name.
        """
        rate = config.get("learning_rate")
        if isinstance(rate, dict):
            rate = saving.deserialize_keras_object(rate, custom_objects)
            config = {**config, "learning_rate": rate}
        return cls(**config)
