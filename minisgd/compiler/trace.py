"""From a model to its printed step: what can be compiled, recorded on a copy of its state."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

import minisgd_kernels
from minisgd import activations, layers, losses, metrics, numerics, optimizers
from minisgd.compiler.fuse import UPDATES, NotFusableError, fuse
from minisgd.compiler.fused_printer import FusedPrinter
from minisgd.compiler.printer import Printer, Step
from minisgd.compiler.record import (
    SIZES,
    Call,
    NotCompilableError,
    Recording,
    Times,
    generalize,
    watching,
)
from minisgd.compiler.shapes import shapes_only
from minisgd.data import ArrayData
from minisgd.random import SeedGenerator
from minisgd.tensor import Array, Tensor, Variable

_LAYERS = (
    layers.Dense, layers.Activation, layers.Flatten, layers.Dropout, layers.ActivityRegularization,
    layers.ELU, layers.Identity, layers.LeakyReLU, layers.PReLU, layers.Permute, layers.ReLU,
    layers.RepeatVector, layers.Rescaling, layers.Reshape, layers.Softmax,
    layers.BatchNormalization, layers.LayerNormalization, layers.Normalization,
    layers.RMSNormalization, layers.UnitNormalization,
)  # fmt: skip
_LOSSES = (
    losses.CategoricalCrossentropy,
    losses.SparseCategoricalCrossentropy,
    losses.MeanSquaredError,
)
_METHODS = (
    "train_step", "test_step", "predict_step", "compute_loss", "compute_metrics",
    "get_metrics_result", "metrics", "reset_metrics", "__call__", "call",
)  # fmt: skip

traces = 0  # how many steps were recorded in this process


class Program:
    """A recorded step of a model, with the variables and optimizer it belongs to."""

    def __init__(self, model: Any, kind: str, data: ArrayData) -> None:
        global traces
        check(model, kind, data)
        traces += 1
        self.optimizer = model.optimizer if kind == "train" else None
        self.phases = _phases(self.optimizer) if self.optimizer is not None else [0]
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(model.trainable_variables)
        named = variable_names(model, self.optimizer)
        self.variables = list(named.values())
        _resolve_metrics(model, kind, data)
        self.step = _record(model, kind, data, named, self.phases)
        printer = Printer(self.step)
        self.text = printer.text()
        self.kernels = printer.kernels  # of an eager step
        for kernel in self.kernels:
            if not hasattr(getattr(minisgd_kernels, kernel), "overloads"):
                raise NotCompilableError(f"compute kernel '{kernel}' is not compiled by Numba")
        self.in_use = self.text  # or the fused text, once there are data that it can take
        self.zeros = ""  # whether zeros in the data are skipped, in the latest call
        self.fused: list[Call] = []
        self.not_fused = ""
        try:
            self.fused = fuse(self.step)
        except NotFusableError as error:
            self.not_fused = str(error)
        self.moves = np.array([
            any(call.name in UPDATES for call in update) for update in self.step.updates
        ])  # fmt: skip
        # How many elements of a sample each metric counts.
        self.elements = [
            math.prod(self.step.shapes[str(call.inputs[1]).partition(".")[0]][1:])
            if call.name == "binary_hits" else 1
            for call in self.step.metrics
        ]  # fmt: skip

    def fused_text(self, threads: int) -> str:
        """The fused step for so many threads: it depends on where they have to wait."""
        return self.fused_printer(threads).text()

    def fused_printer(self, threads: int) -> FusedPrinter:
        """What prints the fused step for so many threads."""
        from minisgd_kernels.packing import by_units

        def columns(weight: str) -> bool:
            return bool(by_units(self.step.shapes[weight][1], max(threads, 2)))

        return FusedPrinter(self.step, self.fused, columns)

    def phases_after(self, calls: Array) -> Array:
        """Which of the step's updates comes after so many calls, for a vector of such numbers."""
        if len(self.phases) == 1:
            return np.zeros(len(calls), np.int64)
        place = np.zeros(4, np.int64)
        place[_kind_of_update(self.optimizer, np.array(self.phases))] = range(len(self.phases))
        return place[_kind_of_update(self.optimizer, calls)]


