"""Arguments of `fit` that are counts: checked before anything else happens."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd.data.arrays import positive_int, whole_number
from minisgd.utils.warn import warn_user


def checked_counts(
    epochs: Any,
    initial_epoch: Any,
    steps_per_epoch: Any = None,
    validation_steps: Any = None,
    validation_batch_size: Any = None,
    validation_freq: Any = 1,
) -> tuple[int, int]:
    """`epochs` and `initial_epoch` as ints of at least 0; the others are at least 1, or None.

    With ``epochs=0`` nothing is trained and the History is empty. A warning says so where that
    can't be meant: if `initial_epoch` is beyond `epochs`. (Keras does nothing, in silence.)

    Raises
    ------
    TypeError, ValueError
        If one is no whole number, or too small. `validation_freq` may be a list of epochs.
    """
    optional = {
        "steps_per_epoch": steps_per_epoch,
        "validation_steps": validation_steps,
        "validation_batch_size": validation_batch_size,
    }
    for name, value in optional.items():
        positive_int(value, name, 1)
    _check_frequency(validation_freq)
    epochs = whole_number(epochs, "epochs", 0)
    initial_epoch = whole_number(initial_epoch, "initial_epoch", 0)
    if initial_epoch > epochs > 0:
        warn_user(
            f"`initial_epoch`: expected at most `epochs`={epochs}, received {initial_epoch}:"
            " nothing is trained. `epochs` is the number of the last epoch, not how many follow."
        )
    return epochs, initial_epoch


def _check_frequency(frequency: Any) -> None:
    """Refuse a `validation_freq` that is no positive int and no list of epochs, from 1 on."""
    if isinstance(frequency, list | tuple | set):
        for epoch in frequency:
            positive_int(epoch, "validation_freq")
        return
    try:
        positive_int(frequency, "validation_freq")
    except TypeError as error:  # Keras has a ValueError here
        raise ValueError(f"{error}, or a list of them") from None


def is_due(epoch: int, frequency: Any) -> bool:
    """Whether to evaluate after this epoch (counted from 0)."""
    if isinstance(frequency, int | np.integer):
        return (epoch + 1) % int(frequency) == 0
    return epoch + 1 in frequency
