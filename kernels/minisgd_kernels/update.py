"""SGD's updates, in place, on flat arrays; every product and every sum rounds on its own (no FMA).

``lr`` and ``momentum`` have the dtype of the weights: a float64 learning rate changes the bits.
"""

from __future__ import annotations

from minisgd_kernels._intrinsics import flush_denormals, restore_denormals
from minisgd_kernels._jit import Array, Scalar, kernel


@kernel
def sgd_inplace(w: Array, g: Array, lr: Scalar) -> None:
    """``w -= g * lr``."""
    mode = flush_denormals()
    for i in range(w.size):
        w[i] = w[i] - g[i] * lr
    restore_denormals(mode)


@kernel
def momentum_inplace(w: Array, v: Array, g: Array, lr: Scalar, mu: Scalar) -> None:
    """``v = v * mu - g * lr; w += v``: Keras keeps the learning rate inside the velocity."""
    mode = flush_denormals()
    for i in range(w.size):
        velocity = v[i] * mu - g[i] * lr
        v[i] = velocity
        w[i] = w[i] + velocity
    restore_denormals(mode)


@kernel
def nesterov_inplace(w: Array, v: Array, g: Array, lr: Scalar, mu: Scalar) -> None:
    """``v = v * mu - g * lr; w += v * mu - g * lr``: the step looks ahead with the new velocity."""
    mode = flush_denormals()
    for i in range(w.size):
        step = g[i] * lr
        velocity = v[i] * mu - step
        v[i] = velocity
        w[i] = w[i] + (velocity * mu - step)
    restore_denormals(mode)
