"""The command ``minisgd``: train on MNIST, use what was trained, compare with Keras, and more.

Wrong options end with one line and exit code 2, what can't be done with 1 (in ``parity``, where 1
says that the two diverged, with 2), Ctrl-C with 130.
"""

from __future__ import annotations

import click

from minisgd import __version__
from minisgd.cli import evaluate, explain, info, parity, predict, train
from minisgd.utils.command_line import OneLineErrors


@click.group(
    cls=OneLineErrors,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, prog_name="minisgd", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """See what happens inside Keras's model.fit: train a small network with SGD."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for module in (evaluate, explain, info, parity, predict, train):
    main.add_command(module.command)
