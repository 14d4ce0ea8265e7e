"""Optimizer: all that happens around an update rule. Start reading at `Optimizer.apply`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minisgd import numerics
from minisgd.optimizers.schedules import LearningRateSchedule
from minisgd.optimizers.state import OptimizerState
from minisgd.primitive import argument, call
from minisgd.tensor import Array, Tensor, Variable, as_kernel_array

# One gradient, flat, with its variable and the variable's index in `build`'s list.
Update = tuple[Array, Variable, int]


class Optimizer(OptimizerState):
    """What every update rule has in common; `SGD` is the rule.

    A subclass makes its state in `build` (`_add_state`) and changes one variable in `update_step`.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        A callable takes no arguments and is asked at every update.
    weight_decay : float, optional
        Before each update, every variable (biases too) loses this share of itself, times the
        learning rate.
    clipnorm : float, optional
        Largest norm of each variable's gradient.
    clipvalue : float, optional
        Largest absolute value of a gradient's element.
    global_clipnorm : float, optional
        Largest norm of all gradients together. Only one of the three may be given.
    use_ema : bool
        Keep a moving average of the weights. `fit` ends with the averages as weights.
    ema_momentum : float
        From 0 to 1: ``average = ema_momentum * average + (1 - ema_momentum) * w``.
    ema_overwrite_frequency : int, optional
        Every so many updates, the averages become the weights.
    loss_scale_factor : float, optional
        The loss is multiplied by it before the gradients are taken, and they are divided by it.
    gradient_accumulation_steps : int, optional
        Update once in so many calls, with the mean of their gradients.
    name : str, optional

    Raises
    ------
    ValueError
        For an argument outside of its meaning. Keras also takes NaN, negative rates and limits of
        zero.

    References
    ----------
    Keras, optimizers/base_optimizer.py and backend/tensorflow/optimizer.py.
    """

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the state for these variables, once."""
        self._trained = list(variables)
        if self.use_ema:
            self._averages = self._add_state(self._trained, "average")
        if self.gradient_accumulation_steps:
            self._accumulators = self._add_state(self._trained, "gradient_accumulator")
        self.built = True

    def scale_loss(self, loss: Tensor) -> Tensor:
        """``loss * loss_scale_factor``, whose gradients `apply` scales back."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    # --- one update ---
    def apply_gradients(
        self, grads_and_vars: Iterable[tuple[Tensor | Array | None, Variable]]
    ) -> Variable:
        """Update each variable with its gradient; returns the number of calls.

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
        return self._iterations

    def apply(
        self,
        grads: Sequence[Tensor | Array | None],
        trainable_variables: Sequence[Variable] | None = None,
    ) -> None:
        """Update each variable with its gradient, in order, then count one iteration.

        Gradients are scaled back, accumulated and clipped; weights decay, move by the rule, and
        go into their averages: in this order. Last come the constraints of variables.

        Raises
        ------
        ValueError
            If no variable has a gradient, a variable is unknown to this optimizer, shapes differ,
            or the learning rate can't train. Nothing was changed then.
        """
        grads = list(grads)
        if not grads:
            return
        updates = self._matched(grads, trainable_variables)
        updates, factor = _divided(updates, self.loss_scale_factor)
        every = self.gradient_accumulation_steps
        if every is None or (self._iterations._array[()] + 1) % every == 0:
            # Raises, if it has to, before anything has changed.
            rate = argument("learning_rate", self._current_rate())
            if every is not None:
                updates, factor = _divided(self._accumulated(updates, factor), every)
            self._update(updates, factor, rate)
            for accumulator in self._accumulators:
                call("copy_inplace", accumulator.array_inplace().reshape(-1), np.float32(0))
        else:
            self._accumulated(updates, factor)
        if self.use_ema:
            self._move_averages()
        for _, variable, _ in updates:
            if variable.constraint is not None:
                _constrain(variable)
        self._iterations.array_inplace()[...] += 1

    def _matched(self, grads: Sequence[Any], variables: Sequence[Variable] | None) -> list[Update]:
        """Gradients with their variables; those that are None are left out, with a warning."""
        if variables is None:
            variables = self._trained
        if len(grads) != len(variables):
            hint = "" if self.built else "; call `optimizer.build(trainable_variables)` first"
            msg = (
                f"`grads`: expected {len(variables)} gradients, one a variable, received "
                f"{len(grads)}{hint}"
            )
            raise ValueError(msg)
        if not self.built:
            self.build(variables)
        updates = []
        for gradient, variable in zip(grads, variables, strict=True):
            index = self._index_of(variable)
            if gradient is None:
                msg = (
                    f"Gradients do not exist for variable '{variable.path}' when minimizing the "
                    "loss: it stays as it is."
                )
                warnings.warn(msg, stacklevel=4)
                continue
            array = as_kernel_array(gradient, variable.dtype)
            if array.shape != variable.shape:
                msg = (
                    f"gradient of '{variable.path}': expected shape {variable.shape}, received "
                    f"{array.shape}"
                )
                raise ValueError(msg)
            updates.append((array.reshape(-1), variable, index))
        if not updates:
            raise ValueError("No gradients provided for any variable.")
        return updates

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

    def _accumulated(self, updates: list[Update], factor: Any) -> list[Update]:
        """Add the gradients to their accumulators; returns the sums."""
        sums = []
        for g, variable, index in _scaled(updates, factor):
            total = self._accumulators[index].array_inplace().reshape(-1)
            call("accumulate_inplace", total, g)
            sums.append((total, variable, index))
        return sums

    def _update(self, updates: list[Update], factor: Any, rate: Any) -> None:
        """Clip, decay, and the rule, with `factor` (None: 1) times the gradients.

        In a graph, a factor of all elements meets the learning rate first,
        ``g * (factor * learning_rate)``: so TensorFlow reorders products, since it saves one for
        each element.
        """
        lr = rate
        if self.clipnorm:
            updates = _each("clipped_by_norm", _scaled(updates, factor), self.clipnorm)
        elif self.global_clipnorm:
            updates = _scaled(updates, factor)
            shrink = _global_factor(updates, self.global_clipnorm)
            if numerics.in_graph():
                lr = shrink * rate
            else:
                updates = _scaled(updates, shrink)
        elif self.clipvalue:
            updates = _each("clipped_by_value", _scaled(updates, factor), self.clipvalue)
        elif factor is not None:
            lr = factor * rate
        if self.weight_decay is not None:
            self._decay(updates, rate)
        for g, variable, index in updates:
            self.update_step(g, variable, _of_dtype(lr, variable.dtype), index)

    def update_step(self, gradient: Array, variable: Variable, lr: Any, index: int) -> None:
        """Change one variable in place: the rule.

        Parameters
        ----------
        gradient : numpy.ndarray, shape (variable.size,)
            Flat; belongs to the caller.
        variable : Variable
        lr : numpy scalar
            Learning rate, of the variable's dtype.
        index : int
            Position among the variables that `build` saw.
        """
        raise NotImplementedError(f"{type(self).__name__} must override `update_step`.")

    # --- weight decay, moving averages ---
    def exclude_from_weight_decay(
        self, var_list: Sequence[Variable] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Leave variables out of the weight decay: these, and those named like a pattern.

        Parameters
        ----------
        var_list : list of Variable, optional
        var_names : list of str, optional
            E.g. ``["bias"]``: regular expressions, searched for in the variables' names.
        """
        self._not_decayed = list(var_list or ())
        self._not_decayed_names = list(var_names or ())

    def _decay(self, updates: list[Update], rate: Any) -> None:
        """``w -= w * (weight_decay * learning_rate)``; not in a graph, from left to right."""
        if not numerics.in_graph():
            for w, variable, _ in self._decaying(updates):
                share = call("scaled", w, variable.dtype.type(self.weight_decay))
                call("sgd_inplace", w, share, _of_dtype(rate, variable.dtype))
            return
        factor = argument("decay", self._decay_factor(rate, self._iterations._array[()]))
        for w, variable, _ in self._decaying(updates):
            call("decay_inplace", w, _of_dtype(factor, variable.dtype))

    def _decaying(self, updates: list[Update]) -> list[Update]:
        """The variables that decay, with their values in place of their gradients."""
        variables = [(v, i) for _, v, i in updates if self._decays(v)]
        return [(v.array_inplace().reshape(-1), v, i) for v, i in variables]

    def _decay_factor(self, rate: Any, calls: Any) -> Any:
        """What share of themselves the variables lose at a rate after so many calls, a float32.

        With vectors of both, by one of minisgd's own schedules, a vector.
        """
        if not isinstance(self._learning_rate, LearningRateSchedule):
            return np.float32(self.weight_decay) * rate
        factor = self._learning_rate.times(self.weight_decay, Tensor(np.array(calls)))
        return np.asarray(factor, np.float32)[()]

    def _decays(self, variable: Variable) -> bool:
        if any(variable is excluded for excluded in self._not_decayed):
            return False
        return not any(re.search(pattern, variable.name) for pattern in self._not_decayed_names)

    def _move_averages(self) -> None:
        """Take the weights into their averages, and put these in their place if it is time."""
        momentum = argument("ema_momentum", self._average_momentum(self._iterations._array[()]))
        for variable, average in zip(self._trained, self._averages, strict=True):
            w, a = variable._array.reshape(-1), average.array_inplace().reshape(-1)
            call("average_inplace", a, w, _of_dtype(momentum, variable.dtype))
        every = self.ema_overwrite_frequency
        if every and (self._updates() + 1) % every == 0:
            self._overwrite_by_averages(self._trained)

    def _average_momentum(self, calls: Any) -> Any:
        """Before the first update the average is the weights themselves; takes vectors, too."""
        return np.where(self._updates_in(calls) > 0, np.float64(self.ema_momentum), 0.0)[()]

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """With `use_ema`, replace the weights (in place) by their averages; `fit` ends with this.

        Before the first call of `apply` there are no averages, and nothing changes (Keras would
        make all weights zero).

        Raises
        ------
        ValueError
            If these are not the variables that the optimizer was built with.
        """
        if not self.use_ema or not self._iterations:
            return
        if len(var_list) != len(self._averages):
            msg = (
                f"The length of model variables ({len(var_list)}) to override does not match the "
                f"length of model variables stored in the optimizer ({len(self._averages)}). "
                "Please check if the optimizer was called on your model."
            )
            raise ValueError(msg)
        self._overwrite_by_averages(var_list)

    def _overwrite_by_averages(self, variables: Sequence[Variable]) -> None:
        for variable, average in zip(variables, self._averages, strict=True):
            call("copy_inplace", variable.array_inplace().reshape(-1), average._array.reshape(-1))


def _constrain(variable: Variable) -> None:
    """Replace the values by those that the constraint makes of them."""
    constrained = as_kernel_array(variable.constraint(variable), variable.dtype)
    if constrained.shape != variable.shape:
        msg = (
            f"constraint of '{variable.path}': expected a result of shape {variable.shape}, "
            f"received {constrained.shape}"
        )
        raise ValueError(msg)
    call("copy_inplace", variable.array_inplace().reshape(-1), constrained.reshape(-1))


# --- gradients: each function returns new ones and leaves the caller's alone ---
def _divided(updates: list[Update], number: float | None) -> tuple[list[Update], Any]:
    """Gradients divided by a number (None: 1), and what they are still to be times (None: 1).

    TensorFlow's graph turns the division by a constant into a product with its reciprocal, which
    is put off, since it may meet another number first.
    """
    if number is None:
        return updates, None
    if numerics.in_graph():
        return updates, np.float32(1) / np.float32(number)
    return [(call("divide", g, np.asarray(number, v.dtype)), v, i) for g, v, i in updates], None


def _of_dtype(number: Any, dtype: Any) -> Any:
    """A number in the weights' dtype: a float64 learning rate would change the rounding."""
    return number if number.dtype == dtype else dtype.type(number)


def _each(kernel: str, updates: list[Update], limit: Any) -> list[Update]:
    return [(call(kernel, g, v.dtype.type(limit)), v, i) for g, v, i in updates]


def _scaled(updates: list[Update], factor: Any) -> list[Update]:
    return updates if factor is None else _each("scaled", updates, factor)


def _global_factor(updates: list[Update], limit: float) -> Any:
    """What brings the norm of all gradients together down to the limit; NaN if it is infinite."""
    squares = call("numbers", len(updates))
    for place, (g, _, _) in enumerate(updates):
        call("sum_of_squares_inplace", squares, place, g)
    factor = call("global_norm_factor", squares, np.float32(limit), np.float32(1 / limit))
    return np.float32(factor) if type(factor) is float else factor
