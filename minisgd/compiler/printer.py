"""Print recorded calls as one Numba function with the loop over the batches of an epoch.

Arrays without axes are plain numbers there; everything else is the call that the eager step made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minisgd.compiler.ahead import Job
from minisgd.compiler.record import Call, NotCompilableError, Shape

Names = Sequence[str]


@dataclass(frozen=True)
class Step:
    """A recorded step, ready to be printed.

    Attributes
    ----------
    kind : str
        "train", "test" or "predict".
    data : tuple of str
        The arrays of which each step takes a batch: x, y, sample_weight.
    variables : tuple of str
        Names of weights and optimizer state.
    arguments : tuple of str
        Float32 numbers that differ from step to step.
    calls : list of Call
        Forward and backward.
    updates : list of list of Call
        The optimizer's calls, one list for each kind of update; training chooses one every step.
    metrics : list of Call
    loss, prediction : str
        Names of what the step returns.
    shapes : dict
        Of data, variables and all results.
    jobs : list
        The calls, for `ahead`.
    """

    kind: str
    data: tuple[str, ...]
    variables: tuple[str, ...]
    arguments: tuple[str, ...]
    calls: list[Call]
    updates: list[list[Call]]
    metrics: list[Call]
    loss: str
    prediction: str
    shapes: dict[str, Shape]
    jobs: list[Job]


class Printer:
    """One step as text."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.kernels: set[str] = {"gather_rows"}
        self._known: dict[Shape, str] = {}

    def text(self) -> str:
        """The file."""
        step, body = self.step, self._body()
        names = ", ".join(sorted(self.kernels))
        parameters = ", ".join(parameters_of(step))
        imports = f"from minisgd_kernels import {names}\n" if len(names) < 70 else (
            "from minisgd_kernels import (\n"
            + "".join(f"    {name},\n" for name in sorted(self.kernels)) + ")\n"
        )  # fmt: skip
        return (
            f'"""One {step.kind} step after the other, printed by minisgd.compiler."""\n\n'
            "import numpy as np\n"
            f"{imports}"
            "from minisgd_kernels._jit import kernel\n\n\n"
            "@kernel\n"
            f"def {step.kind}_steps({parameters}):\n"
            + "".join(f"    {line}\n" if line else "\n" for line in body)
        )

    def _body(self) -> list[str]:
        step = self.step
        lines = [
            "for step in range(last - first):",
            "    start = (first + step) * batch_size",
            "    rows = order[start : start + batch_size]",
            "    n = rows.size",
        ]
        lines += [f"    {name} = {name}s[step]" for name in step.arguments]
        for name in step.data:
            lines.append(f"    {name} = gather_rows(all_{name}, rows)")
            self._learn(name)
        for name in step.variables:
            self._learn(name)
        part = ""
        for call in step.calls:
            if call.part != part:
                part = call.part
                lines.append(f"    # {part}")
            lines.append(f"    {self._statement(call)}")
        if step.loss:
            lines.append(f"    losses[step] = {step.loss}")
        if step.prediction:
            lines.append(
                f"    outputs[step * batch_size : step * batch_size + n] = {step.prediction}"
            )
        if step.metrics:
            lines.append("    # metrics")
        for place, call in enumerate(step.metrics):
            lines.append(f"    hits[{place}, step] = {self._expression(call)}")
        if len(step.updates) == 1 and step.updates[0]:
            lines.append("    # update")
            lines += [f"    {self._statement(call)}" for call in step.updates[0]]
        elif len(step.updates) > 1:
            known = dict(self._known)
            for number, calls in enumerate(step.updates):
                self._known = dict(known)  # without what only the other branches make
                lines.append(f"    if phases[step] == {number}:  # update")
                lines += [f"        {self._statement(call)}" for call in calls] or ["        pass"]
        return lines

    def _learn(self, name: str) -> None:
        self._known.setdefault(self.step.shapes[name], name)

    def _statement(self, call: Call) -> str:
        expression = self._expression(call)
        if not call.output:
            return expression
        if call.shape:
            self._known.setdefault(call.shape, call.output)
        return f"{call.output} = {expression}"

    def _expression(self, call: Call) -> str:
        inputs = [str(x) for x in call.inputs]
        if call.part == "metrics":
            return self.use(call.name) + f"({', '.join(inputs)})"
        if call.part == "update" and call.name not in _RULES:  # a compute kernel
            return self.use(call.name) + f"({', '.join(map(self.flat, inputs))})"
        rule = _RULES.get(call.name)
        if rule is None:
            raise NotCompilableError(f"operation '{call.name}' has no printed form")
        return rule(self, call, inputs)

    # --- what the rules use ---
    def use(self, kernel: str) -> str:
        """Name of a kernel, which the file then imports."""
        self.kernels.add(kernel)
        return kernel

    def ndim(self, name: str) -> int:
        """Number of axes of an array; numbers have none."""
        return len(self.step.shapes.get(name, ()))

    def flat(self, name: str) -> str:
        """An array as a vector."""
        return f"{name}.reshape(-1)" if self.ndim(name) > 1 else name

    def shape(self, shape: Shape) -> str:
        """A shape: that of an array which has it already, or its lengths."""
        if shape in self._known:
            return f"{self._known[shape]}.shape"
        return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def parameters_of(step: Step) -> list[str]:
    """Parameters of the printed function, in order."""
    training = step.kind == "train"
    return [
        *(f"all_{name}" for name in step.data),
        "order", "batch_size", "first", "last",
        *step.variables,
        *(f"{name}s" for name in step.arguments),
        *(["phases"] if training and len(step.updates) > 1 else []),
        *(["losses"] if step.loss else []),
        *(["hits"] if step.metrics else []),
        *(["outputs"] if step.prediction else []),
    ]  # fmt: skip


