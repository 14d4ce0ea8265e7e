"""Run printed steps in `fit`, `evaluate` and `predict`: many batches a call, nothing stale.

Before every call the model is compared with what was recorded. Whatever a callback has changed in
the meantime, layers, trainable weights, optimizer options, loss or metrics, makes a new recording;
values of weights, learning rate and data are arguments.
"""

from __future__ import annotations

import weakref
from time import perf_counter
from typing import Any

import numpy as np

from minisgd.callbacks.callback import CallbackList, does_nothing
from minisgd.compiler import ahead, files
from minisgd.compiler.printer import parameters_of
from minisgd.compiler.record import NotCompilableError
from minisgd.compiler.sources import Source
from minisgd.compiler.threads import get_threads
from minisgd.compiler.trace import Program, leaves
from minisgd.compiler.workspace import Workspace
from minisgd.data import Epochs, Span, StreamIterator
from minisgd.optimizers import schedules
from minisgd.primitive import recorders
from minisgd.random import SeedGenerator
from minisgd.tensor import Array, Tensor, Variable
from minisgd.utils.progbar import write_line

_SECONDS = 0.06  # between two looks at the progress bar, Ctrl-C and `stop_training`
WORTH_STEPS = 500  # fewer steps are over before Numba has compiled anything

# What each model ran last, by kind of step.
_programs: weakref.WeakKeyDictionary[Any, dict[str, tuple[Any, Program]]]
_programs = weakref.WeakKeyDictionary()
_reasons: weakref.WeakKeyDictionary[Any, dict[str, str]] = weakref.WeakKeyDictionary()
_asked_for: dict[str, int] = {}  # steps of each text so far that ran eagerly


