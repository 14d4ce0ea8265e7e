"""``minisgd info``: what a run here depends on."""

from __future__ import annotations

import json

import click

from minisgd import __version__, compiler, numerics
from minisgd.utils import machine
from minisgd.utils.progbar import write_line


@click.command("info", short_help="Show versions, processor, threads and cache.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def command(as_json: bool) -> None:
    """Show versions, processor, order of rounding, threads and the cache of compiled kernels."""
    rows: dict[str, str | int | float] = {
        **machine.versions(__version__),
        **machine.optional_versions(),
    }
    rows |= {f"cpu {key.replace('_', ' ')}": value for key, value in machine.cpu().items()}
    rows |= {
        "system": machine.system(),
        "threads": _threads(),
        "numerics": f"{numerics.DEFAULT.name} ({numerics.DEFAULT.setting})",
        "parity": _parity(),
        "kernel cache": machine.kernel_cache(),
        "kernel cache MB": machine.kernel_cache_megabytes(),
    }
    if as_json:
        keys = {name.replace(" ", "_"): value for name, value in rows.items()}
        write_line(json.dumps(keys, indent=1))
        return
    width = max(map(len, rows))
    for name, value in rows.items():
        write_line(f"{name:<{width}}  {value}")


def _threads() -> int:
    """How many threads a compiled step takes."""
    try:
        return compiler.get_threads()
    except ValueError as error:  # the environment variable holds no number
        raise click.ClickException(str(error)) from error


def _parity() -> str:
    """What `minisgd parity` can be expected to demand; it measures before it decides."""
    from minisgd.parity import environment

    deviations = environment.describe().deviations()
    if deviations:
        return f"equality of bits is not promised here: {', '.join(deviations)}"
    return "equality of bits (the reference setup)"