# --- what can be compiled ---
def check(model: Any, kind: str, data: ArrayData) -> None:
    """Refuse what a recording could not follow.

    Raises
    ------
    NotCompilableError
        With the reason.
    """
    if model.numerics is not numerics.DEFAULT:
        raise NotCompilableError(f"numerics='{model.numerics.name}' computes with other kernels")
    for method in _METHODS:
        function = getattr(type(model), method, None)
        function = getattr(function, "fget", function)  # of a property
        own = getattr(function, "__module__", "").startswith("minisgd.")
        if method in vars(model) or (function is not None and not own):
            raise NotCompilableError(f"the model has a `{method}` of its own")
    if model._own_metrics:
        raise NotCompilableError("the model has metrics of its own")
    for layer in leaves(model):
        _check_layer(layer, kind)
    if kind == "predict":
        return
    _check_penalties(model)
    loss = model._loss
    if type(loss) not in _LOSSES or loss.fn not in vars(losses).values():
        raise NotCompilableError("the loss is none of minisgd's own")
    weighted = data.sample_weight is not None
    if loss.reduction in (None, "none") or (weighted and loss.reduction.endswith("weight")):
        raise NotCompilableError(f"the loss has the reduction {loss.reduction!r}")
    for metric in model._metrics or ():
        if type(metric).__module__ != metrics.accuracy.__name__:
            raise NotCompilableError(f"metric '{metric.name}' is none of minisgd's own")
    if kind == "train":
        if type(model.optimizer) is not optimizers.SGD:
            raise NotCompilableError("the optimizer is not minisgd's SGD itself")
        if not model.trainable_variables:
            raise NotCompilableError("no variable is trainable")


@contextmanager
def trying(model: Any, data: ArrayData) -> Iterator[None]:
    """Let a forward pass and its loss check shapes; values only where the user's code sees them.

    A layer or loss of the user's own may look at values, and a model that is to run eagerly needs
    the kernels at once: then everything is computed.
    """
    by_shapes = bool(model.jit_compile) and not model.run_eagerly
    if by_shapes:
        try:
            check(model, "test", data)
        except NotCompilableError:
            by_shapes = False
    with shapes_only() if by_shapes else nullcontext():
        yield


def _check_layer(layer: Any, kind: str) -> None:
    if type(layer) not in _LAYERS or "call" in vars(layer):
        raise NotCompilableError(f"layer '{layer.name}' is none of minisgd's own")
    if layer.dtype != "float32":
        raise NotCompilableError(f"layer '{layer.name}' computes in {layer.dtype}")
    if kind == "train" and isinstance(layer, layers.Dropout):
        _check_dropout(layer)
    activation = getattr(layer, "activation", None)
    if activation is not None and activation not in vars(activations).values():
        raise NotCompilableError(f"layer '{layer.name}' has an activation function of its own")


def _check_penalties(model: Any) -> None:
    """Refuse penalties and constraints that are the user's: they may look at anything."""
    for weight in model.trainable_weights:
        for what in ("regularizer", "constraint"):
            if _is_users(getattr(weight, what)):
                raise NotCompilableError(f"weight '{weight.path}' has a {what} of its own")
    for layer in leaves(model):
        if _is_users(layer.activity_regularizer):
            raise NotCompilableError(f"layer '{layer.name}' has a regularizer of its own")


def _is_users(function: Any) -> bool:
    known = ("minisgd.regularizers", "minisgd.constraints")
    return function is not None and type(function).__module__ not in known


def leaves(model: Any) -> list[Any]:
    """The layers of a model; in place of a Sequential among them, its own."""
    found = []
    for layer in model.layers:
        nested = type(layer).__module__ == "minisgd.models" and "call" not in vars(layer)
        found += leaves(layer) if nested else [layer]
    return found


def _check_dropout(layer: layers.Dropout) -> None:
    if layer.seed_generator is not None and type(layer.seed_generator) is not SeedGenerator:
        raise NotCompilableError(f"layer '{layer.name}' has a seed generator of its own")
    if layer.rate == 1:
        raise NotCompilableError(f"layer '{layer.name}' lets nothing through")
    if layer.noise_shape and layer.noise_shape[0] not in (None, 1):
        raise NotCompilableError(f"layer '{layer.name}' takes batches of one length only")


def seed_states(model: Any) -> list[Variable]:
    """What the model's Dropout layers draw from."""
    dropped = [layer for layer in leaves(model) if isinstance(layer, layers.Dropout)]
    return [layer.seed_generator.state for layer in dropped if layer.seed_generator is not None]


