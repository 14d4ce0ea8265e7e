"""Show a printed step: its text, with shapes; and the eager calls that it came from."""

from __future__ import annotations

import re
from typing import Any

from minisgd.compiler import runner
from minisgd.compiler.record import Shape, Times


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
    lines = program.text.splitlines()
    width = min(72, max(len(line) for line in lines if " = " in line))
    return head + "\n".join(_annotated(line, program.step.shapes, width) for line in lines) + "\n"


def _annotated(line: str, shapes: dict[str, Shape], width: int) -> str:
    """A line with the shape of what it computes."""
    found = re.match(r"\s+(\w+) = ", line)
    if found is None or found[1] not in shapes:
        return line
    return f"{line:<{width}}  # {shape_text(shapes[found[1]])}"


def shape_text(shape: Shape) -> str:
    """A shape as in ``(n, 128)``."""
    lengths = ", ".join(str(n) if isinstance(n, Times) else f"{n}" for n in shape)
    return f"({lengths}{',' * (len(shape) == 1)})" if shape else "a number"
