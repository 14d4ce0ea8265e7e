"""What live Keras computed, kept in a file, so that parity can be checked without TensorFlow.

``python -m minisgd.parity.recordings`` (``make parity-record``) makes the file anew from live
Keras. It holds checksums of what must be equal everywhere (initial weights, orders of samples,
Dropout masks, Eigen's sums and losses) and the losses of the three scripts' first steps, with the
versions, flags and processor that they came from: behind matrix products the bits depend on those.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd.parity.environment import describe
from minisgd.parity.orders import epoch_order, observed_orders
from minisgd.parity.scripts import BATCH_SIZE, SCRIPTS, load_data
from minisgd.parity.sides import Side, keras_side

FORM = 1
COMMAND = "python -m minisgd.parity.recordings"
PATH = Path("docs/reference/recorded/keras.json")
SEEDS = (0, 1, 42, 2024, 2**32 - 1)
STEPS = 60  # one step is not a test: a wrong exp in a row's sum shows after about ten
INITIALIZERS = (
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "random_normal",
    "random_uniform",
    "truncated_normal",
)


def checksum(values: npt.ArrayLike) -> str:
    """CRC-32 of an array's bytes, little-endian, with its dtype and shape.

    >>> checksum(np.zeros(3, np.float32))
    'float32(3,) 7bd5c66f'
    """
    array = np.ascontiguousarray(values)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return f"{array.dtype.name}{np.shape(values)} {zlib.crc32(array.tobytes()):08x}"


def starts(side: Side) -> dict[str, str]:
    """Checksums of initial weights: the network's for every seed, each initializer's for two."""
    found = {}
    for seed in SEEDS:
        model = SCRIPTS[1].start(side.ns, seed)
        for name, weight in zip(("W1", "b1", "W2", "b2"), model.get_weights(), strict=True):
            found[f"seed {seed} {name}"] = checksum(weight)
    for name in INITIALIZERS:
        for seed in (7, 123456789):
            initializer = getattr(side.ns.initializers, name)(seed=seed)
            found[f"{name} {seed}"] = checksum(np.asarray(initializer((67, 11))))
    return found


def masks(side: Side) -> dict[str, str]:
    """Checksums of three calls of a Dropout layer in training."""
    layer = side.ns.layers.Dropout(0.3, seed=11)
    ones = np.ones((5, 13), np.float32)
    return {f"call {i}": checksum(np.asarray(layer(ones, training=True))) for i in range(3)}


def orders(side: Side) -> dict[str, str]:
    """Checksums of the orders in which two epochs of `fit` visited 103 samples."""
    found = {}
    for seed in SEEDS:
        for shuffle in (True, "batch"):
            both = observed_orders(side, 103, seed, epochs=2, batch_size=10, shuffle=shuffle)
            found[f"seed {seed} shuffle {shuffle}"] = checksum(np.concatenate(both))
    return found


def losses(side: Side) -> dict[str, str]:
    """Checksums of losses and their gradients from given logits: no matrix product before them."""
    draw = np.random.default_rng(5)
    found = {}
    for rows, classes in ((1, 2), (7, 3), (32, 10), (33, 10), (100, 10), (17, 100)):
        logits = (4 * draw.standard_normal((rows, classes))).astype(np.float32)
        labels = draw.integers(0, classes, rows)
        one_hot = np.eye(classes, dtype=np.float32)[labels]
        for name, y in (("Categorical", one_hot), ("SparseCategorical", labels)):
            loss_function = getattr(side.ns.losses, f"{name}Crossentropy")(from_logits=True)
            tensor = side.tensor(logits)
            with side.tape() as tape:
                tape.watch(tensor)
                loss = loss_function(y, tensor)
            key = f"{name} {rows}x{classes}"
            found[f"{key} loss"] = checksum(np.asarray(loss))
            found[f"{key} gradient"] = checksum(np.asarray(tape.gradient(loss, tensor)))
    return found


EXACT: dict[str, Callable[[Side], dict[str, str]]] = {
    "starts": starts,
    "masks": masks,
    "orders": orders,
    "losses": losses,
}


def step_losses(side: Side, number: int, seed: int = 42) -> list[float]:
    """Return the loss of each of the first steps of a script, from the seed alone."""
    data = load_data(side.ns)
    order = epoch_order(len(data.x_train), seed)
    model = SCRIPTS[number].start(side.ns, seed)
    values = []
    for step in range(STEPS):
        rows = order[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
        logs = model.train_on_batch(data.x_train[rows], data.y_train[rows], return_dict=True)
        values.append(float(logs["loss"]))
    return values


def record(side: Side) -> dict[str, Any]:
    """Everything that the file holds."""
    environment = describe()
    return {
        "form": FORM,
        "command": COMMAND,
        "environment": environment.as_dict(),
        "reference_setup": environment.reference_setup,
        "exact": {name: compute(side) for name, compute in EXACT.items()},
        "step_losses": {str(number): step_losses(side, number) for number in SCRIPTS},
    }


def load(root: Path = Path()) -> Any:
    """Read the recording in the project at `root`."""
    return json.loads((root / PATH).read_text(encoding="utf-8"))


def main() -> None:
    """Write the recording made from live Keras."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--output", type=Path, default=PATH)
    output: Path = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(record(keras_side()), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
