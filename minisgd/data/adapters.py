"""Choose how the data of `fit`, `evaluate` and `predict` are read (Keras: ``get_data_adapter``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minisgd.data.arrays import (
    ArrayData,
    Arrays,
    as_data_array,
    check_shuffle,
    positive_int,
    split_for_validation,
)
from minisgd.data.convert import is_list_of_batches, is_sparse
from minisgd.data.epochs import EpochIterator
from minisgd.data.stream_epochs import StreamIterator
from minisgd.data.streams import (
    Generator,
    IndexedData,
    Stream,
    TensorFlowData,
    TorchLoader,
    is_torch_dataset,
)
from minisgd.utils.warn import warn_user

Epochs = EpochIterator | StreamIterator

_KINDS: tuple[Any, ...] = (TensorFlowData, TorchLoader, Generator, IndexedData)


def epochs_of(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    steps: int | None = None,
    shuffle: bool | str = False,
    class_weight: Mapping[Any, float] | None = None,
    reshuffle: bool = False,
    only_x: bool = False,
) -> Epochs:
    """Epochs over whatever `x` is: arrays with their labels, or a source of whole batches.

    Raises
    ------
    TypeError, ValueError
        If it is nothing that can be read, or comes with arguments that it does not go with.

    Warns
    -----
    UserWarning
        If `shuffle` is asked for and the source alone knows the order.
    """
    kind = stream_kind(x)
    if kind is None:
        arrays = ArrayData(x, y, sample_weight, batch_size, steps, shuffle, class_weight, reshuffle)
        return EpochIterator(arrays, steps)
    check_shuffle(shuffle)
    positive_int(batch_size, "batch_size", 32)  # not used, as in Keras
    name = kind.kind
    article = "an" if name[0] in "aeiou" else "a"
    for argument, what, value in (
        ("y", "the targets", y),
        ("sample_weights", "the sample weights", sample_weight),
    ):
        if value is not None:
            msg = (
                f"When providing `x` as {article} {name}, `{argument}` should not be passed. "
                f"Instead, {what} should be included as part of the {name}."
            )
            raise ValueError(msg)
    if class_weight is not None and not kind.takes_class_weight:
        name = "Python generator" if kind is Generator else name
        msg = (
            f"Argument `class_weight` is not supported for {name} inputs. Received: class_weight="
            f"{class_weight}; let it yield (x, y, sample_weight)."
        )
        raise ValueError(msg)
    data = kind(x, shuffle, class_weight, only_x)
    if shuffle and data.ignores_shuffle:
        warn_user(
            "`shuffle=True` was passed, but will be ignored since the data `x` was provided as "
            f"{kind.provided_as or f'{article} {name}'}. {kind.why_not_shuffled}",
        )
    return StreamIterator(data, steps)


def stream_kind(x: Any) -> type[Stream] | None:
    """The class that reads `x` batch by batch; None if it is an array, or nothing at all.

    Raises
    ------
    ValueError
        For a PyTorch `Dataset`, whose items are samples and no batches.
    """
    if is_list_of_batches(x):
        return Stream
    if is_torch_dataset(x):
        msg = (
            f"Unrecognized data type: x is of type {type(x).__name__}. `x`: expected batches, "
            "received a PyTorch Dataset, which has samples: wrap it in a DataLoader, "
            "torch.utils.data.DataLoader(x, batch_size=32)."
        )
        raise ValueError(msg)
    if isinstance(x, list | tuple | str | bytes | Mapping | set | type) or x is None:
        return None
    if hasattr(x, "__array__") or is_sparse(x):
        return None
    other = Stream if hasattr(x, "__iter__") else None
    return next((kind for kind in _KINDS if kind.takes(x)), other)


def validation_epochs(data: Any, batch_size: int | None, steps: int | None) -> Epochs:
    """Epochs over `validation_data`.

    Raises
    ------
    ValueError
        If it is a tuple of other than 1 to 3 items.
    """
    if isinstance(data, list) and not is_list_of_batches(data):
        data = tuple(data)
    if not isinstance(data, tuple):
        data = (data,)
    if not 1 <= len(data) <= 3:
        msg = (
            "Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`: "
            f"`validation_data`: received {len(data)} items."
        )
        raise ValueError(msg)
    x, y, sample_weight = (*data, None, None)[:3]
    return epochs_of(x, y, sample_weight, batch_size, steps)


def split_off(x: Any, y: Any, sample_weight: Any, fraction: float) -> tuple[Arrays, Arrays]:
    """Training and validation part, see `split_for_validation`.

    Raises
    ------
    ValueError
        If the data are no arrays.
    """
    if stream_kind(x) is not None:
        msg = (
            "Argument `validation_split` is only supported for tensors or NumPy arrays. Found "
            f"incompatible type in the input: [{type(x)}]; use `validation_data`."
        )
        raise ValueError(msg)
    named = {"x": x, "y": y, "sample_weight": sample_weight}
    arrays = [None if a is None and n != "x" else as_data_array(a, n) for n, a in named.items()]
    return split_for_validation(arrays, fraction)  # type: ignore[arg-type]
