"""``minisgd parity``: one comparison with Keras, with its table, its record and its exit code."""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from minisgd.parity import free_running, lockstep
from minisgd.parity.environment import ReferenceUnavailableError, describe, load_reference
from minisgd.parity.probe import Mode, measured_mode
from minisgd.parity.report import Ledger, Summary
from minisgd.parity.scripts import SCRIPTS
from minisgd.utils.progbar import write_line

FORM = 1  # of the JSON file
AGREED, DIVERGED, NOT_COMPARED, INTERRUPTED = 0, 1, 2, 130
_WIDTH = 80  # the table is never narrower: a number cut short is wrong
_HEADINGS = ("compared", "bits differ", "absolute", "relative", "ulp")


@dataclass(frozen=True)
class Options:
    """What `minisgd parity` was asked for; see its help."""

    script: int
    seed: int
    epochs: int
    batch_size: int
    lockstep: bool
    require_bits: bool


class JsonFile:
    """A file that is written whole at the end, or not at all.

    Parameters
    ----------
    path : Path or None
        Where; None writes nothing.

    Raises
    ------
    OSError
        If nothing can be written there.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        if path is None:
            return
        if path.exists() and not path.is_file():
            raise OSError(f"{path} is not a regular file")
        if path.exists() and not os.access(path, os.W_OK):
            raise OSError(f"{path} cannot be written: it is read-only")
        self._draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            self._draft.touch()
        except OSError as error:
            raise OSError(f"{path} cannot be written: {error.strerror}") from error

    def __enter__(self) -> JsonFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._path is not None:
            self._draft.unlink(missing_ok=True)

    def write(self, content: dict[str, Any]) -> None:
        """Write the file, in place of one that was there."""
        if self._path is None:
            return
        text = json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False)
        self._draft.write_text(text + "\n", encoding="utf-8")
        os.replace(self._draft, self._path)
        write_line(f"Written: {self._path}")


def run(options: Options, file: JsonFile) -> int:
    """Compare, print, record.

    Parameters
    ----------
    options : Options
        What to compare.
    file : JsonFile
        Takes the results.

    Returns
    -------
    int
        0 if all agree, 1 if they diverge (or equality was required and is not demanded here),
        2 if nothing could be compared, 130 after Ctrl-C.
    """
    with file:
        record: dict[str, Any] = {"form": FORM, "options": asdict(options)}
        try:
            code = _compare(options, record)
        except KeyboardInterrupt:
            write_line("\nInterrupted: the comparison was not finished, nothing is recorded.")
            return INTERRUPTED
        except ReferenceUnavailableError as error:
            code = _not_compared(record, str(error))
        except BrokenPipeError:
            # As in `minisgd parity | head`: nobody reads on, nor will at the end of Python.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = _not_compared(record, "standard output was closed")
        except MemoryError:
            code = _not_compared(record, "not enough memory")
        except Exception as error:
            traceback.print_exc()
            code = _not_compared(record, f"{type(error).__name__}: {error}")
        try:
            file.write({**record, "exit_code": code})
        except OSError as error:
            click.echo(f"minisgd parity: the record could not be written: {error}", err=True)
            return NOT_COMPARED if code == AGREED else code
        return code


def _not_compared(record: dict[str, Any], message: str) -> int:
    record["error"] = message
    click.echo(f"minisgd parity: could not compare: {message}", err=True)
    return NOT_COMPARED


def _compare(options: Options, record: dict[str, Any]) -> int:
    """Print the header, compare, print the results, and fill the record."""
    environment = describe()
    record["environment"] = environment.as_dict()
    for line in (_heading(options), *str(environment).split("; ")):
        write_line(line)
    with warnings.catch_warnings():
        # Keras advises against the `input_shape=` of the scripts.
        warnings.filterwarnings("ignore", message="Do not pass an `input_shape`")
        with _quiet_standard_error():
            load_reference()
        console = Console(width=max(_WIDTH, Console().width))
        with _ProgressBar(console) as watch:
            watch("probe", 0, 1)
            mode = measured_mode()
            watch("probe", 1, 1)
            record["mode"] = asdict(mode)
            watch.say(f"mode: {mode}")
            if options.require_bits and not mode.bits:
                message = f"--require-bits, but equality is not demanded here: {mode.reason}"
                record["failures"] = [message]
                watch.say(f"FAILED: {message}")
                return DIVERGED
            compare = lockstep.run if options.lockstep else free_running.run
            ledger = compare(
                SCRIPTS[options.script],
                options.seed,
                bits=mode.bits,
                epochs=options.epochs,
                batch_size=options.batch_size,
                watch=watch,
            )
    console.print(table(ledger))
    for line in closing(ledger, mode):
        write_line(line)
    record |= results(ledger)
    return AGREED if ledger.passed else DIVERGED


def _heading(options: Options) -> str:
    script = SCRIPTS[options.script]
    epochs = "1 epoch" if options.epochs == 1 else f"{options.epochs} epochs"
    way = "in lockstep" if options.lockstep else "free-running"
    return (
        f"minisgd beside Keras: script {script.number} ({script.title}), seed {options.seed}, "
        f"{epochs} in batches of {options.batch_size}, {way}"
    )


def table(ledger: Ledger) -> Table:
    """Return one row a kind of tensor: values compared, that differ, and the largest differences.

    Parameters
    ----------
    ledger : Ledger
        All comparisons.
    """
    made = Table(caption="absolute, relative, ulp: the largest difference", caption_justify="left")
    made.add_column("tensor", overflow="fold")
    for heading in _HEADINGS:
        made.add_column(heading, justify="right", no_wrap=True)
    for name, summary in ledger.summaries.items():
        made.add_row(name, *_cells(summary), style="yellow" if summary.differing else None)
    return made


def _cells(summary: Summary) -> list[str]:
    return [
        f"{summary.compared:,}",
        f"{summary.differing:,}",
        *(f"{value:.2g}" for value in (summary.max_abs, summary.max_rel)),
        f"{summary.max_ulp:,}" if summary.max_ulp < 10**7 else f"{float(summary.max_ulp):.2g}",
    ]


def closing(ledger: Ledger, mode: Mode) -> list[str]:
    """Return the outcome in words: the first divergence, other failures, events.

    Parameters
    ----------
    ledger : Ledger
        All comparisons.
    mode : Mode
        What was demanded.
    """
    lines = [f"DIVERGED: {ledger.divergence}"] if ledger.divergence else []
    lines += [f"FAILED: {failure}" for failure in ledger.failures]
    lines += ledger.events
    if not ledger.passed:
        return lines
    compared = sum(summary.compared for summary in ledger.summaries.values())
    differing = sum(summary.differing for summary in ledger.summaries.values())
    if mode.bits:
        return [*lines, f"All {compared:,} values compared are equal in bits."]
    return [
        *lines,
        "All within tolerances, which is less than equality: "
        f"{differing:,} of {compared:,} values differ in bits.",
    ]


def results(ledger: Ledger) -> dict[str, Any]:
    """Return the outcome as plain values, for JSON.

    Parameters
    ----------
    ledger : Ledger
        All comparisons.
    """
    return {
        "table": [
            {
                "tensor": name,
                "compared": summary.compared,
                "differing": summary.differing,
                "max_abs": summary.max_abs,
                "max_rel": summary.max_rel,
                "max_ulp": summary.max_ulp,
            }
            for name, summary in ledger.summaries.items()
        ],
        "first_divergence": ledger.divergence.as_dict() if ledger.divergence else None,
        "failures": ledger.failures,
        "events": ledger.events,
    }


class _ProgressBar:
    """How far the comparison has come: a bar on a terminal, a line a phase anywhere else."""

    def __init__(self, console: Console) -> None:
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
        self._phase = ""
        self._task: Any = None

    def __enter__(self) -> _ProgressBar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Take note of one step; see `minisgd.parity.scripts.Watch`."""
        if self._bar is None:
            if done == total:
                write_line(f"{phase}: done" if total == 1 else f"{phase}: {total:,} steps")
            return
        if phase != self._phase:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._phase, self._task = phase, self._bar.add_task(phase, total=total)
        self._bar.update(self._task, completed=done, total=total)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            write_line(text)
        else:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _quiet_standard_error() -> Iterator[None]:
    """Keep from the terminal what TensorFlow's C++ code prints while it is loaded."""
    sys.stderr.flush()
    try:
        saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:  # no standard error at all
        yield
        return
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _plain(value: Any) -> Any:
    """`value` with text for every infinity and NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
