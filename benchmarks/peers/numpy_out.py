"""NumPy as a careful user writes it: every product into a buffer made once (``out=``)."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from benchmarks.peers import data
from benchmarks.peers.worker import Clock


def run(job: SimpleNamespace, clock: Clock) -> None:
    """Train epoch after epoch."""
    x, y = data.load(job)
    network = Network(job)
    draw, steps = np.random.default_rng(0), data.steps(job, len(x))
    clock.ready()
    while True:
        with clock.lap(steps):
            order = draw.permutation(len(x))
            for first in range(0, len(x), job.batch_size):
                network.step(x, y, order[first : first + job.batch_size])


class Network:
    """Weights and buffers.

    Parameters
    ----------
    job : SimpleNamespace
        layers, batch_size, momentum.
    """

    def __init__(self, job: SimpleNamespace):
        self.params = data.initial(job.layers)
        self.gradients = [(np.empty_like(w), np.empty_like(b)) for w, b in self.params]
        self.velocities = [(np.zeros_like(w), np.zeros_like(b)) for w, b in self.params]
        self.momentum = np.float32(job.momentum)
        self.activations = [np.empty((job.batch_size, n), np.float32) for n in job.layers]
        self.cotangents = [np.empty_like(a) for a in self.activations]
        self.targets = np.empty_like(self.activations[-1])
        self.loss = np.float32(0)

    def step(self, x: data.Array, y: data.Array, rows: np.ndarray) -> None:
        """Learn from the samples `rows`."""
        n = len(rows)
        a = [buffer[:n] for buffer in self.activations]
        g = [buffer[:n] for buffer in self.cotangents]
        targets = self.targets[:n]
        # mode="clip": the default makes NumPy copy through a further buffer.
        np.take(x, rows, axis=0, out=a[0], mode="clip")
        np.take(y, rows, axis=0, out=targets, mode="clip")
        last = len(self.params) - 1
        for i, (w, b) in enumerate(self.params):
            np.matmul(a[i], w, out=a[i + 1])
            a[i + 1] += b
            if i < last:
                np.maximum(a[i + 1], 0, out=a[i + 1])
        p = a[-1]
        p -= p.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        self.loss = -np.log((p * targets).sum(axis=1) + np.float32(1e-30)).mean()
        np.subtract(p, targets, out=g[-1])
        g[-1] /= np.float32(n)
        for i in range(last, -1, -1):
            dw, db = self.gradients[i]
            np.matmul(a[i].T, g[i + 1], out=dw)
            np.sum(g[i + 1], axis=0, out=db)
            if i:
                np.matmul(g[i + 1], self.params[i][0].T, out=g[i])
                g[i] *= a[i] > 0
        self.update()

    def update(self) -> None:
        """``v = momentum * v - lr * g; w = w + v``, in place."""
        lr = np.float32(data.LEARNING_RATE)
        for layer in zip(self.params, self.gradients, self.velocities, strict=True):
            for w, g, v in zip(*layer, strict=True):
                g *= lr
                if self.momentum:
                    v *= self.momentum
                    v -= g
                    w += v
                else:
                    w -= g
