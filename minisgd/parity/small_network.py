"""Small networks and a hundred samples, for comparisons that take milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
N, FEATURES, CLASSES = 101, 20, 4
CATEGORICAL, SPARSE = "categorical_crossentropy", "sparse_categorical_crossentropy"


def make_data() -> dict[str, Array]:
    """Return classes that lie apart, so that there is something to learn in a few steps."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, CLASSES, N)
    centres = rng.random((CLASSES, FEATURES))
    x = (centres[classes] + rng.standard_normal((N, FEATURES)) * 0.2).astype(np.float32)
    return {
        "x": x,
        "classes": classes,
        "y": np.eye(CLASSES, dtype=np.float32)[classes],
        "w": rng.random(N, np.float32),
    }


DATA = make_data()
X, Y, C, W = DATA["x"], DATA["y"], DATA["classes"], DATA["w"]


def build(ns: Any, dropout: float = 0.0) -> Any:
    """Return 20-8-4 with relu and softmax, with Dropout in between if its rate is given."""
    layers = ns.layers
    stack = [layers.Input((FEATURES,)), layers.Dense(8, activation="relu")]
    if dropout:
        stack.append(layers.Dropout(dropout))
    return ns.Sequential([*stack, layers.Dense(CLASSES, activation="softmax")])


def network(ns: Any) -> Any:
    """Return a model with a layer of every kind, for inputs of shape (N, 4, 3)."""
    layers = ns.layers
    return ns.Sequential(
        [
            layers.Input((4, 3)),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10),
            layers.Activation("softmax"),
        ]
    )
