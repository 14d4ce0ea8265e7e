"""HIPS autograd: NumPy with gradients."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import autograd.numpy as np
from autograd import grad

from benchmarks.peers import data
from benchmarks.peers.worker import Clock


def loss(params: Any, x: Any, y: Any) -> Any:
    """Mean cross-entropy of a batch."""
    *hidden, (w, b) = params
    for kernel, bias in hidden:
        x = np.maximum(np.dot(x, kernel) + bias, 0)
    z = np.dot(x, w) + b
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - np.sum(z * y, axis=1))


def run(job: SimpleNamespace, clock: Clock) -> None:
    """Train epoch after epoch."""
    x, y = data.load(job)
    params = data.initial(job.layers)
    velocities = [(np.zeros_like(w), np.zeros_like(b)) for w, b in params]
    lr, momentum = (np.float32(v) for v in (data.LEARNING_RATE, job.momentum))
    gradient = grad(loss)
    draw = np.random.default_rng(0)
    clock.ready()
    while True:
        with clock.lap(data.steps(job, len(x))):
            order = draw.permutation(len(x))
            for first in range(0, len(x), job.batch_size):
                rows = order[first : first + job.batch_size]
                gradients = gradient(params, x[rows], y[rows])
                for layer in zip(params, gradients, velocities, strict=True):
                    for w, g, v in zip(*layer, strict=True):
                        v *= momentum
                        v -= lr * g
                        w += v
