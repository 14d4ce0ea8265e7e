"""Print a fused step: one function that every thread runs, each with its part of the work."""

from __future__ import annotations

from minisgd.compiler.fuse import FUSED
from minisgd.compiler.parallel import ByUnits, barriers
from minisgd.compiler.printer import Printer, Step
from minisgd.compiler.record import Call

_MODULES = {
    "cross_entropy": "fused_loss",
    "batch_loss": "fused_loss",
    **dict.fromkeys(("dense", "turn", "input_gradient"), "fused"),
    **dict.fromkeys(("weight_step", "bias_step", "SGD", "MOMENTUM", "NESTEROV"), "fused_update"),
}  # fmt: skip


class FusedPrinter:
    """One step as text, for a number of threads that need these barriers."""

    def __init__(self, step: Step, calls: list[Call], by_units: ByUnits) -> None:
        self.step, self.calls = step, calls
        self.waits = barriers(calls, by_units)
        self._general = Printer(step)
        self._general.kernels.clear()
        self._imports: dict[str, set[str]] = {}
        self.kernels = self._general.kernels
        self.units: dict[str, str] = {}  # names of the numbers of columns
        for call in calls:
            if call.name == "dense":
                self.units[call.output] = units_of(str(call.inputs[1]))
            elif call.name == "cross_entropy":
                self.units[call.output] = self.width(str(call.inputs[0]))
            elif call.name == "input_gradient":
                self.units[call.output] = self._inputs(str(call.inputs[1]))

    def _inputs(self, w: str) -> str:
        """Name of the number of rows of a weight matrix."""
        dense = next(c for c in self.calls if c.name == "dense" and c.inputs[1] == w)
        return self.width(str(dense.inputs[0]))

    def width(self, name: str) -> str:
        """Name of the number of columns of an array."""
        return "features" if name == "x" else self.units[name]

    def text(self) -> str:
        """The file."""
        step = self.step
        body = self._body()
        lines = [
            f'"""One fused {step.kind} step after the other, printed by minisgd.compiler."""',
            "",
            "import numpy as np",
        ]
        if self.kernels:
            lines.append(f"from minisgd_kernels import {', '.join(sorted(self.kernels))}")
        lines += [
            "from minisgd_kernels._intrinsics import flush_denormals, restore_denormals",
            "from minisgd_kernels._jit import kernel",
            "from minisgd_kernels._threads import wait",
        ]
        for module in sorted(self._imports):
            names = ", ".join(sorted(self._imports[module]))
            lines.append(f"from minisgd_kernels.{module} import {names}")
        lines += ["", "", "@kernel", f"def {step.kind}_steps("]
        parameters, line = fused_parameters(step, self.calls), "   "
        for name in parameters:
            if len(line) + len(name) > 96:
                lines.append(line)
                line = "   "
            line += f" {name},"
        lines += [line, "):", *(f"    {line}" for line in body)]
        return "\n".join(lines) + "\n"

    def _body(self) -> list[str]:
        step = self.step
        lines = [
            "mode = flush_denormals()",
            "features, turns = all_x.shape[1], 0",
            "for step in range(last - first):",
            "    start = (first + step) * batch_size",
            "    n = min(batch_size, order.size - start)",
            *(f"    {name} = {name}s[step]" for name in step.arguments),
        ]
        for _, printed in self.statements():
            lines += [f"    {line}" for line in printed]
        return [*lines, "restore_denormals(mode)"]

    def statements(self) -> list[tuple[Call, list[str]]]:
        """Each fused call with its lines in the body of the loop."""
        found = []
        part = ""
        for number, call in enumerate(self.calls):
            lines = []
            if call.name in FUSED and call.part not in ("", part):
                part = call.part
                lines.append(f"# {part}")
            if number in self.waits:
                lines += ["turns += 1", "wait(barrier, thread, threads, turns)"]
            found.append((call, lines + self._lines(call)))
        return found

    def _lines(self, call: Call) -> list[str]:
        name, inputs, params = call.name, [str(x) for x in call.inputs], list(call.params)
        if name == "dense":
            x, w, b = inputs
            return [self._call(name, *self._rows(x), self.width(x), units_of(w), w, b,
                               call.output, *params, self._bits("pixels", x), "words")]  # fmt: skip
        if name == "cross_entropy":
            sparse, of_logits = params
            kernel = f"{'sparse_' * sparse}softmax_cross_entropy_step"
            _MODULES[kernel] = "fused_loss"
            gradient = call.output or "scratch[:0].reshape((0, 1))"
            return [self._call(kernel, inputs[0], *self._rows("y"), self.width(inputs[0]),
                               inputs[2], of_logits, gradient, "each_loss", "each_hits",
                               "scratch")]  # fmt: skip
        if name == "batch_results":
            self._use("batch_loss")
            return [
                "if thread == 0:",
                "    losses[step] = batch_loss(each_loss, n, scratch[:32].reshape((4, 8)))",
                "    hits[:, step] = each_hits.sum()",
            ]
        if name == "prediction":
            rows = f"np.ascontiguousarray({inputs[0]}[:n, :{self.width(inputs[0])}])"
            if params[0]:
                rows = f"{self._general.use('softmax')}({rows}, {params[1]})"
            place = "step * batch_size"
            return ["if thread == 0:", f"    outputs[{place} : {place} + n] = {rows}"]
        if name == "turn":
            (w,) = inputs
            return [self._call(name, w, self._inputs(w), units_of(w), call.output)]
        if name == "input_gradient":
            g, w, act = inputs
            return [self._call(name, g, "iota", "n", self._inputs(w),
                               units_of(w), f"{w}_turned", act, *params, call.output,
                               "words")]  # fmt: skip
        if name == "weight_step":
            x, g, w, v = inputs
            return [self._call(name, *self._rows(x), self.width(x), units_of(w), g, w,
                               v, *self._rule(params), self._bits("groups", x), "words",
                               "scratch")]  # fmt: skip
        if name == "bias_step":
            g, b, v = inputs
            return [self._call(name, g, "n", self.width(g), b, v, *self._rule(params), "scratch")]
        return [self._general._statement(call)]

    def _rule(self, params: list[str]) -> list[str]:
        self._use(params[0])
        return params

    def _rows(self, name: str) -> list[str]:
        """An array with the rows of it that are the batch: gathered from data as they are read."""
        data = name in ("x", "y")
        return [f"all_{name}", "order", "start", "n"] if data else [name, "iota", "0", "n"]

    def _bits(self, name: str, x: str) -> str:
        """Bit maps of the data's zeros; elsewhere none are skipped."""
        return name if x == "x" else f"{name}[:0]"

    def _use(self, name: str) -> None:
        self._imports.setdefault(_MODULES[name], set()).add(name)

    def _call(self, name: str, *arguments: object) -> str:
        self._use(name)
        return f"{name}(thread, threads, {', '.join(map(str, arguments))})"


def units_of(w: str) -> str:
    """Name of the number of columns of a weight matrix."""
    return f"{w.removesuffix('_kernel')}_units"


def buffers(calls: list[Call]) -> list[str]:
    """What the threads of a fused step exchange: activations, gradients, turned weights."""
    return [call.output for call in calls if call.output and call.name in _BUFFERED]


_BUFFERED = ("dense", "cross_entropy", "turn", "input_gradient")


def fused_parameters(step: Step, calls: list[Call]) -> list[str]:
    """Parameters of the printed function, in order."""
    predicting = step.kind == "predict"
    return [
        "thread", "threads", "barrier",
        "all_x", *([] if predicting else ["all_y"]),
        "order", "batch_size", "first", "last", "pixels", "groups",
        *(units_of(str(call.inputs[1])) for call in calls if call.name == "dense"),
        *step.variables,
        *(f"{name}s" for name in step.arguments),
        *(["outputs"] if predicting else ["losses", "hits", "each_loss", "each_hits"]),
        "iota", *buffers(calls), "words", "scratch",
    ]  # fmt: skip
