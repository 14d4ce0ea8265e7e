"""Memory and threads of a fused step: packed weights, exchanged arrays, one scratch a thread.

Weights are packed before each call and put back into their variables after it, so that whatever
runs between two calls sees and may change them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from minisgd.compiler.fused_printer import buffers, fused_parameters, units_of
from minisgd.compiler.trace import Program
from minisgd.data.convert import is_mapped
from minisgd.tensor import Array

_ZEROS_PAY_FROM = 0.3  # share of zeros in the data from which on skipping them is faster
_SAMPLE = 1000  # samples by which the data are judged
_TRY_AGAIN = 32  # calls after which the slower number of threads gets another chance
_FIRST_TRY = 2  # calls after which it gets its first one
_FORGET = 1.02  # a call, by which the best time so far loses its weight
_TRIAL = 8  # a trial has so many times fewer steps
_WORTH_A_THREAD = 100_000  # multiplications a step, from which on a second thread helps
_WORTH_STARTING = 20_000_000  # multiplications a call, from which on starting a thread pays


class Workspace:
    """Everything that a fused step needs besides its data, for one call of `fit`.

    Parameters
    ----------
    program : Program
        With a fused step.
    batch_size : int
    threads : int
        At most so many.

    Attributes
    ----------
    zeros : str
        Whether zeros in the data are skipped, for people to read; see `look_at`.
    """

    def __init__(self, program: Program, batch_size: int, threads: int) -> None:
        from minisgd_kernels import fused, fused_update, packing

        self._packing = packing
        self.program = program
        step, calls = program.step, program.fused
        self.names = fused_parameters(step, calls)
        self.variables = dict(zip(step.variables, program.variables, strict=True))
        weights = [step.shapes[str(c.inputs[1])] for c in calls if c.name == "dense"]
        work = 3 * batch_size * sum(rows * columns for rows, columns in weights)
        self.threads = threads if work >= _WORTH_A_THREAD else 1
        self._work = work
        features = weights[0][0]
        rows, zeros = packing.padded(batch_size), packing.aligned_zeros
        widths = [units for _, units in weights]
        self._packed = {
            name: zeros(packing.packed_size(*v.shape) if v.ndim == 2 else packing.padded(v.size))
            for name, v in self.variables.items()
        }
        self._written = [
            str(name) for c in calls if c.name in ("weight_step", "bias_step")
            for name in dict.fromkeys(c.inputs[-2:])
        ]  # fmt: skip
        self._fixed: dict[str, Any] = {
            "each_loss": zeros(rows),
            "each_hits": zeros(16 * self.threads, np.int64),
            "iota": np.arange(rows),
            **{units_of(str(c.inputs[1])): step.shapes[str(c.inputs[1])][1]
               for c in calls if c.name == "dense"},
        }  # fmt: skip
        shapes = {c.output: c for c in calls}
        for name in buffers(calls):
            call = shapes[name]
            if call.name == "turn":
                k, units = step.shapes[str(call.inputs[0])]
                self._fixed[name] = zeros(packing.packed_size(units, k))
            else:
                self._fixed[name] = zeros((rows, packing.padded(call.shape[1])))
        words = max(fused.words_size(w, batch_size) for w in (features, *widths))
        sums = max(fused_update.sums_size(k, units, batch_size) for k, units in weights)
        scratch = max(fused.scratch_size(max(widths)), sums)
        self._scratch = [(zeros(words, np.int64), zeros(scratch)) for _ in range(self.threads)]
        self._seconds: dict[int, float] = {}  # a step by so many threads, as measured last
        self._calls = 0
        self._threads, self._is_trial = self.threads, False
        self._room = packing.no_maps()
        self.look_at(None)

    def look_at(self, x: Array | None) -> None:
        """Map the zeros of the data that the next steps take, if skipping them pays.

        Parameters
        ----------
        x : numpy.ndarray, shape (N, features), optional
            None if there are no data to look at before each batch.
        """
        packing = self._packing
        self.maps = packing.no_maps()
        if x is None:
            self.zeros = "zeros in the data are not skipped: they are copied batch by batch"
        elif is_mapped(x):
            self.zeros = "zeros in the data are not skipped: they stay on the disk"
        else:
            sample = x[:_SAMPLE].reshape(-1)
            share = packing.count_zeros(sample) / sample.size
            skipping = share > _ZEROS_PAY_FROM
            self.zeros = f"zeros in the data are {'' if skipping else 'not '}skipped: {share:.0%}"
            if not skipping:
                return
            if len(self._room[0]) != len(x):
                self._room = packing.new_maps(x)
            self.maps = self._room
            in_threads(
                lambda thread: packing.zero_maps(thread, self.threads, x, *self._room),
                self.threads,
            )

    def run(self, function: Callable[..., None], count: int, values: dict[str, Any]) -> None:
        """Run `count` steps and put the new weights into their variables.

        Zeros are skipped as long as all weights are finite: 0 * inf is not 0.
        """
        self._pack()
        skipping = self.maps[0].shape[0] > 0
        if skipping and not self._all_finite():
            self.maps, skipping = self._packing.no_maps(), False
        threads = self._threads if count * self._work >= _WORTH_STARTING else 1
        start = perf_counter()
        self._call(function, threads, values)
        if count > 1 and count * self._work >= _WORTH_STARTING:
            self._choose(threads, (perf_counter() - start) / count)
        if skipping and not self._all_finite():
            self.maps = self._packing.no_maps()
            self._pack()
            self._call(function, threads, values)
        for name in self._written:
            variable, packed = self.variables[name], self._packed[name]
            if variable.ndim == 2:
                self._packing.unpack(packed, variable._array)
            else:
                variable._array[:] = packed[: variable.size]

    def at_once(self, steps: int) -> int:
        """How many steps the next call should have, if `steps` are wanted."""
        # Fewer would not be measured: they would leave the trial without an end.
        least = max(2, -(-_WORTH_STARTING // self._work))
        return max(least, steps // _TRIAL) if self._is_trial else steps

    def _choose(self, threads: int, seconds: float) -> None:
        """Use all threads, or one if that was faster: other programs may need the processors, too.

        Now and then the slower choice gets a trial.
        """
        if self.threads == 1:
            return
        # One slow call proves nothing, so the best of the last calls counts.
        self._seconds[threads] = min(seconds, _FORGET * self._seconds.get(threads, seconds))
        self._calls += 1
        one, all_of_them = self._seconds.get(1, np.inf), self._seconds.get(self.threads, np.inf)
        self._threads = 1 if one < all_of_them else self.threads
        self._is_trial = (self._calls - _FIRST_TRY) % _TRY_AGAIN == 0
        if self._is_trial:
            self._threads = self.threads + 1 - self._threads

    def _pack(self) -> None:
        for name, variable in self.variables.items():
            packed = self._packed[name]
            if variable.ndim == 2:
                self._packing.pack(variable._array, packed)
            else:
                packed[: variable.size] = variable._array

    def _all_finite(self) -> bool:
        return all(
            self._packing.all_finite(packed)
            for name, packed in self._packed.items()
            if self.variables[name].ndim == 2
        )

    def _call(self, function: Callable[..., None], threads: int, values: dict[str, Any]) -> None:
        from minisgd_kernels._threads import new_barrier

        pixels, groups = self.maps
        shared = {
            **values, **self._packed, **self._fixed, "pixels": pixels, "groups": groups,
            "threads": threads, "barrier": new_barrier(threads),
        }  # fmt: skip

        def part(thread: int) -> None:
            words, scratch = self._scratch[thread]
            own = {"thread": thread, "words": words, "scratch": scratch}
            function(*[own[name] if name in own else shared[name] for name in self.names])

        self._fixed["each_hits"][:] = 0
        if not in_threads(part, threads):
            shared |= {"threads": 1, "barrier": new_barrier(1)}
            part(0)


def in_threads(part: Callable[[int], None], threads: int) -> bool:
    """Call ``part(i)`` in so many threads, this one being the first; False if they can't be had.

    A part waits for the others within compiled code, so none may begin before all exist. The
    threads live as long as the call: nothing is left that could wait, or be lost in a fork.
    """
    if threads == 1:
        part(0)
        return True
    gate = threading.Event()
    go: list[bool] = []

    def body(thread: int) -> None:
        gate.wait()
        if go:
            part(thread)

    workers = [threading.Thread(target=body, args=(i,), daemon=True) for i in range(1, threads)]
    started = []
    try:
        for worker in workers:
            worker.start()
            started.append(worker)
    except RuntimeError:  # no more threads allowed
        gate.set()
        return False
    go.append(True)
    gate.set()
    try:
        part(0)
    finally:
        for worker in started:
            worker.join()
    return True
