"""``minisgd info``: what a run here depends on."""

from __future__ import annotations

import click

from minisgd import __version__
from minisgd.utils import machine
from minisgd.utils.progbar import write_line


@click.command("info")
def command() -> None:
    """Show versions, processor and the folder of compiled kernels."""
    rows = [*machine.versions(__version__).items()]
    rows += [(f"cpu {key.replace('_', ' ')}", value) for key, value in machine.cpu().items()]
    rows += [("system", machine.system())]
    rows += [("kernel cache", machine.kernel_cache())]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        write_line(f"{name:<{width}}  {value}")