class Runner:
    """What runs one kind of step in one call of `fit`, `evaluate` or `predict`.

    Parameters
    ----------
    model : Trainer
    kind : str
        "train", "test" or "predict".
    iterator : EpochIterator or StreamIterator
    hooks : CallbackList
    epochs : int
    """

    def __init__(
        self, model: Any, kind: str, iterator: Epochs, hooks: CallbackList, epochs: int
    ) -> None:
        self.model, self.kind, self.iterator = model, kind, iterator
        self.program: Program | None = None
        model._meet_data(kind, iterator.data)
        self.planned = epochs * (iterator.num_batches or 0)  # 0: nobody knows
        self._eager_steps = 0
        self._rows = 0  # of the largest batch that there is room for
        # With `check_numerics` a step that fails is taken back: it must be the only one.
        self._one_by_one = _sees_batches(hooks, kind) or model.check_numerics
        self._tells = kind == "train" and (getattr(hooks, "params", None) or {}).get("verbose") == 2
        self._pace = 0.0  # steps a second
        # Code of the user's may change the data between two epochs.
        self._may_change = any(
            not type(callback).__module__.startswith("minisgd.")
            or getattr(callback, "calls_users_code", True)
            for callback in hooks.callbacks
        )
        self._source: Any = None
        self._workspace: Workspace | None = None
        self._function: Any = None
        self._refused: Any = None
        self._said = False

    def at_once(self) -> int:
        """How many steps may follow without a look at anything else."""
        if self.program is None or self._one_by_one:
            return 1
        steps = max(1, int(self._pace * _SECONDS))
        return steps if self._workspace is None else self._workspace.at_once(steps)

    def run(self, span: Span) -> Any:
        """Run these batches; returns logs (or predictions), or None if they must run eagerly."""
        program = self._current(span)
        if program is None:
            span.count = 1
            self._eager_steps += 1
            if self.iterator.num_batches is None and self._eager_steps == WORTH_STEPS:
                self.planned, self._refused = WORTH_STEPS, None  # long enough, as it turns out
            return None
        start = perf_counter()
        result = self._run(program, span)
        pace = span.count / max(perf_counter() - start, 1e-9)
        # Never ten times as many at once: the first batches include loading the code.
        self._pace = min(pace, 10 * span.count / _SECONDS)
        return result

    # --- which program ---
    def _current(self, span: Span) -> Program | None:
        """The program that fits the model as it is now."""
        model, kind = self.model, self.kind
        if model.run_eagerly or not model.jit_compile or recorders.active:
            reason = "run_eagerly=True" if model.run_eagerly else "jit_compile=False"
            self._refuse("a GradientTape is recording" if recorders.active else reason)
            return None
        key = _fingerprint(model, kind, span)
        if self.program is not None and not (self._may_change and not span.step):
            known = _programs.get(model, {}).get(kind, (None,))[0]
            if known == key and span.data.batch_size <= self._rows:
                return self.program
        if key == self._refused:
            self.program = None
            return None
        self.program = None
        try:
            known, program = _programs.get(model, {}).get(kind, (None, None))
            if program is None or known != key:
                program = Program(model, kind, span.data)
                key = _fingerprint(model, kind, span)  # the first recording chooses metrics
                _programs.setdefault(model, {})[kind] = (key, program)
            text = program.in_use = self._choose(program, span)
            if model.jit_compile == "auto" and not files.is_compiled(text, kind):
                _asked_for[text] = _asked_for.get(text, 0) + self.planned
                if _asked_for[text] < WORTH_STEPS:
                    ahead.begin(program.step.jobs, program.kernels)
                    raise NotCompilableError(
                        f"{_asked_for[text] or 'the first'} steps are over before they are "
                        "compiled (jit_compile=True compiles them all the same)"
                    )
            self._function = files.load(text, kind)
            self._look_at_data(program)
        except NotCompilableError as error:
            self._refused = key
            self._refuse(str(error))
            return None
        _reasons.get(model, {}).pop(kind, None)
        self.program = program
        return program

    def _choose(self, program: Program, span: Span) -> str:
        """Take the fused step if there is one; returns the text."""
        data = span.data
        fused = bool(program.fused) and data.x.dtype.kind == "f"
        copied = self._one_by_one or isinstance(self.iterator, StreamIterator)
        self._source = Source(program, data, fused, copied)
        has_room, self._rows = data.batch_size <= self._rows, max(data.batch_size, self._rows)
        if not fused:
            self._workspace = None
            return program.text
        if self._workspace is None or self._workspace.program is not program or not has_room:
            self._workspace = Workspace(program, self._rows, get_threads())
        return program.fused_text(self._workspace.threads)

    def _look_at_data(self, program: Program) -> None:
        """See whether zeros are to be skipped."""
        if self._workspace is None:
            return
        self._workspace.look_at(None if self._source.whole is None else self._source.whole["x"])
        if self._workspace.zeros != program.zeros and self._tells:
            threads = self._workspace.threads
            number = "one thread" if threads == 1 else f"up to {threads} threads"
            write_line(f"Compiled step: {number}; {self._workspace.zeros}")
        program.zeros = self._workspace.zeros

    def _refuse(self, reason: str) -> None:
        self.program = None
        _reasons.setdefault(self.model, {})[self.kind] = reason
        if self.model.jit_compile is True and not self.model.run_eagerly and not self._said:
            self._said = True
            write_line(f"jit_compile=True: the {self.kind} step runs eagerly, since {reason}.")

    # --- one call ---
    def _run(self, program: Program, span: Span) -> Any:
        step = program.step
        arguments = _arguments(program, span.count)
        count = span.count = len(arguments["phases"])
        self._check_labels(span)
        sizes = span.sizes()
        data, order, first = self._source.take(span)
        values: dict[str, Any] = {
            **{f"all_{name}": array for name, array in data.items()},
            "order": order, "batch_size": span.data.batch_size, "first": first,
            "last": first + count,
            **arguments,
            "losses": np.empty(count, np.float32),
            "hits": np.zeros((len(step.metrics), count), np.int64),
        }  # fmt: skip
        if step.prediction:
            shape = (int(sizes.sum()), *step.shapes[step.prediction][1:])
            values["outputs"] = np.empty(shape, np.float32)
        if self._workspace is not None:
            self._workspace.run(self._function, count, values)
        else:
            for name, variable in zip(step.variables, program.variables, strict=True):
                values[name] = variable._array
            self._function(*[values[name] for name in parameters_of(step)])
        return values["outputs"] if self.kind == "predict" else self._logs(program, values, sizes)

    def _check_labels(self, span: Span) -> None:
        """Class numbers were looked at before training; kernels take them for places in memory."""
        y = span.data.y
        if y is None or not self._may_change or y.dtype.kind not in "iu":
            return
        if self.model._loss is not None:
            self.model._loss.check_targets(y[span.samples()], self.model._outputs)

    def _logs(self, program: Program, values: dict[str, Any], sizes: Array) -> Any:
        """Take the results of some steps into variables' versions, counters and metrics."""
        model, count = self.model, len(sizes)
        if program.optimizer is not None:
            for variable in program.variables:
                variable.version += count
            program.optimizer._iterations.array_inplace()[...] += count
        if count == 1:
            model._loss_tracker.update_state(values["losses"][0], sample_weight=sizes[0])
        else:
            model._loss_tracker.update_states(values["losses"], sizes)
        for metric, hits, elements in zip(
            model._metrics, values["hits"], program.elements, strict=True
        ):
            metric.add(int(hits.sum()), int(sizes.sum()) * elements)
        return model.get_metrics_result()


_DATA = ("x", "y", "sample_weight")


