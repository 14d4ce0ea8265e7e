"""PyTorch, eager, batches by slicing the epoch's permutation (no DataLoader, which is slower)."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

from benchmarks.peers import data
from benchmarks.peers.worker import Clock


def run(job: SimpleNamespace, clock: Clock) -> None:
    """Train epoch after epoch."""
    x, y = (torch.from_numpy(array) for array in data.load(job))
    modules: list[nn.Module] = []
    for kernel, bias in data.initial(job.layers):
        linear = nn.Linear(*kernel.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(kernel.T))
            linear.bias.copy_(torch.from_numpy(bias))
        modules += [linear, nn.ReLU()]
    model = nn.Sequential(*modules[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=data.LEARNING_RATE, momentum=job.momentum)
    loss = nn.CrossEntropyLoss()
    clock.ready(threads=torch.get_num_threads())
    while True:
        with clock.lap(data.steps(job, len(x))):
            order = torch.randperm(len(x))
            for first in range(0, len(x), job.batch_size):
                rows = order[first : first + job.batch_size]
                optimizer.zero_grad()
                loss(model(x[rows]), y[rows]).backward()
                optimizer.step()
