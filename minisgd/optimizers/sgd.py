"""Stochastic gradient descent, with momentum and Nesterov's variant."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import minisgd_kernels as kernels
from minisgd.tensor import Array, Tensor, Variable, as_kernel_array
from minisgd.utils.naming import auto_name

# Keras's arguments that minisgd does not have yet, with the value that means "off".
_NOT_YET = {
    "weight_decay": None,
    "clipnorm": None,
    "clipvalue": None,
    "global_clipnorm": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


class SGD:
    """Gradient descent on one batch at a time.

    Plain (``momentum=0``)::

        w = w - g * learning_rate

    With momentum; the learning rate is inside the velocity, so that a change of it acts on new
    gradients only (PyTorch keeps it outside)::

        v = v * momentum - g * learning_rate
        w = w + v

    Nesterov, with the new velocity::

        w = w + (v * momentum - g * learning_rate)

    Every product and every sum is rounded to the weights' dtype, and so is ``learning_rate``.

    Parameters
    ----------
    learning_rate : float
        Finite and not negative.
    momentum : float
        From 0 to 1.
    nesterov : bool
        Without effect if ``momentum`` is 0.
    name : str, optional

    Attributes
    ----------
    iterations : Variable, shape (), int64
        Number of updates so far.
    momentums : list of Variable
        The velocities, one a variable; empty without momentum.

    References
    ----------
    Robbins and Monro (1951); Polyak (1964); Nesterov (1983); Sutskever et al., "On the importance
    of initialization and momentum in deep learning", ICML 2013. Keras, ``keras.optimizers.SGD``
    (optimizers/sgd.py, optimizers/base_optimizer.py).
    """

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        _refuse(kwargs)
        if not isinstance(learning_rate, float):
            hint = ""
            if isinstance(learning_rate, int | np.number):
                hint = f" (write {float(learning_rate)})"
            msg = (
                f"Argument `learning_rate` should be float{hint}. "
                f"Received instead: learning_rate={learning_rate!r}"
            )
            raise ValueError(msg)
        if not isinstance(momentum, float) or not 0 <= momentum <= 1:
            msg = f"`momentum` must be a float between [0, 1]. Received: momentum={momentum!r}"
            raise ValueError(msg)
        self.name = name or auto_name("SGD")
        self.momentum = momentum
        self.nesterov = bool(nesterov)
        self.iterations = Variable(np.int64(0), name="iteration", trainable=False)
        self._learning_rate = Variable(
            np.float32(_checked_rate(learning_rate)), name="learning_rate", trainable=False
        )
        self.momentums: list[Variable] = []
        self._trained: list[Variable] = []
        self.built = False

    @property
    def learning_rate(self) -> Variable:
        """The learning rate, a float32 variable; may be set to a number."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._learning_rate.assign(np.float32(_checked_rate(float(value))))

    @property
    def variables(self) -> list[Variable]:
        """State in Keras's order: iteration, learning rate, velocities."""
        return [self.iterations, self._learning_rate, *self.momentums]

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the velocities for these variables, once."""
        if self.built:
            return
        self._trained = list(variables)
        if self.momentum:
            self.momentums = [self._velocity_of(v) for v in self._trained]
        self.built = True

    def _velocity_of(self, variable: Variable) -> Variable:
        """A velocity of zeros with a name like ``sgd/sequential_dense_kernel_momentum``."""
        zeros = np.zeros(variable.shape, variable.dtype)
        velocity = Variable(zeros, name="momentum", trainable=False)
        velocity.path = f"{self.name}/{variable.path.replace('/', '_')}_momentum"
        return velocity

    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[Tensor | Array | None, Variable]]
    ) -> Variable:
        """Update each variable with its gradient; returns `iterations`.

        Parameters
        ----------
        grads_and_vars : iterable of (gradient, variable)
            A gradient has its variable's shape; None leaves the variable alone.
        """
        gradients, variables = [], []
        for gradient, variable in grads_and_vars:
            gradients.append(gradient)
            variables.append(variable)
        self.apply(gradients, variables)
        return self.iterations

    def apply(
        self,
        grads: Sequence[Tensor | Array | None],
        trainable_variables: Sequence[Variable] | None = None,
    ) -> None:
        """Update each variable with its gradient, in order, then count one iteration.

        Raises
        ------
        ValueError
            If no variable has a gradient, a variable is unknown to this optimizer, or shapes
            differ. Nothing was changed then.
        """
        grads = list(grads)
        if not grads:
            return
        if trainable_variables is None:
            trainable_variables = self._trained
        if len(grads) != len(trainable_variables):
            msg = (
                f"`grads`: expected {len(trainable_variables)} gradients, one a variable, "
                f"received {len(grads)}"
            )
            raise ValueError(msg)
        self.build(trainable_variables)
        updates = []
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            index = self._index_of(variable)
            if gradient is None:
                msg = (
                    f"Gradients do not exist for variable '{variable.path}' when minimizing the "
                    "loss: it stays as it is."
                )
                warnings.warn(msg, stacklevel=3)
                continue
            array = as_kernel_array(gradient, variable.dtype)
            if array.shape != variable.shape:
                msg = (
                    f"gradient of '{variable.path}': expected shape {variable.shape}, received "
                    f"{array.shape}"
                )
                raise ValueError(msg)
            updates.append((array, variable, index))
        if not updates:
            raise ValueError("No gradients provided for any variable.")
        for array, variable, index in updates:
            self._update_step(array, variable, index)
        self.iterations.array_inplace()[...] += 1

    def _index_of(self, variable: Variable) -> int:
        """Position of a variable among those that `build` saw."""
        for index, known in enumerate(self._trained):
            if known is variable:
                return index
        path = getattr(variable, "path", variable)
        msg = (
            f"Unknown variable: {path}. This optimizer can only be called for the variables it was "
            "originally built with: make a new optimizer for other variables."
        )
        raise ValueError(msg)

    def _update_step(self, gradient: Array, variable: Variable, index: int) -> None:
        """The rule of the class docstring, in place."""
        # Scalars of the weights' dtype: a float64 learning rate would change the rounding.
        lr = variable.dtype.type(self._learning_rate._array[()])
        g = gradient.reshape(-1)
        w = variable.array_inplace().reshape(-1)
        if not self.momentum:
            kernels.sgd_inplace(w, g, lr)
            return
        v = self.momentums[index].array_inplace().reshape(-1)
        update = kernels.nesterov_inplace if self.nesterov else kernels.momentum_inplace
        update(w, v, g, lr, variable.dtype.type(self.momentum))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal optimizer (without its state)."""
        return {
            "name": self.name,
            "learning_rate": float(self._learning_rate),
            "momentum": self.momentum,
            "nesterov": self.nesterov,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SGD:
        """Optimizer with these arguments."""
        return cls(**config)


def _refuse(kwargs: dict[str, Any]) -> None:
    """Accept Keras's other arguments only at the values that turn them off."""
    if kwargs.pop("decay", None) is not None:
        message = "Argument `decay` is no longer supported and will be ignored."
        warnings.warn(message, stacklevel=3)
    unknown = {key: value for key, value in kwargs.items() if key not in _NOT_YET}
    if unknown:
        hint = " (`lr` is now `learning_rate`)" if "lr" in unknown else ""
        msg = (
            f"Argument(s) not recognized: {unknown}. Expected learning_rate, momentum, nesterov, "
            f"name{hint}."
        )
        raise ValueError(msg)
    for key, value in kwargs.items():
        if value != _NOT_YET[key] and key != "ema_momentum":
            msg = f"`{key}`: not supported yet: expected {_NOT_YET[key]}, received {value!r}"
            raise NotImplementedError(msg)


def _checked_rate(rate: float) -> float:
    """A learning rate that can train.

    Raises
    ------
    ValueError
        If it is negative or not finite.
    """
    if not 0 <= rate <= np.finfo(np.float32).max:  # also NaN
        msg = f"`learning_rate`: expected a number >= 0 that float32 can hold, received {rate}"
        raise ValueError(msg)
    return rate