# --- names ---
def variable_names(model: Any, optimizer: Any) -> dict[str, Variable]:
    """Weights by their layer's name and their own, then the optimizer's state by its weights'.

    In training the seeds of Dropout layers are state, too: every step counts its draws there.
    Layers that were named automatically are counted from the first of the model, so that the same
    model prints the same file again.
    """
    named: dict[str, Variable] = {}
    counts: dict[str, int] = {}
    of_weight: dict[int, str] = {}
    for layer in leaves(model):
        stem = type(layer).__name__.lower()
        name = re.sub(r"\W", "_", layer.name)
        if re.fullmatch(rf"{stem}(_\d+)?", name):
            count = counts[stem] = counts.get(stem, -1) + 1
            name = f"{stem}_{count}" if count else stem
        for weight in layer.weights:
            of_weight[id(weight)] = _free(f"{name}_{weight.name}", named)
            named[of_weight[id(weight)]] = weight
        if optimizer is not None and isinstance(layer, layers.Dropout) and layer.seed_generator:
            named[_free(f"{name}_seed", named)] = layer.seed_generator.state
    if optimizer is None:
        return named
    for states, suffix in (
        (optimizer._averages, "average"),
        (optimizer._accumulators, "accumulator"),
        (optimizer.momentums, "momentum"),
    ):
        for weight, state in zip(optimizer._trained, states, strict=False):
            if id(weight) not in of_weight:
                raise NotCompilableError("the optimizer was built for other variables")
            named[_free(f"{of_weight[id(weight)]}_{suffix}", named)] = state
    return named


def _free(name: str, taken: dict[str, Any]) -> str:
    """A name that is an identifier and not taken."""
    name = name if name.isidentifier() and name.isascii() else f"layer_{len(taken)}"
    while name in taken:
        name += "_"
    return name


# --- recording ---
class _Stand:
    """Stands for a metric while a step is recorded: keeps what it is given."""

    def __init__(self, metric: Any, recording: Recording) -> None:
        self.metric, self.name, self.recording = metric, metric.name, recording
        self.given: tuple[Any, ...] = ()

    def update_state(self, *values: Any, **weights: Any) -> None:
        self.given = values
        if self.recording.part == "forward":
            self.recording.part = "backward"

    def result(self) -> float:
        return 0.0


def _record(
    model: Any, kind: str, data: ArrayData, named: dict[str, Variable], phases: list[int]
) -> Step:
    """Run steps with a batch of each length for each kind of update, and take their state back."""
    originals = list(model.metrics)
    arguments: list[str] = []
    stands: list[_Stand] = []
    prediction = ""

    def run(size: int, iterations: int) -> Recording:
        nonlocal prediction
        recording = Recording(suffix=f"_{iterations}" if len(phases) > 1 else "")
        for name, tensor in zip(("x", "y", "sample_weight"), _batch(data, size), strict=True):
            if tensor is not None:
                recording.name(tensor._array, name)
                batch[name] = tensor
        for name, variable in named.items():
            recording.name(variable._array, name)
        parts = (batch["x"], batch.get("y"), batch.get("sample_weight"))
        stands[:] = [_Stand(metric, recording) for metric in originals]
        if model.compiled:
            model._loss_tracker, model._metrics = stands[0], stands[1:]
        if kind == "train":
            model.optimizer._iterations._array[...] = iterations
        with model._numerics_scope(kind), watching(recording):
            result = getattr(model, f"{kind}_step")(parts)
        if kind == "predict":
            prediction = str(recording.operand(result))
        arguments.extend(name for name in recording.arguments if name not in arguments)
        return recording

    batch: dict[str, Any] = {}
    with _untouched(model, kind):
        kinds = [[run(size, iterations) for size in SIZES] for iterations in phases]
    general = [generalize([recording.calls for recording in same]) for same in kinds]
    last = kinds[-1][-1]
    updates = [[call for call in calls if call.part == "update"] for calls in general]
    calls = [call for call in general[-1] if call.part != "update"]
    if any([c for c in same if c.part != "update"] != calls for same in general):
        raise NotCompilableError("its gradients depend on the number of updates")
    present = tuple(name for name in ("x", "y", "sample_weight") if name in batch)
    shapes: dict[str, Any] = {
        **{name: (Times(1), *batch[name].shape[1:]) for name in present},
        **{name: variable.shape for name, variable in named.items()},
        **{call.output: call.shape for same in general for call in same if call.output},
    }
    loss = "" if kind == "predict" else str(last.operand(stands[0].given[0]))
    counted = [] if kind == "predict" else [_hits(s, last, shapes) for s in stands[1:]]
    return Step(
        kind, present, tuple(named), tuple(arguments), calls, updates, counted, loss, prediction,
        shapes, [job for same in kinds for job in same[-1].jobs],
    )  # fmt: skip


