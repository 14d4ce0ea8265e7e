"""Stochastic gradient descent, with momentum and Nesterov's variant: the update rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minisgd.optimizers import _arguments as arguments
from minisgd.optimizers.optimizer import Optimizer
from minisgd.optimizers.schedules import LearningRateSchedule
from minisgd.primitive import call
from minisgd.tensor import Array, Variable


class SGD(Optimizer):
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
    learning_rate : float, LearningRateSchedule or callable
        Finite and not negative.
    momentum : float
        From 0 to 1.
    nesterov : bool
        Without effect if ``momentum`` is 0.
    weight_decay, clipnorm, clipvalue, global_clipnorm : float, optional
    use_ema : bool
    ema_momentum : float
    ema_overwrite_frequency : int, optional
    loss_scale_factor : float, optional
    gradient_accumulation_steps : int, optional
        What happens around the rule: see `Optimizer`.
    name : str, optional

    Attributes
    ----------
    iterations : Tensor, shape (), int64
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
        learning_rate: float | LearningRateSchedule | Callable[[], Any] = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
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
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema,
            ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps,
            name, **kwargs,
        )  # fmt: skip
        self.momentum = arguments.check_momentum(momentum)
        self.nesterov = arguments.check_flag(nesterov, "nesterov")
        self.momentums: list[Variable] = []

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the state for these variables, once: with momentum, a velocity of zeros each."""
        if self.built:
            return
        super().build(variables)
        if self.momentum:
            self.momentums = self._add_state(variables, "momentum")

    def update_step(self, gradient: Array, variable: Variable, lr: Any, index: int) -> None:
        """The rule of the class docstring, in place."""
        w = variable.array_inplace().reshape(-1)
        if not self.momentum:
            call("sgd_inplace", w, gradient, lr)
            return
        v = self.momentums[index].array_inplace().reshape(-1)
        rule = "nesterov_inplace" if self.nesterov else "momentum_inplace"
        call(rule, w, v, gradient, lr, variable.dtype.type(self.momentum))

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal optimizer (without its state), in Keras's form."""
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
