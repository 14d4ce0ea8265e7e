"""The table of `Sequential.summary` (Keras: utils/summary_utils.py), through rich."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minisgd.tensor import Variable

_POSITIONS = (0.45, 0.8, 1.0)  # where the columns end, as shares of the width
_HEADER = ("Layer (type)", "Output Shape", "Param #")


def readable_size(size: float) -> str:
    """Bytes with a unit.

    >>> readable_size(407080)
    '397.54 KB'
    """
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.2f} {unit}"
        size /= 1024
    raise AssertionError  # pragma: no cover  # the last unit takes all


def _counts(variables: Sequence[Variable]) -> tuple[int, int]:
    """Number of elements and of bytes."""
    elements = sum(v.size for v in variables)
    return elements, sum(v.size * v.dtype.itemsize for v in variables)


def _rows(layers: Any, expand_nested: bool, level: int = 0) -> Iterator[list[str]]:
    """Name, output shape, number of parameters and "Y", "N" or "-" of each layer."""
    prefix = "   " * level + "└ " if level else ""
    for layer, shape in layers:
        text = "?" if shape is None else f"({', '.join(str(n) for n in shape)})"
        params = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
        trainable = ("Y" if layer.trainable else "N") if layer.weights else "-"
        yield [f"{prefix}{layer.name} ({type(layer).__name__})", text, params, trainable]
        if expand_nested and hasattr(layer, "output_shapes"):
            inner = zip(layer.layers, layer.output_shapes(), strict=True)
            yield from _rows(inner, expand_nested, level + 1)


def _listed(layers: Sequence[Any], layer_range: Any) -> tuple[int, int]:
    """The first layer to list, and the one behind the last.

    References
    ----------
    Keras, ``get_layer_index_bound_by_layer_name`` (utils/summary_utils.py).
    """
    if layer_range is None:
        return 0, len(layers)
    if len(layer_range) != 2:
        msg = (
            "layer_range must be a list or tuple of length 2. Received: "
            f"layer_range = {layer_range} of length {len(layer_range)}"
        )
        raise ValueError(msg)
    if not all(isinstance(name, str) for name in layer_range):
        raise ValueError(f"layer_range should contain string type only. Received: {layer_range}")
    lower, upper = (
        [i for i, layer in enumerate(layers) if re.match(name, layer.name)] for name in layer_range
    )
    if not lower or not upper:
        msg = (
            f"Passed layer_names do not match the layer names in the model. Received: {layer_range}"
        )
        raise ValueError(msg)
    if min(lower) > max(upper):
        return min(upper), max(lower) + 1
    return min(lower), max(upper) + 1


def print_summary(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> None:
    """Print the layers with their output shapes and numbers of parameters.

    Parameters
    ----------
    model : Sequential
    line_length : int, optional
        Width in characters; by default that of the terminal, 88 at most.
    positions : list of float, optional
        Where the columns end, as shares of the width.
    print_fn : callable, optional
        Called once with the whole text instead of printing it.
    expand_nested : bool
        List the layers of a model inside the model, too.
    show_trainable : bool
        A column more: whether the weights take part in training.
    layer_range : (str, str), optional
        Regular expressions for the names of the first and the last layer to list.

    Raises
    ------
    ValueError
        If a column would be narrower than 4 characters, or no layer has such a name.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    ends = list(positions or _POSITIONS)
    header, alignment, default_length = list(_HEADER), ["left", "left", "right"], 88
    if show_trainable:
        default_length += 12
        ends = [p * 0.90 for p in ends] + [1.0]
        header.append("Trainable")
        alignment.append("center")
    width = line_length or min(default_length, shutil.get_terminal_size().columns - 4)
    columns = [int(p * width) for p in ends]
    widths = [end - start for start, end in zip([0, *columns], columns, strict=False)]
    if len(widths) != len(header) or min(widths) < 4:
        msg = (
            "Insufficient console width to print summary. `line_length`, `positions`: expected "
            f"{len(header)} columns of at least 4 characters, received {widths}"
        )
        raise ValueError(msg)
    table = Table(
        *(
            Column(name, width=w, justify=justify)  # type: ignore[arg-type]
            for name, w, justify in zip(header, widths, alignment, strict=True)
        ),
        width=width,
        show_lines=True,
    )
    rows = list(zip(model.layers, model.output_shapes(), strict=True))
    first, last = _listed(model.layers, layer_range)
    for name, *cells in _rows(rows[first:last], expand_nested):
        table.add_row(escape(name), *(cells if show_trainable else cells[:-1]))

    optimizer = getattr(model, "optimizer", None)
    state = optimizer.variables if optimizer is not None and optimizer.built else []
    lines = [
        ("Total params", [*model.weights, *state]),
        ("Trainable params", model.trainable_weights),
        ("Non-trainable params", model.non_trainable_weights),
    ]
    if state:
        lines.append(("Optimizer params", state))

    plain: Any = {"force_terminal": False, "color_system": None} if print_fn else {}
    console = Console(highlight=False, width=max(width, 80), **plain)
    if print_fn:
        console.begin_capture()
    console.print(f'[bold]Model: "{escape(model.name)}"[/bold]')
    console.print(table)
    for label, variables in lines:
        elements, size = _counts(variables)
        console.print(f"[bold] {label}: [/bold]{elements:,} ({readable_size(size)})")
    if print_fn:
        print_fn(console.end_capture())
