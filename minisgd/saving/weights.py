"""Weights files, ``*.weights.h5``: the layout of Keras 3.15, so that either package reads both.

::

    layers/<class in snake case>[_<n>]/vars/0, 1, ...    attribute name: the layer's name
    optimizer/vars/0, 1, ...                             iteration, learning rate, velocities
    vars                                                 the model's own variables, and its name

The groups count the layers of one class (dense, dense_1, ...); a Sequential among them has
``layers`` of its own. Every layer, and a subclass of Sequential too, has a group for each attribute
that is a layer or has some, unless it is in the stack. Metrics and losses that are attributes have
none: Keras does not save what they have counted.
The names of layers are written and never compared: a file fits every model of the same structure.
Each array has an attribute ``sha256``, which Keras ignores.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from minisgd.saving import safetensors_file
from minisgd.saving.archive import Archive
from minisgd.saving.atomic import replacing
from minisgd.saving.hdf5 import Reader, reading, write_group
from minisgd.tensor import Array, Variable
from minisgd.utils.naming import to_snake_case

if TYPE_CHECKING:
    from minisgd.models import Sequential

_SUFFIX, _MODEL_SUFFIX, _TENSORS_SUFFIX = ".weights.h5", ".keras", ".safetensors"
_OPTIMIZER = "optimizer"
_BOOKKEEPING = {"_layers", "_arguments", "_input"}  # what other attributes list, too


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
        Must end in ``.weights.h5``; or (not in Keras) in ``.safetensors``, which takes the weights
        alone and needs ``pip install "minisgd[safetensors]"``.
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
    path = checked_path(
        filepath, (_SUFFIX, _TENSORS_SUFFIX), "The filename must end in `.weights.h5`."
    )
    _check_built(model, "saving a model")
    refuse_existing(path, overwrite)
    with replacing(path) as temporary:
        if path.name.endswith(_TENSORS_SUFFIX):
            safetensors_file.write(temporary, _by_name(model))
        else:
            temporary.write_bytes(weights_file(model))


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
        Must end in ``.weights.h5`` or ``.keras`` (minisgd's or Keras's), or in ``.safetensors``.
    skip_mismatch : bool
        Load what fits, and warn of what does not, instead of raising.

    Raises
    ------
    ValueError
        If the model is not built, the name ends otherwise, or a number of variables, a shape or
        a data type in the file does not fit.
    FileNotFoundError
        If there is no such file.
    UnreadableFileError
        (An OSError and a ValueError.) If it is no HDF5 file, or a damaged one, or holds what no
        weights file needs: links, external, virtual or compressed arrays.

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
    path = checked_path(
        filepath,
        (_SUFFIX, _MODEL_SUFFIX, _TENSORS_SUFFIX),
        "File format not supported: expected a `.weights.h5` file.",
    )
    _check_built(model, "loading weights into a model")
    if not path.is_file():
        raise FileNotFoundError(f"`filepath`: there is no file {path}.")
    if path.name.endswith(_TENSORS_SUFFIX):
        found = _Match([], [], [])
        found.read_tensors(model, path)
    elif path.name.endswith(_MODEL_SUFFIX):
        with Archive(path) as archive:
            found = match_weights(model, archive.weights(largest_file(model)), str(path))
    else:
        found = match_weights(model, path, str(path))
    found.assign(skip_mismatch, stacklevel=4)


def match_weights(
    model: Sequential, source: str | os.PathLike[str] | IO[bytes], named: str
) -> _Match:
    """Read an HDF5 file and compare it with the model; nothing is assigned."""
    with reading(source, named) as file:
        return _match(model, file)


def largest_file(model: Sequential) -> int:
    """Bytes that a weights file of this model can have at most.

    An optimizer has up to three variables a weight; HDF5's own structures are small.
    """
    owners = [model, *(layer for _, layer in _groups(model))]
    weights = [weight for owner in owners for weight in _own_weights(owner)]
    return 8 * sum(weight.numpy().nbytes for weight in weights) + (1 << 24)


@dataclass
class _Match:
    """What of a file fits a model, and what does not."""

    values: list[tuple[Variable, Array]]
    failures: list[tuple[Any, str]]
    warnings: list[str]

    def assign(self, skip_mismatch: bool = False, stacklevel: int = 2) -> None:
        """Put the values into the variables; all of them or, if one does not fit, none.

        Raises
        ------
        ValueError
            If something does not fit, unless `skip_mismatch` makes that a warning.
        """
        if self.failures:
            first, reason = self.failures[0]
            objects = [failed for failed, _ in self.failures]
            text = (
                f"A total of {len(objects)} objects could not be loaded. Example error message for "
                f"object {first}:\n\n{reason}\n\nList of objects that could not be loaded:\n"
                f"{objects}"
            )
            if not skip_mismatch:
                raise ValueError(text)
            self.warnings.append(text)
        for variable, array in self.values:
            variable.assign(array)
        for text in self.warnings:
            warnings.warn(text, stacklevel=stacklevel)

    def read(self, file: Reader, path: str, owner: Any, variables: Sequence[Variable]) -> None:
        """Add an owner's arrays: all of them, or the reason why they don't fit."""
        stored = file.datasets(path)
        values = []
        for index, variable in enumerate(variables):
            dataset = stored.get(str(index))
            if dataset is None:
                missing = f"expected the variable '{index}' ({variable.name})"
                self.failures.append((owner, f"{missing}, found {sorted(stored)}"))
                return
            # Compared before the values are read: a shape costs nothing, whatever it claims.
            if dataset.shape != variable.shape:
                self.failures.append((owner, _shapes_differ(variable, dataset.shape)))
                return
            values.append((variable, file.values(dataset, f"{path}/{index}")))
        self.values.extend(values)

    def read_tensors(self, model: Sequential, path: Path) -> None:
        """Add the arrays of a safetensors file."""
        variables = dict(_by_name(model))
        shapes = {name: variable.shape for name, variable in variables.items()}
        stored = safetensors_file.read(path, shapes)
        for name, variable in variables.items():
            found = stored.pop(name, None)
            if found is None:
                reason = f"expected a tensor '{name}' of shape {variable.shape}, found none"
                self.failures.append((variable.path, reason))
            elif isinstance(found, tuple):
                self.failures.append((variable.path, _shapes_differ(variable, found)))
            else:
                self.values.append((variable, found))
        if stored:
            self.warnings.append(
                f"The file has tensors that model '{model.name}' has not, and that are ignored: "
                f"{', '.join(sorted(stored))}."
            )


def _shapes_differ(variable: Variable, shape: Any) -> str:
    return (
        "The shape of the target variable and the shape of the target value must match: "
        f"variable.shape={variable.shape} for '{variable.path}', Received: value.shape={shape}"
    )


def _match(model: Sequential, file: Reader) -> _Match:
    """Compare the file with the model; nothing is assigned."""
    found = _Match([], [], [])
    expected: dict[str, set[str]] = {}
    for group, layer in [("", model), *_groups(model)]:
        parent, _, name = group.rpartition("/")
        if parent.endswith("layers"):
            expected.setdefault(parent, set()).add(name)
        path, names = f"{group}/vars".lstrip("/"), [w.name for w in _own_weights(layer)]
        number = len(file.datasets(path))
        if number != len(names):
            reason = (
                f"Layer '{layer.name}' expected {len(names)} variables, but received {number} "
                f"variables during loading. Expected: {names}"
            )
            found.failures.append((layer, reason))
        else:
            found.read(file, path, layer, _own_weights(layer))
    surplus = sorted(
        f"{parent}/{name}".removeprefix("layers/")
        for parent, names in expected.items()
        for name in set(file.members(parent)) - names
    )
    if surplus:
        found.warnings.append(
            f"The file has layers that model '{model.name}' has not, and that are ignored: "
            f"{', '.join(surplus)}."
        )
    if model.optimizer is not None:
        _match_optimizer(model.optimizer, file, found)
    return found


def _match_optimizer(optimizer: Any, file: Reader, found: _Match) -> None:
    """Add the optimizer's state, or a warning that it is left as it is."""
    path, variables = f"{_OPTIMIZER}/vars", optimizer.variables
    number = len(file.datasets(path))
    if number == len(variables):
        found.read(file, path, optimizer, variables)
        return
    text = (
        f"Skipping variable loading for optimizer '{optimizer.name}', because it has "
        f"{len(variables)} variables whereas the saved optimizer has {number} variables."
    )
    if number > len(variables) and not optimizer.built:
        text += (
            " To load its velocities too, call "
            "`model.optimizer.build(model.trainable_variables)` before `load_weights`."
        )
    found.warnings.append(text)


