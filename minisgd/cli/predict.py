"""``minisgd predict``: which digits pictures show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from minisgd.cli import images, saved
from minisgd.tensor import Array
from minisgd.utils.progbar import encodable, write_line

_WIDTH = 80  # of the table where there is no terminal


@dataclass(frozen=True)
class Digit:
    """One image and what the model takes it for."""

    file: str
    index: int
    probabilities: Array

    @property
    def order(self) -> list[int]:
        """All digits, the most likely first."""
        return [int(d) for d in np.argsort(-self.probabilities, kind="stable")]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        digit = self.order[0]
        return {
            "file": self.file,
            "index": self.index,
            "digit": digit,
            "probability": float(self.probabilities[digit]),
            "probabilities": [float(p) for p in self.probabilities],
        }


@click.command("predict")
@saved.argument
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--invert/--no-invert",
    default=None,
    help="Whether the files are black on white.  [default: the border of a picture tells; arrays "
    "are not]",
    show_default=False,
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(model: Path, files: tuple[Path, ...], invert: bool | None, as_json: bool) -> None:
    """Tell which digits FILES show, and how sure MODEL is.

    MODEL is a .keras file, minisgd's or Keras's, or the folder of a run of `minisgd train`.

    FILES are pictures of one digit each (PNG, JPEG, BMP; they need `pip install 'minisgd[images]'`)
    or .npy arrays of shape (28, 28), (784,), (N, 28, 28) or (N, 784), whole numbers from 0 to 255
    or floats from 0 to 1.

    MNIST's digits are white on black, 28 x 28 pixels. Pictures with a light border are inverted.
    Pictures of another size are cut to what is drawn, scaled into 20 x 20 pixels and centred by
    mass, as MNIST was made.
    """
    loaded = saved.load(model)
    found = [digit for file in files for digit in _digits(loaded, file, invert)]
    if as_json:
        write_line(json.dumps([digit.as_dict() for digit in found], indent=1, allow_nan=False))
    else:
        _show(found)


def _digits(model: Any, file: Path, invert: bool | None) -> list[Digit]:
    """What the model sees in a file."""
    try:
        pixels = images.read(file, invert)
    except (ImportError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="'FILES'") from error
    likely = saved.probabilities(model, pixels)
    if not np.isfinite(likely).all():
        raise click.ClickException("the model's predictions are not finite: its training diverged")
    return [Digit(str(file), index, row) for index, row in enumerate(likely)]


def _show(digits: list[Digit]) -> None:
    """A table, one row a digit."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    several = len({digit.file for digit in digits}) < len(digits)
    table = Table()
    table.add_column("file", overflow="fold")
    if several:
        table.add_column("image", justify="right")
    for heading in ("digit", "probability", "else"):
        table.add_column(heading, justify="right", no_wrap=True)
    for digit in digits:
        first, second = digit.order[:2]
        sure, less = (digit.probabilities[d] for d in (first, second))
        cells = [str(first), f"{100 * sure:.2f} %", f"{second}: {100 * less:.2f} %"]
        if several:
            cells.insert(0, str(digit.index))
        table.add_row(encodable(digit.file), *cells)
    console.print(table, markup=False, highlight=False)
