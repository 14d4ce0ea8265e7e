"""Every public name of Keras that a Sequential MLP can meet, beside minisgd's.

Run with ``python -m minisgd.parity.names``: it walks both packages, compares signatures and writes
``docs/reference/recorded/public_names.json`` and ``.md``. Why a name differs or is absent stands in
`minisgd.parity.name_reasons`.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from minisgd.parity.environment import describe, load_reference
from minisgd.parity.name_reasons import why_absent, why_different

FORM = 1
COMMAND = "python -m minisgd.parity.names"
PATH = Path("docs/reference/recorded/public_names.json")
_ANY_POSITIONAL, _ANY_KEYWORD = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
EQUAL, DIFFERENT, ABSENT = "equal", "different", "absent"

# "" is `keras` itself.
MODULES = (
    "", "activations", "callbacks", "config", "constraints", "datasets", "initializers", "layers",
    "losses", "metrics", "models", "ops", "optimizers", "optimizers.schedules", "random",
    "regularizers", "saving", "utils",
)  # fmt: skip


def _model(ns: Any) -> Any:
    """A compiled model."""
    model = ns.Sequential([ns.layers.Input((3,)), ns.layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


# Objects whose methods and attributes are compared, too, where both packages have their class.
OBJECTS: dict[str, Callable[[Any], Any]] = {
    "layers.Layer": lambda ns: ns.layers.Layer(),
    "Sequential": _model,
    "Variable": lambda ns: ns.Variable([1.0]),
    "callbacks.Callback": lambda ns: ns.callbacks.Callback(),
    "callbacks.CallbackList": lambda ns: ns.callbacks.CallbackList([]),
    "callbacks.History": lambda ns: ns.callbacks.History(),
    "constraints.Constraint": lambda ns: ns.constraints.Constraint(),
    "initializers.Initializer": lambda ns: ns.initializers.Zeros(),
    "layers.Dense": lambda ns: _model(ns).layers[0],
    "losses.Loss": lambda ns: ns.losses.MeanSquaredError(),
    "metrics.Metric": lambda ns: ns.metrics.Mean(),
    "optimizers.SGD": lambda ns: _model(ns).optimizer,
    "optimizers.schedules.LearningRateSchedule": lambda ns: ns.optimizers.schedules.CosineDecay(
        0.1, 10
    ),
    "random.SeedGenerator": lambda ns: ns.random.SeedGenerator(1),
    "regularizers.Regularizer": lambda ns: ns.regularizers.L2(0.1),
    "utils.Progbar": lambda ns: ns.utils.Progbar(10),
    "utils.PyDataset": lambda ns: type("Data", (ns.utils.PyDataset,), {"__len__": lambda _: 1})(),
}

_LAYERS = ("Sequential", "layers.Dense")


@dataclass(frozen=True)
class Name:
    """One public name of Keras.

    Attributes
    ----------
    group : str
        The module or class that it was found in, without ``keras``.
    name : str
        Without the group.
    state : {"equal", "different", "absent"}
    difference : str
        Between the signatures, where there is one.
    why : str
        The reason for the difference or the absence.
    """

    group: str
    name: str
    state: str
    difference: str = ""
    why: str = ""

    @property
    def full(self) -> str:
        """Name with its group."""
        return f"{self.group}.{self.name}" if self.group else self.name


def compared() -> list[Name]:
    """All names, by group.

    Raises
    ------
    ReferenceUnavailableError
        If Keras is not installed.
    """
    keras, _ = load_reference()
    ours = importlib.import_module("minisgd")
    found: list[Name] = []
    for module in MODULES:
        theirs = _member(keras, module)
        for name in _public(theirs):
            full = f"{module}.{name}" if module else name
            if full not in MODULES:  # it has a group of its own
                found.append(_compare(_member(ours, module), theirs, module, name))
    for path, make in OBJECTS.items():
        if _member(ours, path) is not None:
            own, theirs = make(ours), make(keras)
            members = [_compare(own, theirs, path, name) for name in _public(theirs)]
            found += [member for member in members if not _inherited(member, found)]
    return found


def _inherited(member: Name, found: list[Name]) -> bool:
    """Whether the same was said of `Layer`."""
    return member.group in _LAYERS and any(
        other.group == "layers.Layer"
        and (other.name, other.state, other.difference)
        == (member.name, member.state, member.difference)
        for other in found
    )


def _member(root: Any, path: str) -> Any:
    """What stands at a dotted path, None if nothing does."""
    for part in path.split(".") if path else ():
        root = getattr(root, part, None)
    return root


def _public(owner: Any) -> list[str]:
    """Its names without the private ones."""
    return sorted(name for name in dir(owner) if not name.startswith("_"))


def _compare(own: Any, theirs: Any, group: str, name: str) -> Name:
    """One name in both."""
    if own is None or not hasattr(own, name):
        return Name(group, name, ABSENT, why=why_absent(group, name))
    differences = _differences(getattr(own, name), getattr(theirs, name, None))
    if not differences:
        return Name(group, name, EQUAL)
    why = why_different(group, name, differences)
    return Name(group, name, DIFFERENT, ", ".join(differences), why)


def _differences(own: Any, theirs: Any) -> list[str]:
    """Between two signatures, in words; none if there is none that a caller could see."""
    ours, reference = _signature(own), _signature(theirs)
    if ours is None or reference is None:
        same = isinstance(own, ModuleType) or callable(own) == callable(theirs)
        return [] if same else [f"a {type(own).__name__} instead of a {type(theirs).__name__}"]
    found = [f"lacks {name}" for name in reference if name not in ours]
    found += [f"adds {name}" for name in ours if name not in reference]
    shared = [name for name in reference if name in ours]
    if [name for name in ours if name in reference] != shared:
        found.append("another order")
    for name in shared:
        if ours[name] != reference[name]:
            found.append(f"{name}: {_default(ours[name])} instead of {_default(reference[name])}")
    return found


def _default(text: str) -> str:
    return text or "no default"


def _signature(thing: Any) -> dict[str, str] | None:
    """Arguments in their order, each with its default as text ("" for none)."""
    call = thing.__init__ if inspect.isclass(thing) else thing
    if not callable(call):
        return None
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        return None
    stars: dict[Any, str] = {_ANY_POSITIONAL: "*", _ANY_KEYWORD: "**"}
    return {
        stars.get(p.kind, "") + p.name: "" if p.default is p.empty else repr(p.default)
        for p in parameters
        if p.name not in ("self", "cls")
    }


def record() -> dict[str, Any]:
    """Everything that the file holds."""
    environment = describe()
    return {
        "form": FORM,
        "command": COMMAND,
        "versions": {name: environment.versions[name] for name in ("keras", "tensorflow")},
        "names": [{k: v for k, v in asdict(name).items() if v} for name in compared()],
    }


def page(record: dict[str, Any]) -> str:
    """The table as a page of Markdown."""
    names = [Name(**{"group": "", **entry}) for entry in record["names"]]
    states = (EQUAL, DIFFERENT, ABSENT)
    counts = {g: Counter(n.state for n in names if n.group == g) for g in _groups(names)}
    total = Counter(n.state for n in names)
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [
        "# Keras's public names, and minisgd's",
        "",
        f"Made by `{record['command']}` beside {versions}: edit nothing here.",
        "*Equal*: the same arguments in the same order with the same defaults; *different* and",
        "*absent*: why stands below. Modules come first, then methods and attributes of objects:",
        "of `Sequential` and `Dense` those that are not as in `Layer`.",
        "",
        "| | equal | different | absent |",
        "|---|---:|---:|---:|",
        *(_row(f"`{_title(g)}`", *(c[s] for s in states)) for g, c in counts.items()),
        _row("**all**", *(f"**{total[s]}**" for s in states)),
        "",
        "## Present and different",
        "",
        "| name | difference | why |",
        "|---|---|---|",
        *(
            _row(f"`{n.full}`", n.difference.replace("*", "\\*").replace("|", "\\|"), n.why)
            for n in names
            if n.state == DIFFERENT
        ),
        "",
        "## Absent",
        "",
        "| why | names |",
        "|---|---|",
    ]
    for why in sorted({n.why for n in names if n.state == ABSENT}):
        lacking = [f"`{n.full}`" for n in names if n.state == ABSENT and n.why == why]
        lines.append(_row(f"{why} ({len(lacking)})", ", ".join(lacking)))
    return "\n".join([*lines, ""])


def _groups(names: list[Name]) -> list[str]:
    return list(dict.fromkeys(name.group for name in names))


def _title(group: str) -> str:
    return f"keras.{group}" if group else "keras"


def _row(*cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Write the record and the page."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--output", type=Path, default=PATH)
    output: Path = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    made = record()
    output.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    output.with_suffix(".md").write_text(page(made), encoding="utf-8")
    counts = Counter(entry["state"] for entry in made["names"])
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    print(f"written: {output}, {output.with_suffix('.md')}")


if __name__ == "__main__":
    main()
