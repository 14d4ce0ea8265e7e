"""Weights files, ``*.weights.h5``: the layout of Keras 3.15, so that either package reads both.

::

    layers/<class in snake case>[_<n>]/vars/0, 1, ...    attribute name: the layer's name
    optimizer/vars/0, 1, ...                             iteration, learning rate, velocities
    vars                                                 no members; the model's name

The groups count the layers of one class (dense, dense_1, ...). The names of layers are written and
never compared: a file fits every model of the same structure.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minisgd.saving.atomic import replacing
from minisgd.tensor import Array, Variable
from minisgd.utils.naming import to_snake_case

if TYPE_CHECKING:
    from minisgd.models import Sequential

_SUFFIX = ".weights.h5"
_OPTIMIZER = "optimizer"


def save_weights(
    model: Sequential, filepath: str | os.PathLike[str], overwrite: bool = True
) -> None:
    """Write the weights, and the optimizer's state if the model is compiled.

    The file appears under its name only when it is complete: an interrupted call leaves what was
    there before.

    Parameters
    ----------
    model : Sequential
        Built.
    filepath : str or path-like
        Must end in ``.weights.h5``.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    ValueError
        If the model is not built, or the name ends otherwise.
    FileExistsError
        If the file exists and `overwrite` is False. (Keras asks on the terminal.)
    FileNotFoundError
        If the folder does not exist.

    Notes
    -----
    Before the first update the optimizer has no velocities, and none are written.

    References
    ----------
    Keras, ``keras.Model.save_weights`` (saving/saving_lib.py).
    """
    path = _checked_path(filepath, "The filename must end in `.weights.h5`.")
    _check_built(model, "saving a model")
    if not overwrite and path.exists():
        msg = f"`filepath`: {path} exists: pass overwrite=True to replace it, or another name."
        raise FileExistsError(msg)
    with replacing(path) as temporary:
        _write(model, temporary)


def load_weights(
    model: Sequential, filepath: str | os.PathLike[str], skip_mismatch: bool = False
) -> None:
    """Read weights, and the optimizer's state if the model is compiled. Changes the model.

    Everything is checked before the first weight changes: a call that raises leaves the model as
    it was.

    Parameters
    ----------
    model : Sequential
        Built, with layers of the same classes, in the same order, as the one that was saved.
    filepath : str or path-like
        Must end in ``.weights.h5``; minisgd's or Keras's.
    skip_mismatch : bool
        Load what fits, and warn of what does not, instead of raising.

    Raises
    ------
    ValueError
        If the model is not built, the name ends otherwise, or a number of variables, a shape or
        a data type in the file does not fit.
    FileNotFoundError
        If there is no such file.
    OSError
        If it is no HDF5 file, or a damaged one.

    Warns
    -----
    UserWarning
        If the optimizer's state is skipped since the file has another number of variables; if the
        file has layers that the model has not; and, with `skip_mismatch`, of what does not fit.

    Notes
    -----
    As in Keras, a momentum optimizer that has not made an update yet has no velocities, and so
    its state in the file is skipped: a script trains on alike in both. To train on where the file
    stopped, make them first: ``model.optimizer.build(model.trainable_variables)``.

    Unlike Keras, a file with more layers than the model is not loaded in silence.

    References
    ----------
    Keras, ``keras.Model.load_weights`` (saving/saving_lib.py).
    """
    path = _checked_path(filepath, "File format not supported: expected a `.weights.h5` file.")
    _check_built(model, "loading weights into a model")
    if not path.is_file():
        raise FileNotFoundError(f"`filepath`: there is no file {path}.")
    import h5py  # imported late: `import minisgd` should not pay for it

    try:
        with h5py.File(path, "r") as file:
            found = _match(model, file)
    # h5py reports damage inside of a file by any of the three.
    except (OSError, RuntimeError, KeyError) as error:
        msg = f"`filepath`: expected a complete HDF5 file, {path} cannot be read: {error}"
        raise OSError(msg) from error

    if found.failures:
        first, reason = found.failures[0]
        objects = [failed for failed, _ in found.failures]
        text = (
            f"A total of {len(objects)} objects could not be loaded. Example error message for "
            f"object {first}:\n\n{reason}\n\nList of objects that could not be loaded:\n{objects}"
        )
        if not skip_mismatch:
            raise ValueError(text)
        found.warnings.append(text)
    for variable, array in found.values:
        variable.assign(array)
    for text in found.warnings:
        warnings.warn(text, stacklevel=3)


@dataclass
class _Match:
    """What of a file fits a model, and what does not."""

    values: list[tuple[Variable, Array]]
    failures: list[tuple[Any, str]]
    warnings: list[str]


def _match(model: Sequential, file: Any) -> _Match:
    """Read the file and compare it with the model; nothing is assigned."""
    found = _Match([], [], [])
    expected = dict(_layer_groups(model))
    for group, layer in expected.items():
        stored = _datasets(file, f"layers/{group}/vars")
        if len(stored) != len(layer.weights):
            names = [w.name for w in layer.weights]
            reason = (
                f"Layer '{layer.name}' expected {len(names)} variables, but received {len(stored)} "
                f"variables during loading. Expected: {names}"
            )
            found.failures.append((layer, reason))
        else:
            _read(found, layer, layer.weights, stored)
    surplus = sorted(set(_members(file, "layers")) - set(expected))
    if surplus:
        found.warnings.append(
            f"The file has layers that model '{model.name}' has not, and that are ignored: "
            f"{', '.join(surplus)}."
        )
    optimizer = model.optimizer
    if optimizer is not None:
        variables, stored = optimizer.variables, _datasets(file, f"{_OPTIMIZER}/vars")
        if len(stored) == len(variables):
            _read(found, optimizer, variables, stored)
        else:
            text = (
                f"Skipping variable loading for optimizer '{optimizer.name}', because it has "
                f"{len(variables)} variables whereas the saved optimizer has {len(stored)} "
                "variables."
            )
            if len(stored) > len(variables) and not optimizer.built:
                text += (
                    " To load its velocities too, call "
                    "`model.optimizer.build(model.trainable_variables)` before `load_weights`."
                )
            found.warnings.append(text)
    return found


def _read(found: _Match, owner: Any, variables: Sequence[Variable], stored: dict[str, Any]) -> None:
    """Add an owner's arrays to `found`: all, or the reason why they don't fit."""
    values = []
    for index, variable in enumerate(variables):
        dataset = stored.get(str(index))
        if dataset is None:
            reason = f"expected the variable '{index}' ({variable.name}), found {sorted(stored)}"
            found.failures.append((owner, reason))
            return
        # Compared before the values are read: a shape costs nothing, whatever it claims.
        if dataset.shape != variable.shape or dataset.dtype.kind not in "fiu":
            reason = (
                "The shape of the target variable and the shape of the target value must match: "
                f"variable.shape={variable.shape} for '{variable.path}', Received: "
                f"value.shape={dataset.shape} of dtype {dataset.dtype}"
            )
            found.failures.append((owner, reason))
            return
        values.append((variable, np.asarray(dataset[()])))
    found.values.extend(values)


def _members(file: Any, path: str) -> list[str]:
    """Names in a group of the file; none if there is no such group."""
    group = file.get(path)
    return list(group) if hasattr(group, "keys") else []


def _datasets(file: Any, path: str) -> dict[str, Any]:
    """Datasets of a group by name; none if there is no such group."""
    members = {name: file.get(f"{path}/{name}") for name in _members(file, path)}
    return {name: member for name, member in members.items() if hasattr(member, "shape")}


def _write(model: Sequential, path: Path) -> None:
    """Write the whole file."""
    import h5py

    with h5py.File(path, "x") as file:
        for group, layer in _layer_groups(model):
            _write_variables(file, f"layers/{group}/vars", layer.name, layer.weights)
        optimizer = model.optimizer
        if optimizer is not None:
            _write_variables(file, f"{_OPTIMIZER}/vars", optimizer.name, optimizer.variables)
        _write_variables(file, "vars", model.name, ())


def _write_variables(file: Any, path: str, name: str, variables: Sequence[Variable]) -> None:
    group = file.create_group(path)
    group.attrs["name"] = name
    for index, variable in enumerate(variables):
        group.create_dataset(str(index), data=variable.numpy())


def _layer_groups(model: Sequential) -> Iterator[tuple[str, Any]]:
    """Name of each layer's group, and the layer."""
    counts: dict[str, int] = {}
    for layer in model.layers:
        name = to_snake_case(type(layer).__name__)
        count = counts.get(name, 0)
        counts[name] = count + 1
        yield (f"{name}_{count}" if count else name), layer


def _checked_path(filepath: Any, complaint: str) -> Path:
    """A path that ends in ``.weights.h5``.

    Raises
    ------
    TypeError
        If it is no path.
    ValueError
        If it ends otherwise.
    """
    if not isinstance(filepath, str | os.PathLike):
        msg = f"`filepath`: expected a str or a path, received {filepath!r}"
        raise TypeError(msg)
    path = os.fspath(filepath)
    if not isinstance(path, str) or not path.endswith(_SUFFIX):
        raise ValueError(f"{complaint} Received: filepath={path!r}")
    return Path(path)


def _check_built(model: Sequential, action: str) -> None:
    """Refuse a model that has no weights yet."""
    if not model.built:
        msg = (
            f"You are {action} that has not yet been built. Try building the model first by "
            "calling it on some data or by using `build()`."
        )
        raise ValueError(msg)
