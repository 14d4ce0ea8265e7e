"""What the commands of ``minisgd`` have in common: errors of one line, numbers in their range."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
import numpy as np

INTERRUPTED = 130  # what shells report for a program that Ctrl-C ended


class OneLineErrors(click.Group):
    """A group whose errors are one line each, without the usage."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command; see `click.Command.main`."""
        run = super().main
        if not standalone_mode:
            return run(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code = run(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            command = context.command_path if context is not None else "minisgd"
            message = " ".join(error.format_message().split())
            hint = f" (see {command} --help)" if isinstance(error, click.UsageError) else ""
            click.echo(f"{command}: {message}{hint}", err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)


class Number(click.FloatRange):
    """A number in a range that float32 can hold; click lets NaN pass."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse and check."""
        number = float(super().convert(value, param, ctx))
        if not abs(number) <= float(np.finfo(np.float32).max):
            self.fail(f"{value} is not a finite float32 number.", param, ctx)
        return number
