"""Whole models as ``.keras`` files: configuration, weights, optimizer and its state.

A ZIP archive with three members, stored as they are: ``metadata.json``, ``config.json``
(`minisgd.saving.serialization`) and ``model.weights.h5`` (`minisgd.saving.weights`).
"""

from __future__ import annotations

import datetime
import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minisgd.saving.archive import CONFIG, METADATA, WEIGHTS, Archive
from minisgd.saving.atomic import replacing
from minisgd.saving.limits import weight_budget
from minisgd.saving.serialization import (
    deserialize_keras_object,
    object_sharing,
    serialize_keras_object,
)
from minisgd.saving.weights import (
    checked_path,
    largest_file,
    match_weights,
    refuse_existing,
    weights_file,
)

if TYPE_CHECKING:
    from minisgd.models import Sequential

_SUFFIX = ".keras"
_KERAS = "3.15.1"  # whose format this is


def save_model(
    model: Sequential,
    filepath: str | os.PathLike[str],
    overwrite: bool = True,
    zipped: bool | None = None,
) -> None:
    """Write a model to a file that `load_model`, minisgd's and Keras's, makes it from again.

    The file appears under its name only when it is complete.

    Parameters
    ----------
    model : Sequential
    filepath : str or path-like
        Must end in ``.keras``.
    overwrite : bool
        Whether an existing file may be replaced.
    zipped : bool, optional
        Only True (or None), Keras's default; folders are not supported.

    Raises
    ------
    ValueError
        If the name ends otherwise.
    TypeError
        If a part of the model has no ``get_config``.
    FileExistsError
        If the file exists and `overwrite` is False. (Keras asks on the terminal.)
    FileNotFoundError
        If the folder does not exist.

    Warns
    -----
    UserWarning
        If the model is not built, and so has no weights yet; of a lambda.

    Notes
    -----
    As in Keras, the positions of Dropout layers in their streams are not in the file: a Dropout
    with a seed starts it anew, one without draws a new seed.

    References
    ----------
    Keras, ``keras.saving.save_model`` (saving/saving_lib.py).
    """
    complaint = "Invalid filepath extension for saving. Please add a `.keras` extension."
    path = checked_path(filepath, (_SUFFIX,), complaint)
    if zipped is False:
        raise NotImplementedError("`zipped`: expected True; minisgd writes no folders.")
    refuse_existing(path, overwrite)
    if not model.built:
        warnings.warn(
            "You are saving a model that has not yet been built. It might not contain any weights "
            "yet. Consider building the model first by calling it on some data.",
            stacklevel=3,
        )
    contents = _contents(model)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, data in contents.items():
            with archive.open(name, "w") as member:
                member.write(data)


def _contents(model: Sequential) -> dict[str, bytes]:
    """Members of the archive, in Keras's order."""
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    metadata = {"keras_version": _KERAS, "date_saved": now}
    return {
        METADATA: json.dumps(metadata).encode(),
        CONFIG: json.dumps(serialize_keras_object(model)).encode(),
        WEIGHTS: weights_file(model),
    }


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,  # noqa: A002  # Keras's name
    safe_mode: bool = True,
) -> Any:
    """Model from a ``.keras`` file, minisgd's or Keras's.

    Parameters
    ----------
    filepath : str or path-like
        Must end in ``.keras``.
    custom_objects : dict, optional
        Classes and functions of your own by name.
    compile : bool
        Compile it as it was, and restore the optimizer's state.
    safe_mode : bool
        False lets lambdas in: code that the file's author has written.

    Raises
    ------
    ValueError
        If there is no such file, it is no ``.keras`` file, it is damaged (`UnreadableFileError`, an
        OSError as well), it names a class or function that is not known (`UnknownObjectError`, a
        TypeError as well), or its weights do not fit its configuration.

    Notes
    -----
    A file can't run code, be written to another place, or make the process allocate more than a
    hundred times its size, whoever made it; see `minisgd.saving.archive` and
    `minisgd.saving.hdf5`.

    References
    ----------
    Keras, ``keras.saving.load_model`` (saving/saving_api.py, saving/saving_lib.py).
    """
    complaint = (
        "File format not supported: expected a `.keras` file. (For weights alone, make the model "
        "and call `load_weights`.)"
    )
    path = checked_path(filepath, (_SUFFIX,), complaint)
    if not path.is_file():
        msg = (
            f"File not found: filepath={path}. Please ensure the file is an accessible `.keras` "
            "zip file."
        )
        raise ValueError(msg)
    with Archive(path) as archive:
        config = archive.config()
        if not isinstance(config, dict):
            raise archive.refuse(f"holds a {CONFIG} that is no object")
        if not compile:
            config["compile_config"] = None
        # The weights have to be in the file, and a weights file is larger than its arrays.
        with weight_budget(archive.weights_size()):
            model = _from_config(archive, config, custom_objects, safe_mode)
        weights = archive.weights(largest_file(model))
    match_weights(model, weights, f"{path} ({WEIGHTS})").assign(stacklevel=3)
    return model


def _from_config(
    archive: Archive, config: dict[str, Any], custom_objects: Any, safe_mode: bool
) -> Any:
    """Model with new weights."""
    try:
        with object_sharing():
            model = deserialize_keras_object(config, custom_objects, safe_mode)
    except RecursionError as error:
        raise archive.refuse(f"holds a {CONFIG} that is nested too deeply") from error
    except MemoryError as error:
        raise archive.refuse(f"holds a {CONFIG} of a model too large for the memory") from error
    if not hasattr(model, "layers") or not hasattr(model, "optimizer"):
        raise archive.refuse(f"holds no model but {type(model).__name__}")
    return model


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Model with new weights from what `Sequential.to_json`, minisgd's or Keras's, returned.

    Raises
    ------
    ValueError
        If it is no JSON, or names a class that is not known.

    References
    ----------
    Keras, ``keras.models.model_from_json`` (models/model.py).
    """
    try:
        config = json.loads(json_string)
    except RecursionError as error:
        raise ValueError("`json_string`: nested too deeply") from error
    return deserialize_keras_object(config, custom_objects)


def clone_model(model: Sequential, clone_function: Any = None, input_tensors: None = None) -> Any:
    """Model with the same layers and new weights; compiled as the other one is.

    Parameters
    ----------
    model : Sequential
    clone_function : callable, optional
        Makes a layer from a layer; by default from its configuration.
    input_tensors : None
        As in Keras, but only None.

    References
    ----------
    Keras, ``keras.models.clone_model`` (models/cloning.py).
    """
    if not hasattr(model, "layers"):
        msg = f"Expected `model` argument to be a `Sequential` instance. Received: model={model}"
        raise ValueError(msg)
    if input_tensors is not None:
        raise NotImplementedError("`input_tensors`: expected None; there are no symbolic tensors.")
    if clone_function is not None and not callable(clone_function):
        msg = (
            "Expected `clone_function` argument to be a callable. Received: "
            f"clone_function={clone_function}"
        )
        raise ValueError(msg)
    return model._clone(clone_function or _clone_layer)


def _clone_layer(layer: Any) -> Any:
    return type(layer).from_config(layer.get_config())
