"""From the arrays a user passes to `fit` to batches in the right order."""

from minisgd.data.arrays import ArrayData, as_data_array, split_for_validation
from minisgd.data.checks import NumericsWarning, NumericsWatch
from minisgd.data.epochs import EpochIterator, Span

__all__ = [
    "ArrayData",
    "EpochIterator",
    "NumericsWarning",
    "NumericsWatch",
    "Span",
    "as_data_array",
    "split_for_validation",
]