def weights_file(model: Sequential) -> bytes:
    """The whole HDF5 file. It is made in memory: on a full disk HDF5 crashes the process."""
    import h5py

    contents = io.BytesIO()
    with h5py.File(contents, "w") as file:
        for group, layer in _groups(model):
            write_group(file, f"{group}/vars", layer.name, _values(_own_weights(layer)))
        optimizer = model.optimizer
        if optimizer is not None:
            write_group(file, f"{_OPTIMIZER}/vars", optimizer.name, _values(optimizer.variables))
        write_group(file, "vars", model.name, _values(_own_weights(model)))
    return contents.getvalue()


def _values(variables: Iterable[Variable]) -> list[Array]:
    return [variable.numpy() for variable in variables]


def _groups(model: Any) -> Iterator[tuple[str, Any]]:
    """Group of each layer, and the layer; those in it come after it, each once."""
    seen = {id(model)}

    def inside(owner: Any, above: str) -> Iterator[tuple[str, Any]]:
        for path, layer in _children(owner, above):
            if id(layer) not in seen:
                seen.add(id(layer))
                yield path, layer
                yield from inside(layer, f"{path}/")

    return inside(model, "")


def _children(owner: Any, above: str) -> Iterator[tuple[str, Any]]:
    """Layers of a Sequential, then those that are attributes, with their groups (Keras's order)."""
    if hasattr(owner, "layers"):
        yield from _members(owner.layers, f"{above}layers")
    for name in sorted(vars(owner), key=lambda name: (name.startswith("_"), name)):
        value = vars(owner)[name]
        if name in _BOOKKEEPING:
            continue
        if isinstance(value, list | tuple | dict):
            yield from _members(value, f"{above}{name}")
        elif hasattr(value, "trainable_weights"):
            yield f"{above}{name}", value


