"""Rewrite rules: neighbours in a recorded step become one fused kernel, with the same bits.

Each rule takes a list of calls and returns a shorter one; `fuse` applies them in order. A step is
fused as a whole or not at all: its weights then keep another layout (`minisgd_kernels.packing`).
What no rule knows makes the step run with the general kernels of `minisgd.compiler.printer`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from minisgd.compiler.printer import Step
from minisgd.compiler.record import Call, Constant, Times

_BATCH = Constant(Times(1.0), "float32")
UPDATES = {"sgd_inplace": "SGD", "momentum_inplace": "MOMENTUM", "nesterov_inplace": "NESTEROV"}
_MOST_CLASSES = 4507  # `minisgd_kernels.fused_loss`


class NotFusableError(Exception):
    """What no rule knows, in a few words."""


Rule = Callable[[list[Call], Step], list[Call]]


def fuse(step: Step) -> list[Call]:
    """The step in fused calls, in the order in which they run.

    Raises
    ------
    NotFusableError
        With the first call that is left over.
    """
    if len(step.updates) > 1:
        raise NotFusableError("updates differ from step to step")
    recorded = [*step.calls, *(step.updates[0] if step.updates else [])]
    calls = [replace(call, origin=(call,)) for call in recorded]
    for rule in RULES:
        calls = rule(calls, step)
    for call in calls:
        if call.name not in FUSED and call.shape:
            raise NotFusableError(f"'{call.name}' has no fused form")
    if step.kind != "predict":
        place = next(i for i, call in enumerate(calls) if call.name == "cross_entropy")
        calls.insert(place + 1, _for(Call("batch_results", (), (), "", ()), calls[place]))
    return calls


def _for(fused: Call, *calls: Call) -> Call:
    """A fused call that stands for what these stood for."""
    return replace(fused, origin=tuple(o for call in calls for o in call.origin))


def _made(calls: list[Call]) -> dict[str, Call]:
    return {call.output: call for call in calls if call.output}


def _uses(calls: list[Call], step: Step) -> Counter[str]:
    """How often each result is used, by calls or as what the step returns."""
    used = Counter(str(x).partition(".")[0] for call in calls for x in call.inputs)
    used.update(str(x).partition(".")[0] for call in step.metrics for x in call.inputs)
    used.update(name for name in (step.loss, step.prediction) if name)
    return used


def unused(calls: list[Call], step: Step) -> list[Call]:
    """What nobody asks for is not computed."""
    while True:
        uses = _uses(calls, step)
        kept = [call for call in calls if not call.output or uses[call.output]]
        if len(kept) == len(calls):
            return calls
        calls = kept


def flattened_data(calls: list[Call], step: Step) -> list[Call]:
    """``reshape(x)`` of a batch of samples is a batch of reshaped samples: no call."""
    names = {
        call.output: "x" for call in calls
        if call.name == "reshape" and call.inputs == ("x",) and len(call.shape) == 2
    }  # fmt: skip
    return _renamed([call for call in calls if call.output not in names], names)


def converted_labels(calls: list[Call], step: Step) -> list[Call]:
    """Labels of another dtype or shape: converted once, before training, not batch by batch."""
    names = {"y": "y"}
    kept = []
    for call in calls:
        if call.name in ("convert", "cast", "reshape") and call.inputs[0] in names:
            names[call.output] = "y"
        else:
            kept.append(call)
    return _renamed(kept, names)


def _renamed(calls: list[Call], names: dict[str, str]) -> list[Call]:
    return [
        replace(call, inputs=tuple(names.get(str(x), x) if isinstance(x, str) else x
                                   for x in call.inputs))
        for call in calls
    ]  # fmt: skip


def relu_into_dense(calls: list[Call], step: Step) -> list[Call]:
    """``relu(dense(x, w, b))``: a tile gets its bias and relu while it is in the cache."""
    made, uses = _made(calls), _uses(calls, step)
    gone: set[str] = set()
    out = []
    for call in calls:
        before = made.get(str(call.inputs[0])) if call.inputs else None
        if call.name == "dense":
            call = replace(call, params=(0,))
        elif call.name == "relu" and before is not None and before.name == "dense":
            # Its slope needs the output alone, so nothing else wants what was before the relu.
            if uses[before.output] == 1:
                gone.add(before.output)
                call = _for(replace(before, params=(1,), output=call.output), before, call)
        out.append(call)
    return [call for call in out if call.output not in gone]


def loss_with_gradient(calls: list[Call], step: Step) -> list[Call]:
    """Softmax, cross-entropy, its mean, its gradient and the hits: one pass over the logits."""
    made, uses = _made(calls), _uses(calls, step)
    entropy = next((c for c in calls if c.name.endswith("softmax_cross_entropy")), None)
    if entropy is None:
        if step.kind == "predict":
            return _prediction(calls, step)
        raise NotFusableError("the loss is no cross-entropy of logits")
    logits, labels = (str(x) for x in entropy.inputs)
    total = _only(calls, "sum_all", (entropy.output,))
    mean = _only(calls, "divide", (total.output, _BATCH))
    if step.loss != mean.output or labels != "y" or step.shapes[logits][1] > _MOST_CLASSES:
        raise NotFusableError("the loss is no mean over the batch")
    gone = {entropy.output, total.output, mean.output}
    of_logits = _hits(step, logits, made, gone)
    sparse = int(entropy.name.startswith("sparse"))
    out, factor = "", "np.float32(1.0)"
    if step.kind == "train":
        slope = _only(calls, f"{entropy.name}_backprop", entropy.inputs)
        gradient = next(c for c in calls if c.name == "multiply" and slope.output in c.inputs)
        column = made[str(gradient.inputs[0])]
        spread = made.get(str(column.inputs[0]))
        if column.name != "reshape" or spread is None or spread.name != "broadcast_to":
            raise NotFusableError("the samples have weights")
        gone |= {slope.output, column.output, spread.output}
        out, factor = gradient.output, str(spread.inputs[0])
    fused = Call("cross_entropy", (logits, "y", factor), (sparse, of_logits), out,
                 step.shapes[logits], "loss")  # fmt: skip
    if any(uses[name] > 1 for name in gone - {entropy.output}):
        raise NotFusableError("the loss is used more than once")
    kept = [c for c in calls if c.output not in gone or not c.output]
    fused = _for(fused, *(c for c in calls if c.output and c.output in {*gone, out}))
    fused = replace(fused, origin=(*fused.origin, *step.metrics))
    if not out:
        return [*kept, fused]
    return [fused if c.output == out else c for c in kept]


def _only(calls: list[Call], name: str, inputs: tuple[object, ...]) -> Call:
    """The one call of a kernel with these inputs."""
    found = [c for c in calls if c.name == name and c.inputs == inputs]
    if len(found) != 1:
        raise NotFusableError(f"there is no '{name}' of the loss alone")
    return found[0]


def _hits(step: Step, logits: str, made: dict[str, Call], gone: set[str]) -> int:
    """Whether the accuracy is that of the logits; with it goes the softmax that only it needs."""
    given = {str(call.inputs[1]) for call in step.metrics}
    names = {call.name for call in step.metrics}
    softmax = [c.output for c in made.values() if c.name == "softmax" and c.inputs == (logits,)]
    gone.update(softmax)
    if names <= {"categorical_hits"} or names <= {"sparse_hits"}:
        if given <= {logits}:
            return 1
        if given <= set(softmax):
            return 0
    raise NotFusableError("a metric counts something else")


def _prediction(calls: list[Call], step: Step) -> list[Call]:
    """The last softmax, if there is one, takes exact rows: the padding is cut off before it."""
    made = _made(calls)
    last = made.get(step.prediction)
    if last is None or last.name not in ("softmax", "dense"):
        raise NotFusableError("the prediction is no softmax of a dense layer")
    softmax = last.name == "softmax"
    source = str(last.inputs[0]) if softmax else last.output
    kept = [c for c in calls if not (softmax and c is last)]
    params = (int(softmax), *last.params)
    prediction = Call("prediction", (source,), params, "", last.shape, "forward")
    return [*kept, _for(prediction, last)]


def relu_into_input_gradient(calls: list[Call], step: Step) -> list[Call]:
    """``relu_vjp(g @ w.T, h)``: the slope of the relu is applied to a tile in the cache."""
    made, uses = _made(calls), _uses(calls, step)
    gone: set[str] = set()
    out = []
    for call in calls:
        before = made.get(str(call.inputs[0])) if call.inputs else None
        if call.name == "matmul_nt":
            g, w = (str(x) for x in call.inputs)
            fused = Call("input_gradient", (g, w, g), (0,), call.output, call.shape, "backward")
            call = _for(fused, call)
        elif call.name == "relu_vjp" and before is not None and before.name == "matmul_nt":
            if uses[before.output] == 1:
                gone.add(before.output)
                g, w = (str(x) for x in before.inputs)
                inputs = (g, w, str(call.inputs[1]))
                fused = Call("input_gradient", inputs, (1,), call.output, call.shape, "backward")
                call = _for(fused, before, call)
        out.append(call)
    return [call for call in out if call.output not in gone]


def update_into_gradient(calls: list[Call], step: Step) -> list[Call]:
    """``w -= lr * (x.T @ g)`` and the like: updated as the gradient leaves the registers."""
    made, uses = _made(calls), _uses(calls, step)
    gone: set[str] = set()
    out = []
    for call in calls:
        if call.name in UPDATES:
            *variables, gradient, rate = (str(x) for x in call.inputs[: 3 + (len(call.inputs) > 3)])
            momentum = str(call.inputs[-1]) if len(variables) > 1 else "np.float32(0.0)"
            weight, velocity = variables[0], variables[-1]
            source = made.get(gradient)
            if source is None or uses[gradient] != 1:
                raise NotFusableError("a gradient is used twice or changed before the update")
            params = (UPDATES[call.name], rate, momentum)
            if source.name == "matmul_tn":
                x, g = (str(v) for v in source.inputs)
                fused = Call("weight_step", (x, g, weight, velocity), params, "", (), "update")
            elif source.name == "sum_rows":
                (g,) = (str(v) for v in source.inputs)
                fused = Call("bias_step", (g, weight, velocity), params, "", (), "update")
            else:
                raise NotFusableError(f"'{source.name}' lies between a gradient and its update")
            gone.add(source.output)
            call = _for(fused, source, call)
        elif call.part == "update":
            raise NotFusableError(f"the optimizer calls '{call.name}'")
        out.append(call)
    return [call for call in out if not call.output or call.output not in gone]


def turned_weights(calls: list[Call], step: Step) -> list[Call]:
    """``g @ w.T`` reads w in the other direction: turn it round first, before it is updated."""
    out = []
    for call in calls:
        if call.name == "input_gradient":
            w = str(call.inputs[1])
            out.append(_for(Call("turn", (w,), (), f"{w}_turned", (), "backward"), call))
        out.append(call)
    return out


RULES: tuple[Rule, ...] = (
    unused,
    flattened_data,
    converted_labels,
    relu_into_dense,
    loss_with_gradient,
    relu_into_input_gradient,
    update_into_gradient,
    turned_weights,
)
FUSED = (
    "batch_results", "dense", "cross_entropy", "prediction", "turn", "input_gradient",
    "weight_step", "bias_step",
)  # fmt: skip
