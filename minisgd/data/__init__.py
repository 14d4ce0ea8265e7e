"""From the data that a user passes to `fit` to batches in the right order."""

from minisgd.data.adapters import Epochs, epochs_of, split_off, validation_epochs
from minisgd.data.arrays import ArrayData, as_data_array, split_for_validation
from minisgd.data.checks import NumericsWarning, NumericsWatch
from minisgd.data.convert import naming
from minisgd.data.epochs import EpochIterator, Span
from minisgd.data.stream_epochs import StreamIterator

__all__ = [
    "ArrayData",
    "EpochIterator",
    "Epochs",
    "NumericsWarning",
    "NumericsWatch",
    "Span",
    "StreamIterator",
    "as_data_array",
    "epochs_of",
    "naming",
    "split_for_validation",
    "split_off",
    "validation_epochs",
]
