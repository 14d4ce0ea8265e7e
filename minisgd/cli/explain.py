"""``minisgd explain``: one training step, before and after the compiler."""

from __future__ import annotations

import shutil
import sys

import click
import numpy as np

from minisgd import compiler
from minisgd.cli.data import CLASSES, PIXELS
from minisgd.cli.train import Options, compiled_model
from minisgd.utils.command_line import Number
from minisgd.utils.progbar import write_line


@click.command("explain", short_help="Print a training step, eager and compiled.")
@click.option(
    "--hidden", type=click.IntRange(1, 2**16), default=128, metavar="N", help="As in `train`."
)
@click.option("--momentum", type=Number(0, 1), default=0.0, metavar="X", help="As in `train`.")
@click.option("--nesterov", is_flag=True, help="As in `train`.")
def command(hidden: int, momentum: float, nesterov: bool) -> None:
    """Print the kernel calls of one training step beside the function that `fit` makes of them."""
    model = compiled_model(Options(1, 32, 0.01, momentum, nesterov, hidden, 0, "", 0))
    x = np.zeros((32, PIXELS), np.float32)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in compiler.explain(model, x, np.eye(32, CLASSES, dtype=np.float32), width):
        write_line(line)
