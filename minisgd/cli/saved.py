"""A model of digits from a file: what ``evaluate`` and ``predict`` begin with."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np

from minisgd import models, ops, runs
from minisgd.cli.data import CLASSES, PIXELS
from minisgd.data.checks import NumericsWarning
from minisgd.tensor import Array

# The argument of both commands.
argument = click.argument("model", type=click.Path(path_type=Path))


def load(path: Path) -> Any:
    """Model from a ``.keras`` file, or from the folder of a run; it takes 784 pixels to 10 values.

    Raises
    ------
    click.BadParameter
        If there is none, or it is none for digits.
    """
    file = path / runs.MODEL if path.is_dir() else path
    try:
        model = models.load_model(file)
        shapes = model.input_shape, model.output_shape
    except (OSError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
        raise click.BadParameter(str(error), param_hint="'MODEL'") from error
    taken, given = (tuple(shape[1:]) for shape in shapes)
    if None in taken or math.prod(taken) != PIXELS or given != (CLASSES,):
        raise click.BadParameter(
            f"{file}: expected a model of digits, from {PIXELS} pixels to {CLASSES} values; "
            f"received one from {taken} to {given}",
            param_hint="'MODEL'",
        )
    return model


def shaped(model: Any, images: Array) -> Array:
    """Images as the model takes them: (N, 784), (N, 28, 28) or (N, 28, 28, 1)."""
    return images.reshape(len(images), *model.input_shape[1:])


def probabilities(model: Any, images: Array) -> Array:
    """Probability of each digit, float32, shape (N, 10).

    Outputs that are no probabilities (a row is not in [0, 1], or does not sum to 1) are logits.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericsWarning)  # the caller looks, and says it in a line
        outputs: Array = model.predict(shaped(model, images), verbose=0)
    sums = outputs.sum(-1)
    if (outputs >= 0).all() and np.allclose(sums, 1, atol=1e-3):
        return outputs
    return np.asarray(ops.softmax(outputs))