def _members(container: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Layers in a list, tuple or dict: their groups count those of one class."""
    counts: dict[str, int] = {}
    for value in container.values() if isinstance(container, dict) else container:
        nested = isinstance(value, list | tuple | dict)
        if not nested and not hasattr(value, "trainable_weights"):
            continue
        name = "container" if nested else to_snake_case(type(value).__name__)
        count = counts.get(name, 0)
        counts[name] = count + 1
        group = f"{path}/{name}_{count}" if count else f"{path}/{name}"
        if nested:
            yield from _members(value, group)
        else:
            yield group, value


def _own_weights(layer: Any) -> list[Variable]:
    """Weights of a layer that no layer inside it owns."""
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def _by_name(model: Sequential) -> Iterator[tuple[str, Variable]]:
    """Weights by name in a safetensors file: ``dense.kernel``, ``dense_1.kernel``, ..."""
    counts: dict[str, int] = {}
    for group, layer in [("", model), *_groups(model)]:
        prefix = group.replace("layers/", "").replace("/", ".")
        for weight in _own_weights(layer):
            name = f"{prefix}.{weight.name}" if prefix else weight.name
            count = counts[name] = counts.get(name, -1) + 1
            yield f"{name}_{count}" if count else name, weight


def checked_path(filepath: Any, suffixes: tuple[str, ...], complaint: str) -> Path:
    """A path that ends in one of these.

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
    if not isinstance(path, str) or not path.endswith(suffixes):
        raise ValueError(f"{complaint} Received: filepath={path!r}")
    return Path(path)


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Refuse to write to what is no file, or to one that shall stay.

    Raises
    ------
    IsADirectoryError, FileExistsError
    """
    if path.is_dir():
        raise IsADirectoryError(f"`filepath`: expected a file to write, {path} is a folder.")
    if not overwrite and path.exists():
        msg = f"`filepath`: {path} exists: pass overwrite=True to replace it, or another name."
        raise FileExistsError(msg)


def _check_built(model: Sequential, action: str) -> None:
    """Refuse a model that has no weights yet."""
    if not model.built:
        msg = (
            f"You are {action} that has not yet been built. Try building the model first by "
            "calling it on some data or by using `build()`."
        )
        raise ValueError(msg)
