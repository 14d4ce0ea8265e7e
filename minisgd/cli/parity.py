"""``minisgd parity``: its options; `minisgd.parity.command` does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("parity", short_help="Train beside Keras and compare to the last bit.")
@click.option(
    "--script",
    type=click.IntRange(1, 3),
    default=1,
    metavar="1|2|3",
    help="1: SGD at 0.01; 2: with momentum 0.9; 3: at 0.1, scheduled.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N", help="Seed of both."
)
@click.option("--epochs", type=click.IntRange(min=1), default=1, metavar="N", help="Passes.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=32, metavar="N", help="Images in a step."
)
@click.option(
    "--lockstep/--free-running",
    default=False,
    help="Compare all values of single steps, each from Keras's weights, or whole runs of fit.",
)
@click.option(
    "--require-bits", is_flag=True, help="Fail where tolerances would take the place of equality."
)
@click.option(
    "--json",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the results there, too.",
)
def command(path: Path | None, **choices: Any) -> None:
    """Train beside Keras on the bundled MNIST and compare to the last bit.

    Needs Keras and TensorFlow. Exit code 0: all agree; 1: they diverge; 2: could not compare.
    """
    from minisgd.parity import command as comparison

    try:
        file = comparison.JsonFile(path)
    except OSError as error:
        raise click.BadParameter(str(error), param_hint="'--json'") from error
    click.get_current_context().exit(comparison.run(comparison.Options(**choices), file))
