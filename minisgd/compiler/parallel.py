"""Where the threads of a fused step must wait for each other.

Every fused kernel does its thread's part. `_touched` says what each one reads and writes, and which
part of it; two calls need a barrier between them if one writes what the other touches, unless both
divide it in the same way: then a thread meets only its own work.
"""

from __future__ import annotations

from collections.abc import Callable

from minisgd.compiler.record import Call

# What is touched, how it is divided among the threads, and whether it is written.
Access = tuple[str, str, bool]
ByUnits = Callable[[str], bool]

ALL, COLUMNS, ROWS, SAMPLES, FIRST = "all", "columns", "rows", "samples", "first thread"


def barriers(calls: list[Call], by_units: ByUnits) -> set[int]:
    """Numbers of the calls before which all threads wait, the calls being the body of a loop.

    Parameters
    ----------
    calls : list of Call
    by_units : callable
        Whether the threads divide the columns of a weight matrix, or its layer's samples.
    """
    found: set[int] = set()
    while True:
        since: list[Access] = []  # what was touched since the last barrier
        for number in [*range(len(calls)), *range(len(calls))]:
            now = _touched(calls[number], by_units)
            if number in found:
                since = []
            elif any(_conflict(a, b) for a in since for b in now):
                found.add(number)
                break
            since += now
        else:
            return found


def _conflict(a: Access, b: Access) -> bool:
    return a[0] == b[0] and (a[2] or b[2]) and (a[1] != b[1] or a[1] == ALL)


def _touched(call: Call, by_units: ByUnits) -> list[Access]:
    """The table of the fused kernels."""
    names = [str(x) for x in call.inputs]
    if call.name == "dense":
        x, w, b = names
        if by_units(w):
            return [(x, ALL, False), (w, COLUMNS, False), (b, COLUMNS, False),
                    (call.output, COLUMNS, True)]  # fmt: skip
        return [(x, SAMPLES, False), (w, ALL, False), (b, ALL, False),
                (call.output, SAMPLES, True)]  # fmt: skip
    if call.name == "cross_entropy":
        written = (call.output, "each_loss", "each_hits")
        return [(names[0], SAMPLES, False), *((name, SAMPLES, True) for name in written if name)]
    if call.name == "batch_results":
        return [("each_loss", FIRST, False), ("each_hits", FIRST, False)]
    if call.name == "prediction":
        return [(names[0], FIRST, False)]
    if call.name == "turn":
        return [(names[0], ROWS, False), (call.output, COLUMNS, True)]
    if call.name == "input_gradient":
        g, w, act = names
        activation = [(act, COLUMNS, False)] if act != g else []
        return [(g, ALL, False), (f"{w}_turned", COLUMNS, False), *activation,
                (call.output, COLUMNS, True)]  # fmt: skip
    if call.name == "weight_step":
        x, g, w, v = names
        if by_units(w):
            return [(x, ALL, False), (g, COLUMNS, False), (w, COLUMNS, True), (v, COLUMNS, True)]
        return [(x, COLUMNS, False), (g, ALL, False), (w, ROWS, True), (v, ROWS, True)]
    if call.name == "bias_step":
        g, b, v = names
        return [(g, COLUMNS, False), (b, COLUMNS, True), (v, COLUMNS, True)]
    return []  # numbers: each thread has its own
