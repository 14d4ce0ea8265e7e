"""Show a printed step: its text, with shapes; and the eager calls that it came from."""

from __future__ import annotations

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


def explain(model: Any, x: Any, y: Any) -> list[str]:
    """Lines that show a training step twice: as recorded, call by call, and as it is printed."""
    if not model.built:
        model.build((None, *x.shape[1:]))
    program = Program(model, "train", ArrayData(x, y))
    step = program.step
    lines = ["One eager step, as it was recorded:", ""]
    for call in [*step.calls, *step.metrics, *(c for calls in step.updates for c in calls)]:
        lines.append(f"    {call.part:<9} {_call(call)}")
    lines += ["", "What `fit` makes of it:", ""]
    if program.fused:
        program.in_use = program.fused_text(get_threads())
    else:
        lines += [f"(not fused: {program.not_fused})", ""]
    lines += [_annotated(line, step.shapes) for line in program.in_use.splitlines()]
    return lines


def _call(call: Call) -> str:
    """A recorded call in one line."""
    parameters = [*call.inputs, *(p for p in call.params if not isinstance(p, tuple))]
    text = f"{call.name}({', '.join(map(str, parameters))})"
    if not call.output:
        return text
    return f"{f'{call.output} = {text}':<56} {shape_text(call.shape)}"