Rule = Callable[[Printer, Call, list[str]], str]


def _plain(printer: Printer, call: Call, inputs: list[str]) -> str:
    return f"{printer.use(call.name)}({', '.join(inputs)})"


def _named(kernel: str) -> Rule:
    def rule(printer: Printer, call: Call, inputs: list[str]) -> str:
        return f"{printer.use(kernel)}({', '.join(inputs)})"

    return rule


def _flat(kernel: str) -> Rule:
    """A kernel for vectors; the parameter of an activation says whether it is fused."""

    def rule(printer: Printer, call: Call, inputs: list[str]) -> str:
        fused = call.params[:1] and call.params[0] is True
        name = printer.use(f"fused_{kernel}" if fused else kernel)
        params = [f"np.float32({p})" for p in call.params if not isinstance(p, bool)]
        result = f"{name}({', '.join([*map(printer.flat, inputs), *params])})"
        return f"{result}.reshape({inputs[0]}.shape)" if len(call.shape) > 1 else result

    return rule


def _softmax(printer: Printer, call: Call, inputs: list[str]) -> str:
    return f"{printer.use('softmax')}({inputs[0]}, {call.params[0]})"


def _moving_average(printer: Printer, call: Call, inputs: list[str]) -> str:
    (momentum,) = call.params
    name = printer.use("moving_average_inplace")
    shares = f"np.float32({momentum!r}), np.float32({1 - momentum!r})"
    return f"{name}({', '.join(map(printer.flat, inputs))}, {shares})"


def _relu6(printer: Printer, call: Call, inputs: list[str]) -> str:
    bounds = "np.float32(0), np.float32(6)"
    return f"{printer.use('clip')}({printer.flat(inputs[0])}, {bounds}).reshape({inputs[0]}.shape)"


def _reciprocal(printer: Printer, call: Call, inputs: list[str]) -> str:
    return f"{printer.use('divide')}(np.float32(1), {inputs[0]})"


def _wins(comparison: str) -> Rule:
    """Whether the first operand is chosen; NaN is."""
    return lambda printer, call, inputs: (
        f"({inputs[0]} {comparison} {inputs[1]}) | ({inputs[0]} != {inputs[0]})"
    )


def _times_sixth(printer: Printer, call: Call, inputs: list[str]) -> str:
    times = printer.use("multiply")
    return f"{times}({inputs[0]}, {times}({inputs[1]}, np.float32(1) / np.float32(6)))"


def _numpy(function: str) -> Rule:
    return lambda printer, call, inputs: f"np.{function}({', '.join(inputs)})"


def _sum_all(printer: Printer, call: Call, inputs: list[str]) -> str:
    return f"{printer.use('sum_all')}({printer.flat(inputs[0])})[()]"


