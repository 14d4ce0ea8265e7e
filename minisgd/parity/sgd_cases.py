"""SGD's options in combination: the cases, and a run of one of them under either package.

`pairwise` gives few cases in which every two values of two options meet; `product` gives all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minisgd.parity.compare import Array, TensorDifference, first_difference
from minisgd.parity.sides import Side

SHAPES = ((784, 128), (128,), (128, 10), (10,))
STEPS = 20

# Option -> its values. Scales that are no powers of two, so that reciprocals round; limits that
# some gradients pass and others don't. Every value is a dict of SGD's arguments; schedules are
# named with their arguments, since each package makes its own.
OPTIONS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "learning_rate": (
        {"learning_rate": 0.01},
        {"learning_rate": ("ExponentialDecay", 0.1, 7, 0.9)},
        {"learning_rate": ("InverseTimeDecay", 0.1, 7, 0.9)},
        {"learning_rate": ("PiecewiseConstantDecay", [3, 12], [0.1, 0.03, 0.01])},
        {"learning_rate": ("PolynomialDecay", 0.3, 11, 0.001, 2.0)},
        {"learning_rate": ("CosineDecay", 0.01, 13, 0.1, "CosineDecay", 0.3, 5)},
        {"learning_rate": ("CosineDecayRestarts", 0.1, 5, 1.5, 0.9, 0.1)},
    ),
    "momentum": ({"momentum": 0.0}, {"momentum": 0.9}),
    "nesterov": ({"nesterov": False}, {"nesterov": True}),
    "weight_decay": ({}, {"weight_decay": 0.004}),
    "clipping": ({}, {"clipnorm": 0.3}, {"clipvalue": 0.01}, {"global_clipnorm": 0.7}),
    "ema": (
        {},
        {"use_ema": True},
        {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3},
    ),
    "loss_scale_factor": ({}, {"loss_scale_factor": 3.0}, {"loss_scale_factor": 1024.0}),
    "gradient_accumulation_steps": (
        {},
        {"gradient_accumulation_steps": 2},
        {"gradient_accumulation_steps": 3},
    ),
}


@dataclass(frozen=True)
class Case:
    """One combination.

    Attributes
    ----------
    choice : tuple of int
        For each option, the index of its value.
    """

    choice: tuple[int, ...]

    @property
    def arguments(self) -> dict[str, Any]:
        """SGD's arguments."""
        merged: dict[str, Any] = {}
        for values, index in zip(OPTIONS.values(), self.choice, strict=True):
            merged |= values[index]
        return merged

    def __str__(self) -> str:
        """Return the arguments as they would be written."""
        return ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())


def product() -> Iterator[Case]:
    """Every combination."""
    for choice in itertools.product(*(range(len(values)) for values in OPTIONS.values())):
        yield Case(choice)


def pairwise() -> list[Case]:
    """Few cases in which every two values of two options meet: greedily, the best one next.

    Deterministic: of equally good cases the first in the order of `product`.
    """
    cases = [case.choice for case in product()]
    open_pairs = {pair for choice in cases for pair in _pairs(choice)}
    chosen = []
    while open_pairs:
        best = max(cases, key=lambda choice: len(_pairs(choice) & open_pairs))
        open_pairs -= _pairs(best)
        chosen.append(Case(best))
    return chosen


def _pairs(choice: tuple[int, ...]) -> set[tuple[tuple[int, int], tuple[int, int]]]:
    """Pairs of (option, value) that meet in a case."""
    return set(itertools.combinations(enumerate(choice), 2))


def gradients(steps: int = STEPS, shapes: Sequence[tuple[int, ...]] = SHAPES) -> list[list[Array]]:
    """The same gradients for both packages: normal numbers of several sizes, some zeros.

    Zeros of a step come in the same places for several steps, as MNIST's black pixels have them.
    """
    rng = np.random.default_rng(7)
    found = []
    for step in range(steps):
        scale = 10.0 ** rng.uniform(-4, -1)
        arrays = [(rng.standard_normal(shape) * scale).astype(np.float32) for shape in shapes]
        arrays[0][step % 3 :: 5] = 0.0
        found.append(arrays)
    return found


def weights(shapes: Sequence[tuple[int, ...]] = SHAPES) -> list[Array]:
    """The same initial weights for both packages."""
    rng = np.random.default_rng(8)
    return [(rng.standard_normal(shape) * 0.05).astype(np.float32) for shape in shapes]


def run(side: Side, case: Case, all_gradients: Sequence[Sequence[Array]]) -> list[dict[str, Array]]:
    """Apply the gradients one step after the other; what every variable holds after each.

    Returns
    -------
    list of dict
        For each step: "weight 0", ... and the optimizer's variables by their names.
    """
    arguments = case.arguments
    if isinstance(arguments["learning_rate"], tuple):
        name, *rest = arguments["learning_rate"]
        arguments["learning_rate"] = getattr(side.ns.optimizers.schedules, name)(*rest)
    variables = [side.ns.Variable(value, name=f"weight {i}") for i, value in enumerate(weights())]
    optimizer = side.ns.optimizers.SGD(**arguments)
    optimizer.build(variables)
    step = side.compiled(lambda *grads: optimizer.apply(list(grads), variables) or 0)
    states = []
    for arrays in all_gradients:
        step(*(side.tensor(array) for array in arrays))
        known = [*variables, *optimizer.variables]
        states.append({v.name: np.array(v.numpy()) for v in known})
    return states


def first_divergence(
    ours: Sequence[Mapping[str, Array]], theirs: Sequence[Mapping[str, Array]]
) -> str | None:
    """Step and variable of the first difference in bits, or None; names are compared too."""
    for number, (mine, reference) in enumerate(zip(ours, theirs, strict=True)):
        if list(mine) != list(reference):
            return f"variables: expected {list(reference)}, received {list(mine)}"
        for name, value in reference.items():
            difference: TensorDifference | None = first_difference(name, mine[name], value)
            if difference is not None:
                return f"step {number}: {difference}"
    return None