def _batch(data: ArrayData, size: int) -> tuple[Tensor | None, ...]:
    return data.rows(np.arange(size) % data.num_samples)


def _hits(stand: _Stand, recording: Recording, shapes: dict[str, Any]) -> Call:
    """What counts a metric's hits."""
    y, p = (str(recording.operand(value)) for value in stand.given)
    y_shape, p_shape = shapes[y], shapes[p]
    kind = type(stand.metric)
    if kind is metrics.BinaryAccuracy and y_shape[1:] in ((), p_shape[1:]):
        limit = f"np.float32({float(np.float32(stand.metric.threshold))!r})"
        return Call("binary_hits", (f"{y}.reshape(-1)", f"{p}.reshape(-1)", limit), (), "", (),
                    "metrics")  # fmt: skip
    if kind is metrics.CategoricalAccuracy and y_shape == p_shape and len(p_shape) == 2:
        return Call("categorical_hits", (y, p), (), "", (), "metrics")
    if kind is metrics.SparseCategoricalAccuracy and y_shape[1:] in ((), (1,)):
        if len(p_shape) == 2:
            return Call("sparse_hits", (f"{y}.reshape(-1)", p), (), "", (), "metrics")
    raise NotCompilableError(f"metric '{stand.name}' has labels of shape {y_shape}")


@contextmanager
def _untouched(model: Any, kind: str) -> Iterator[None]:
    """Give a model its variables and metrics back, however the recording ends.

    Meanwhile the optimizer has a rate of its own: a user's function is asked once a step, no more.
    """
    optimizer = model.optimizer if kind == "train" else None
    variables = [*model.weights, *(optimizer.variables if optimizer is not None else ())]
    variables += seed_states(model)
    before = [(v, v._array.copy(), v.version) for v in variables]
    kept = {name: vars(model).get(name) for name in ("_loss_tracker", "_metrics")}
    rate = None
    if optimizer is not None:
        rate, optimizer._learning_rate = optimizer._learning_rate, Variable(np.float32(2**-7))
    try:
        yield
    finally:
        model._clear_losses()  # stand-ins
        if optimizer is not None:
            optimizer._learning_rate = rate
        if model.compiled:
            vars(model).update(kept)
        for variable, values, version in before:
            variable._array[...] = values
            variable.version = version


def _resolve_metrics(model: Any, kind: str, data: ArrayData) -> None:
    """Let the metrics be chosen by the shapes of labels and predictions, as in a first step."""
    if kind != "predict" and model._metrics is None:
        x, y, _ = _batch(data, 1)
        with model._numerics_scope(kind), shapes_only():
            model._resolve_metrics(y, model(x, training=False))
        check(model, kind, data)


# --- kinds of update: with accumulated gradients or moving averages not all steps are alike ---
def _kind_of_update(optimizer: Any, calls: Array) -> Array:
    """1 if the weights move, and 2 more if their averages replace them, after so many calls."""
    moves = (calls + 1) % (optimizer.gradient_accumulation_steps or 1) == 0
    kind = np.asarray(moves, np.int64)
    if optimizer.use_ema and optimizer.ema_overwrite_frequency:
        updates = optimizer._updates_in(calls)
        kind = kind + 2 * ((updates + 1) % optimizer.ema_overwrite_frequency == 0)
    return kind


def _phases(optimizer: Any) -> list[int]:
    """A number of earlier calls for each kind of update that there is."""
    every = optimizer.gradient_accumulation_steps or 1
    overwrite = (optimizer.ema_overwrite_frequency if optimizer.use_ema else None) or 1
    found: dict[int, int] = {}
    for calls in (0, every - 1, every * (overwrite - 1), every * overwrite - 1):
        found.setdefault(int(_kind_of_update(optimizer, np.array(calls))), calls)
    return list(found.values())
