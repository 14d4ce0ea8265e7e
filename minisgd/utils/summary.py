"""The table of `Sequential.summary` (Keras: utils/summary_utils.py), through rich."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
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


def print_summary(
    model: Any, line_length: int | None = None, print_fn: Callable[[str], Any] | None = None
) -> None:
    """Print the layers with their output shapes and numbers of parameters.

    Parameters
    ----------
    model : Sequential
    line_length : int, optional
        Width in characters; by default that of the terminal, 88 at most.
    print_fn : callable, optional
        Called once with the whole text instead of printing it.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    width = line_length or min(88, shutil.get_terminal_size().columns - 4)
    ends = [int(p * width) for p in _POSITIONS]
    widths = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    if min(widths) < 4:
        msg = f"`line_length`: expected at least 40 characters, received {width}"
        raise ValueError(msg)
    table = Table(
        *(
            Column(name, width=w, justify="right" if name == "Param #" else "left")
            for name, w in zip(_HEADER, widths, strict=True)
        ),
        width=width,
        show_lines=True,
    )
    for layer, shape in zip(model.layers, model.output_shapes(), strict=True):
        text = "?" if shape is None else f"({', '.join(str(n) for n in shape)})"
        params = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
        table.add_row(escape(f"{layer.name} ({type(layer).__name__})"), text, params)

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
