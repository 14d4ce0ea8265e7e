"""All that a running `fit` depends on, as one tree of numbers and arrays, and back into a model."""

from __future__ import annotations

import json
import random as python_random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minisgd import random
from minisgd.callbacks.callback import Callback, Logs
from minisgd.tensor import Array, Tensor, Variable

Arrays = dict[str, Array]


@dataclass
class Progress:
    """Where a running `fit` is: it reads its first epoch here once all callbacks have begun.

    Attributes
    ----------
    epoch : int
        The running epoch, or the first one.
    iterator : EpochIterator
        Where the data are.
    callbacks : list of Callback
    logs : dict or None
        Those of the last epoch that ended.
    """

    epoch: int
    iterator: Any
    callbacks: list[Callback] = field(default_factory=list)
    logs: Logs | None = None


# --- from a running fit, and back ---
def capture(model: Any, progress: Progress, in_epoch: bool) -> dict[str, Any]:
    """The state between two steps of an epoch, or between two epochs.

    Arrays in it may be the model's own: write it before the next step.
    """
    optimizer = model.optimizer
    return {
        "epoch": progress.epoch if in_epoch else progress.epoch + 1,
        "position": progress.iterator.position(in_epoch, ends=model.stop_training),
        "logs": progress.logs,
        "stop_training": bool(model.stop_training),
        "weights": list(model.weights),
        "optimizer": list(optimizer.variables) if optimizer is not None else [],
        "seeds": [generator.state for generator in _seed_generators(model.layers)],
        "random": _random_state(),
        "metrics": [_numbers(metric) for metric in model.metrics],
        "callbacks": {
            name: callback.backup_state()
            for name, callback in _named(progress.callbacks)
            if hasattr(callback, "backup_state")  # a duck of the user's may not have it
        },
    }


def restore(model: Any, progress: Progress, state: dict[str, Any]) -> None:
    """Put a state of `capture` into a model that was made, and called with `fit`, in the same way.

    Raises
    ------
    ValueError
        If the model or its data are others. The weights were not changed then.
    """
    optimizer, seeds = model.optimizer, [g.state for g in _seed_generators(model.layers)]
    if optimizer is not None and not optimizer.built:
        optimizer.build(model.trainable_variables)
    pairs = [
        *_matched("weights", model.weights, state["weights"]),
        *_matched("variables of the optimizer", _variables(optimizer), state["optimizer"]),
        *_matched("seed generators", seeds, state["seeds"]),
    ]
    if len(model.metrics) != len(state["metrics"]):
        raise ValueError(_other(f"{len(state['metrics'])} metrics", len(model.metrics)))
    progress.iterator.go_on(state["position"])
    progress.epoch, progress.logs = state["epoch"], state["logs"]
    for variable, array in pairs:
        variable.assign(array)
    model.stop_training = state["stop_training"]
    _set_random_state(state["random"])
    for metric, numbers in zip(model.metrics, state["metrics"], strict=True):
        _set_numbers(metric, numbers)
    known = dict(_named(progress.callbacks))
    for name, kept in state["callbacks"].items():
        if name in known:
            known[name].restore_state(kept)
        elif kept:
            warnings.warn(
                f"The backup has the state of a callback, {name}, that this `fit` has not.",
                stacklevel=2,
            )


def _variables(optimizer: Any) -> list[Variable]:
    return [] if optimizer is None else optimizer.variables


def _matched(what: str, own: list[Variable], kept: list[Array]) -> list[tuple[Variable, Array]]:
    shapes, expected = [v.shape for v in own], [array.shape for array in kept]
    if shapes != expected:
        raise ValueError(_other(f"{what} of shapes {expected}", shapes))
    return list(zip(own, kept, strict=True))


def _other(expected: str, received: Any) -> str:
    return (
        f"The backup belongs to another model or another `compile`: expected {expected}, received "
        f"{received}."
    )


def _seed_generators(layers: Any) -> Iterator[random.SeedGenerator]:
    """Those of all layers, which count their draws."""
    for layer in layers:
        for value in vars(layer).values():
            if isinstance(value, random.SeedGenerator):
                yield value
        yield from _seed_generators(getattr(layer, "layers", ()))


def _named(callbacks: list[Callback]) -> Iterator[tuple[str, Any]]:
    """Each callback with a name that it will have in the next process too."""
    counts: dict[str, int] = {}
    for callback in callbacks:
        name = type(callback).__name__
        counts[name] = counts.get(name, 0) + 1
        yield f"{name}_{counts[name]}", callback


def _random_state() -> dict[str, Any]:
    """The state of all global generators: minisgd's, Python's and NumPy's."""
    own = random._Global
    version, numbers, gauss = python_random.getstate()
    return {
        "seed": own.seed,
        "generator": None if own.generator is None else own.generator.state,
        "python": [version, list(numbers), gauss],
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002
    }


def _set_random_state(state: dict[str, Any]) -> None:
    random._Global.seed, random._Global.generator = state["seed"], None
    if state["generator"] is not None:
        random._Global.generator = random.SeedGenerator(seed=0)
        random._Global.generator.state.assign(state["generator"])
    version, numbers, gauss = state["python"]
    python_random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(state["numpy"])  # noqa: NPY002


_NUMBERS = int | float | np.generic | np.ndarray | Variable


def _numbers(metric: Any) -> dict[str, Any]:
    """What a metric has counted: its attributes that are numbers."""
    return {name: value for name, value in vars(metric).items() if isinstance(value, _NUMBERS)}


def _set_numbers(metric: Any, numbers: dict[str, Any]) -> None:
    for name, value in numbers.items():
        present = getattr(metric, name, None)
        if isinstance(present, Variable):
            present.assign(value)
        else:
            setattr(metric, name, value)


# --- into a file of arrays, and back ---
def to_arrays(state: dict[str, Any]) -> Arrays:
    """A tree of numbers, texts, arrays and variables, as arrays: one of them is JSON."""
    arrays: Arrays = {}

    def without_arrays(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): without_arrays(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [without_arrays(item) for item in value]
        if value is None or isinstance(value, bool | str) or type(value) in (int, float):
            return value
        kept = np.asarray(value) if isinstance(value, Tensor | np.ndarray | np.generic) else None
        if kept is None or kept.dtype.hasobject:
            warnings.warn(
                f"A backup can't hold {value!r} (`{type(value).__name__}`): it keeps its text.",
                stacklevel=2,
            )
            return str(value)
        name = f"array_{len(arrays)}"
        arrays[name] = kept
        return {_ARRAY: name, "scalar": isinstance(value, np.generic)}

    text = json.dumps(without_arrays(state))
    return {**arrays, "state": np.frombuffer(text.encode(), np.uint8)}


_ARRAY = "array in this file"


def from_arrays(arrays: Any) -> dict[str, Any]:
    """The tree that `to_arrays` took apart; tuples come back as lists."""

    def with_arrays(value: dict[str, Any]) -> Any:
        if _ARRAY not in value:
            return value
        array = arrays[value[_ARRAY]]
        return array[()] if value["scalar"] else array

    text = np.asarray(arrays["state"], np.uint8).tobytes().decode()
    state: dict[str, Any] = json.loads(text, object_hook=with_arrays)
    return state
