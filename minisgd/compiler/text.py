"""Show a printed step: its text, with shapes; and the eager calls that it came from."""

from __future__ import annotations

import io
import re
from typing import Any

from minisgd.compiler import runner
from minisgd.compiler.record import Call, Shape, Times
from minisgd.compiler.threads import get_threads
from minisgd.compiler.trace import Program
from minisgd.data import ArrayData


def compiled_source(model: Any, kind: str = "train") -> str:
    """The function that `fit` (or "test": `evaluate`; "predict") runs, with the shapes in comments.

    Raises
    ------
    ValueError
        If no step of this kind has been recorded yet, or it can't be compiled.
    """
    if kind not in ("train", "test", "predict"):
        raise ValueError(f"`kind`: expected 'train', 'test' or 'predict', received {kind!r}")
    program, reason = runner.source(model, kind)
    if program is None:
        reason = (
            reason or f"no {kind} step has been recorded yet: call `fit`, `evaluate`, `predict`"
        )
        raise ValueError(f"There is no compiled source: {reason}.")
    head = f"# Not in use: {reason}.\n" if reason else ""
    if program.zeros:
        head += f"# In the latest call {program.zeros}.\n"
    lines = program.in_use.splitlines()
    return head + "\n".join(_annotated(line, program.step.shapes) for line in lines) + "\n"


def _annotated(line: str, shapes: dict[str, Shape]) -> str:
    """A line with the shape of what it computes; a fused one with those of what it works on."""
    found = re.match(r"\s+(\w+) = ", line)
    if found is not None and found[1] in shapes:
        return f"{line:<56}  # {shape_text(shapes[found[1]])}"
    if "(thread, threads, " not in line:
        return line
    names = dict.fromkeys(name for name in re.findall(r"\bt\d+\b", line) if shapes.get(name))
    return f"{line}  # {', '.join(f'{name} {shape_text(shapes[name])}' for name in names)}"


def shape_text(shape: Shape) -> str:
    """A shape as in ``(n, 128)``."""
    lengths = ", ".join(str(n) if isinstance(n, Times) else f"{n}" for n in shape)
    return f"({lengths}{',' * (len(shape) == 1)})" if shape else "a number"


_SIDE_BY_SIDE = 100  # columns of a terminal, from which on both sides fit
_NO_CALL = "# no call: nobody asks for it, or the data are read as they lie"

Row = tuple[list[str], list[str]]  # lines of eager calls, lines of the printed step


def explain(model: Any, x: Any, y: Any, width: int = 0) -> list[str]:
    """Lines that show a training step twice: the eager calls, and what `fit` runs instead of them.

    Parameters
    ----------
    model : Sequential
        Compiled.
    x, y : numpy.ndarray
        A batch.
    width : int
        Columns of the terminal; from 100 on the two stand side by side.
    """
    if not model.built:
        model.build((None, *x.shape[1:]))
    program = Program(model, "train", ArrayData(x, y))
    lines = ["One eager step, as it was recorded, and what `fit` makes of it:", ""]
    if not program.fused:
        lines += [f"    {_call(call)}" for call in _recorded(program)]
        lines += ["", f"(not fused: {program.not_fused})"]
    elif width >= _SIDE_BY_SIDE:
        lines += _side_by_side(_rows(program), width)
    else:
        for eager, printed in _rows(program):
            lines += [*(f"    {line}" for line in eager), *(f"      > {line}" for line in printed)]
    if program.fused:
        program.in_use = program.fused_text(get_threads())
    lines += ["", "The whole function:", ""]
    lines += [_annotated(line, program.step.shapes) for line in program.in_use.splitlines()]
    return lines


def _recorded(program: Program) -> list[Call]:
    step = program.step
    return [*step.calls, *step.metrics, *(call for calls in step.updates for call in calls)]


def _rows(program: Program) -> list[Row]:
    """Recorded calls beside the lines that stand for them."""
    rows: list[Row] = []
    shown: tuple[Call, ...] = ()
    for call, printed in program.fused_printer(get_threads()).statements():
        if call.origin == shown:  # one call that became two
            rows[-1][1].extend(printed)
        else:
            rows.append(([_call(eager) for eager in call.origin], list(printed)))
        shown = call.origin
    explained = {line for eager, _ in rows for line in eager}
    rest = [line for line in map(_call, _recorded(program)) if line not in explained]
    return [*rows, (rest, [_NO_CALL])] if rest else rows


def _side_by_side(rows: list[Row], width: int) -> list[str]:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("eager", "compiled", width=width, show_lines=True)
    for eager, printed in rows:
        table.add_row(Text("\n".join(eager)), Text("\n".join(printed)))
    output = io.StringIO()
    Console(file=output, width=width, color_system=None).print(table)
    return output.getvalue().splitlines()


def _call(call: Call) -> str:
    """A recorded call in one line."""
    parameters = [*call.inputs, *(p for p in call.params if not isinstance(p, tuple))]
    text = f"{call.name}({', '.join(map(str, parameters))})"
    part = f"{call.part:<9}"
    if not call.output:
        return f"{part} {text}"
    return f"{part} {call.output} = {text}  {shape_text(call.shape)}"