def _reshape(printer: Printer, call: Call, inputs: list[str]) -> str:
    if not printer.ndim(inputs[0]):
        return f"np.full({printer.shape(call.shape)}, {inputs[0]})" if call.shape else inputs[0]
    if not call.shape:
        return f"{inputs[0]}.reshape(-1)[0]"
    return f"{inputs[0]}.reshape({printer.shape(call.shape)})"


def _broadcast_to(printer: Printer, call: Call, inputs: list[str]) -> str:
    shape = printer.shape(call.shape)
    if not printer.ndim(inputs[0]):
        return f"np.full({shape}, {inputs[0]})"
    return f"np.broadcast_to({inputs[0]}, {shape}).copy()"


def _cast(printer: Printer, call: Call, inputs: list[str]) -> str:
    dtype = f"np.{call.params[0].name}"
    return f"{inputs[0]}.astype({dtype})" if printer.ndim(inputs[0]) else f"{dtype}({inputs[0]})"


def _uniform(printer: Printer, call: Call, inputs: list[str]) -> str:
    """A stream is its key and its counter, one behind the other."""
    (stream,), (shape, low, high) = inputs, call.params
    size = " * ".join(map(str, shape)) or "1"
    name = printer.use("philox_uniform")
    bounds = f"np.float32({low}), np.float32({high})"
    values = f"{name}({stream}[:2], {stream}[2:], {bounds}, {size})"
    return f"{values}.reshape({printer.shape(shape)})"


def _concatenate(printer: Printer, call: Call, inputs: list[str]) -> str:
    return f"np.concatenate(({', '.join(inputs)},), {call.params[0]})"


def _slice(printer: Printer, call: Call, inputs: list[str]) -> str:
    axis, start, stop = call.params
    return f"{inputs[0]}[{':, ' * axis}{start}:{stop}].copy()"


def _transpose(printer: Printer, call: Call, inputs: list[str]) -> str:
    return f"np.transpose({inputs[0]}, {call.params[0]}).copy()"


_RULES: dict[str, Rule] = {
    **dict.fromkeys(
        (
            "add", "dense", "divide", "log_softmax", "matmul", "matmul_nt", "matmul_tn",
            "multiply", "next_seed_inplace", "philox_stream", "relu", "relu_vjp",
            "softmax_cross_entropy", "softmax_cross_entropy_backprop",
            "sparse_softmax_cross_entropy", "sparse_softmax_cross_entropy_backprop",
            "squared_difference", "subtract",
            "sum_first", "sum_last", "sum_rows",
        ),
        _plain,
    ),
    **{
        name: _flat(name)
        for name in (
            "clip", "clip_vjp", "elu", "elu_vjp", "gelu", "gelu_tanh", "selu", "selu_vjp",
            "sigmoid", "sigmoid_vjp", "silu", "softplus", "softsign", "tanh", "where",
        )
    },
    "divide_by_constant": _named("divide"),
    "moving_average_inplace": _moving_average,
    "relu6": _relu6,
    "reciprocal": _reciprocal,
    "rsqrt": _flat("reciprocal_root"),
    "rsqrt_vjp": _flat("reciprocal_root_vjp"),
    "philox_uniform": _uniform,
    "softmax": _softmax,
    "erf": _flat("error_function"),
    "erfc": _flat("error_function_complement"),
    "exp": _named("exponential"),
    "expm1": _flat("exponential_m1"),
    "scaled_expm1": _flat("scaled_exponential_m1"),
    "sqrt": _flat("square_root"),
    "sqrt_vjp": _flat("square_root_vjp"),
    "square": lambda printer, call, inputs: f"{printer.use('multiply')}({inputs[0]}, {inputs[0]})",
    "times_sixth": _times_sixth,
    "is_maximum": _wins(">="),
    "is_minimum": _wins("<="),
    "absolute": _numpy("abs"),
    "sign": _numpy("sign"),
    "log": _named("logarithm"),
    "log1p": _named("logarithm_1p"),
    **{name: _numpy(name) for name in ("equal", "greater", "greater_equal", "less", "less_equal")},
    "concatenate": _concatenate,
    "slice": _slice,
    "transpose": _transpose,
    "sum_all": _sum_all,
    "reshape": _reshape,
    "broadcast_to": _broadcast_to,
    "cast": _cast,
    "convert": _cast,
}  # fmt: skip
