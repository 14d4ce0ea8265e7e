"""JAX: the whole epoch in one compiled `lax.scan`, the gather inside; or one compiled step."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.peers import data
from benchmarks.peers.worker import Clock

jax.config.update("jax_platforms", "cpu")


def loss(params: Any, x: Any, y: Any) -> Any:
    """Mean cross-entropy of a batch."""
    *hidden, (w, b) = params
    for kernel, bias in hidden:
        x = jax.nn.relu(x @ kernel + bias)
    return -(y * jax.nn.log_softmax(x @ w + b)).sum(axis=1).mean()


def one_step(momentum: float, state: Any, x: Any, y: Any, rows: Any) -> Any:
    """Return the state after the samples `rows`, and their loss."""
    params, velocity = state
    value, gradients = jax.value_and_grad(loss)(params, x[rows], y[rows])
    lr, tree = data.LEARNING_RATE, jax.tree_util.tree_map
    if momentum:
        velocity = tree(lambda v, g: momentum * v - lr * g, velocity, gradients)
        params = tree(lambda w, v: w + v, params, velocity)
    else:
        params = tree(lambda w, g: w - lr * g, params, gradients)
    return (params, velocity), value


def run(job: SimpleNamespace, clock: Clock) -> None:
    """Train epoch after epoch; ``job.mode`` is "scan" or "jit"."""
    x, y = (jnp.asarray(array) for array in data.load(job))
    params = jax.tree_util.tree_map(jnp.asarray, data.initial(job.layers))
    velocity = jax.tree_util.tree_map(jnp.zeros_like, params) if job.momentum else None
    state = (params, velocity)
    step = partial(one_step, job.momentum)
    jitted = jax.jit(step, donate_argnums=0)

    @partial(jax.jit, donate_argnums=0)
    def scan(state: Any, x: Any, y: Any, batches: Any) -> Any:
        return lax.scan(lambda s, rows: step(s, x, y, rows), state, batches)

    draw, size = np.random.default_rng(0), job.batch_size
    whole = len(x) // size * size
    clock.ready()
    while True:
        with clock.lap(data.steps(job, len(x))):
            order = draw.permutation(len(x)).astype(np.int32)
            first = 0
            if job.mode == "scan" and whole:
                state, _ = scan(state, x, y, order[:whole].reshape(-1, size))
                first = whole
            for start in range(first, len(x), size):
                state, _ = jitted(state, x, y, order[start : start + size])
            jax.block_until_ready(state)