def _arguments(program: Program, count: int) -> dict[str, Array]:
    """What differs from step to step, for the next `count` steps or fewer."""
    optimizer, names = program.optimizer, program.step.arguments
    if optimizer is None:
        return {"phases": np.zeros(count, np.int64)}
    calls = optimizer._iterations._array + np.arange(count)
    phases = program.phases_after(calls)
    if not _knows_rates(optimizer):  # a user's own function is asked right before its step
        calls, phases = calls[0], phases[:1]
        rates = optimizer._current_rate() if program.moves[phases[0]] else np.float32(0)
    else:
        rates = _known_rates(optimizer, calls, program.moves[phases])
        calls, phases = calls[: len(rates)], phases[: len(rates)]
    found = {"learning_rate": rates}
    if "decay" in names and program.moves[phases].any():
        found["decay"] = optimizer._decay_factor(rates, calls)
    if "ema_momentum" in names:
        found["ema_momentum"] = optimizer._average_momentum(calls)
    vectors = {f"{name}s": _vector(found.get(name, 0), len(phases)) for name in names}
    return {"phases": phases, **vectors}


def _knows_rates(optimizer: Any) -> bool:
    """Whether the rates of later steps can be computed now."""
    rate = getattr(optimizer, "_learning_rate", None)
    return rate is None or isinstance(rate, Variable) or schedules.is_own(rate)


def _known_rates(optimizer: Any, calls: Array, moves: Array) -> Array:
    """Learning rates after so many calls; those after one that can't train are left out.

    Raises
    ------
    ValueError
        If the first one can't.
    """
    rate = optimizer._learning_rate
    if isinstance(rate, Variable):
        return np.full(len(calls), rate._array)
    rates: Array = rate(Tensor(calls)).numpy()
    useless = moves & ~(np.isfinite(rates) & (rates >= 0))
    if useless[0]:
        optimizer._current_rate()
    return rates[: np.argmax(useless)] if useless.any() else rates


def _vector(values: Any, size: int) -> Array:
    """As a kernel takes them."""
    return np.array(np.broadcast_to(values, size), np.float32)


def _sees_batches(hooks: CallbackList, kind: str) -> bool:
    """Whether a callback wants to hear of every batch; the progress bar doesn't."""
    if type(hooks) is not CallbackList:
        return True
    for callback in hooks.callbacks:
        if getattr(callback, "every_batch", True):
            for when in ("begin", "end"):
                if not does_nothing(callback, f"on_{kind}_batch_{when}"):
                    return True
    # A rate that is a user's own function may look at anything: ask it right before its step.
    return kind == "train" and not _knows_rates(hooks.model.optimizer)


# --- what a recording depends on ---
class _Same:
    """An object that equals only itself; keeps it alive, so that no other gets its id."""

    __slots__ = ("of",)

    def __init__(self, of: Any) -> None:
        self.of = of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.of is other.of

    def __hash__(self) -> int:
        return id(self.of)


def _print_of(value: Any) -> Any:
    """A value by which a change shows."""
    if value is None or isinstance(value, bool | int | float | str | np.generic):
        return type(value), value
    if isinstance(value, list | tuple):
        return tuple(_print_of(v) for v in value)
    if isinstance(value, dict):
        return tuple((key, _print_of(v)) for key, v in value.items())
    if isinstance(value, Variable):
        return _Same(value), value._trainable, _Same(value._array)
    if isinstance(value, SeedGenerator):
        return _Same(value), _print_of(value.state)
    return _Same(value)


def _fingerprint(model: Any, kind: str, span: Span) -> Any:
    """Everything but values that a recorded step depends on."""
    parts: list[Any] = [model.numerics, type(model), model._layers, model._input]
    parts += [model._shapes_known.get(kind, False)]
    parts += [sorted(name for name in vars(model) if callable(vars(model)[name]))]
    for layer in leaves(model):
        parts += [{k: v for k, v in vars(layer).items() if k != "_losses"}]
        parts += [vars(p) for p in (layer.activity_regularizer,) if hasattr(p, "__dict__")]
    for weight in model.weights:
        parts += [
            (p, getattr(p, "__dict__", None)) for p in (weight.regularizer, weight.constraint)
        ]
    if kind != "predict":
        parts += [model._loss, vars(model._loss) if model._loss is not None else None]
        parts += [model._metrics, [vars(m).get("threshold") for m in model._metrics or ()]]
    if kind == "train":
        parts += [
            model.optimizer,
            vars(model.optimizer) if model.optimizer is not None else None,
        ]
    for name in _DATA:
        array = getattr(span.data, name)
        parts.append(None if array is None else (array.dtype.str, *array.shape[1:]))
    return tuple(_print_of(part) for part in parts)


def source(model: Any, kind: str) -> tuple[Program | None, str]:
    """The program that ran last, and why steps run eagerly (empty if they don't)."""
    _, program = _programs.get(model, {}).get(kind, (None, None))
    return program, _reasons.get(model, {}).get(kind, "")
