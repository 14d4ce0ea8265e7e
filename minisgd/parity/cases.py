"""The runs for which equal bits are promised: each a change to script 1, or another network.

A `Case` says how one run of `fit` differs from script 1 (784-128-10, relu and softmax, SGD with
rate 0.01, batch 32); `CASES` lists them in groups, as the table in the docs does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd.parity.scripts import EPOCHS, keras_scheduler, load_data

Array = npt.NDArray[Any]
CLASSES = 10
IMAGES = 60_000


@dataclass(frozen=True)
class Case:
    """One run of `fit`.

    Attributes
    ----------
    name : str
        As in the table.
    sgd : mapping
        Arguments of SGD. A learning rate that is a tuple is a schedule: its class and arguments.
    hidden : sequence of int
        Width of each hidden layer.
    activation : str
        Of the hidden layers.
    dropout : float
        Rate of a Dropout behind each hidden layer; 0 for none.
    layers : callable, optional
        ``layers(ns)`` returns the hidden layers, instead of the three above.
    last : str or None
        Activation of the last layer.
    classes : int
        Number of classes; other than ten, labels are made up.
    loss : callable, optional
        ``loss(ns)`` returns what is given to `compile`; by default the cross-entropy.
    sparse : bool
        Class numbers instead of one-hot rows.
    weights : str
        "sample", "class" or "": what weights the samples have.
    scheduled : bool
        Whether script 3's LearningRateScheduler goes with it.
    fit : mapping
        Further arguments of `fit`.
    batch_size, samples, epochs : int
    """

    name: str
    sgd: Mapping[str, Any] = field(default_factory=lambda: {"learning_rate": 0.01})
    hidden: Sequence[int] = (128,)
    activation: str = "relu"
    dropout: float = 0.0
    layers: Callable[[Any], Sequence[Any]] | None = None
    last: str | None = "softmax"
    classes: int = CLASSES
    loss: Callable[[Any], Any] | None = None
    sparse: bool = False
    weights: str = ""
    scheduled: bool = False
    fit: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 32
    samples: int = IMAGES
    epochs: int = 1

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    def start(self, ns: Any, seed: int, numerics: str = "") -> Any:
        """Seed the package, then return the compiled network.

        Parameters
        ----------
        ns : module
            ``keras`` or ``minisgd``.
        seed : int
        numerics : str
            Given to minisgd's `compile`, if any.
        """
        ns.utils.set_random_seed(seed)
        hidden = self._hidden(ns) if self.layers is None else self.layers(ns)
        last = ns.layers.Dense(self.classes, activation=self.last)
        model = ns.models.Sequential([ns.layers.Input((784,)), *hidden, last])
        arguments = dict(self.sgd)
        if isinstance(arguments["learning_rate"], tuple):
            schedule, *rest = arguments["learning_rate"]
            arguments["learning_rate"] = getattr(ns.optimizers.schedules, schedule)(*rest)
        chosen = {"numerics": numerics} if numerics else {}
        model.compile(
            optimizer=ns.optimizers.SGD(**arguments),
            loss=self._loss(ns),
            metrics=["accuracy"],
            **chosen,
        )
        return model

    def callbacks(self, ns: Any) -> list[Any]:
        """Return the callbacks that belong to the run."""
        return [ns.callbacks.LearningRateScheduler(keras_scheduler)] if self.scheduled else []

    def _hidden(self, ns: Any) -> list[Any]:
        layers = []
        for units in self.hidden:
            layers.append(ns.layers.Dense(units, activation=self.activation))
            if self.dropout:
                layers.append(ns.layers.Dropout(self.dropout))
        return layers

    def _loss(self, ns: Any) -> Any:
        if self.loss is not None:
            return self.loss(ns)
        return "sparse_categorical_crossentropy" if self.sparse else "categorical_crossentropy"

    def data(self, ns: Any) -> tuple[dict[str, Any], tuple[Array, Array]]:
        """Return the data arguments of `fit`, and the test images with their labels."""
        images = load_data(ns)
        x, y = images.x_train, images.y_train.argmax(axis=1)
        if self.samples > len(x):
            raise ValueError(f"`samples`: expected at most {len(x)}, received {self.samples}")
        x, y = x[: self.samples], y[: self.samples]
        arguments: dict[str, Any] = {"x": x, "y": self._labels(ns, y)}
        rng = np.random.default_rng(0)
        if self.weights == "sample":
            arguments["sample_weight"] = rng.uniform(0.2, 3, len(x)).astype(np.float32)
        if self.weights == "class":
            arguments["class_weight"] = {c: 0.5 + 0.3 * c for c in range(self.classes)}
        return arguments, (images.x_test, self._labels(ns, images.y_test.argmax(axis=1)))

    def _labels(self, ns: Any, y: Array) -> Array:
        if self.classes != CLASSES:
            y = (y + CLASSES * (np.arange(len(y)) % CLASSES)) % self.classes
        return y if self.sparse else np.asarray(ns.utils.to_categorical(y, self.classes))


SCHEDULES = {
    "ExponentialDecay": ("ExponentialDecay", 0.1, 700, 0.9),
    "InverseTimeDecay": ("InverseTimeDecay", 0.1, 700, 0.9),
    "PiecewiseConstantDecay": ("PiecewiseConstantDecay", [300, 1200], [0.1, 0.03, 0.01]),
    "PolynomialDecay": ("PolynomialDecay", 0.3, 1100, 0.001, 2.0),
    "CosineDecay": ("CosineDecay", 0.01, 1300, 0.1, "CosineDecay", 0.3, 500),
    "CosineDecayRestarts": ("CosineDecayRestarts", 0.1, 500, 1.5, 0.9, 0.1),
}

SCRIPTS = [
    Case("script 1: rate 0.01", epochs=EPOCHS),
    Case("script 2: momentum 0.9", {"learning_rate": 0.01, "momentum": 0.9}, epochs=EPOCHS),
    Case("script 3: rate 0.1, scheduled", {"learning_rate": 0.1}, scheduled=True, epochs=EPOCHS),
]


def _cross_entropy(**arguments: Any) -> Callable[[Any], Any]:
    return lambda ns: ns.losses.CategoricalCrossentropy(**arguments)


def _every_fused_activation(ns: Any) -> list[Any]:
    """With Dropout between them, and one that comes as a layer of its own."""
    layers = ns.layers
    return [
        layers.Dropout(0.2),
        layers.Dense(64, "tanh"),
        layers.Dropout(0.25),
        layers.Dense(33, "sigmoid"),
        layers.Dense(48, "elu"),
        layers.Dense(30),
        layers.Activation("tanh"),
    ]


OPTIONS = [
    Case("momentum 0.9, rate 0.1", {"learning_rate": 0.1, "momentum": 0.9}),
    Case("Nesterov", {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True}),
    Case("weight_decay", {"learning_rate": 0.01, "weight_decay": 0.004}),
    Case("clipvalue", {"learning_rate": 0.01, "clipvalue": 0.01}),
    Case("clipnorm", {"learning_rate": 0.01, "clipnorm": 0.3}),
    Case("global_clipnorm", {"learning_rate": 0.01, "global_clipnorm": 0.7}),
    Case("use_ema", {"learning_rate": 0.01, "use_ema": True}),
    Case(
        "use_ema, overwriting",
        {"learning_rate": 0.01, "use_ema": True, "ema_overwrite_frequency": 100},
    ),
    Case(
        "gradient_accumulation_steps=4",
        {"learning_rate": 0.01, "gradient_accumulation_steps": 4},
    ),
    *(Case(name, {"learning_rate": arguments}) for name, arguments in SCHEDULES.items()),
    Case("label_smoothing", loss=_cross_entropy(label_smoothing=0.1)),
    Case("sparse labels", sparse=True),
    Case("sample_weight", weights="sample"),
    Case("class_weight", weights="class"),
    Case("Dropout", dropout=0.25),
    Case("validation_split", fit={"validation_split": 0.1}),
    Case("hidden tanh", activation="tanh"),
    Case("hidden sigmoid", activation="sigmoid"),
]

_SIZES = (16, 20, 32, 50, 64, 96, 100, 128, 200, 256, 384)
_STEPS = 30


def _batches() -> list[Case]:
    """Thirty whole batches and a short last one, of every kind of length."""
    cases = []
    for size in _SIZES:
        lengths = {0, 1, 2, 3, 7, 8, 12, 15, size // 2, size - 1}
        cases += [
            Case(
                f"batch {size}, {_STEPS} and a last one of {rest}",
                {"learning_rate": 0.1, "momentum": 0.9},
                batch_size=size,
                samples=_STEPS * size + rest,
                epochs=2,
            )
            for rest in sorted(lengths)
            if rest < size
        ]
    return cases


BATCHES = _batches()
OTHER_BATCHES = [
    Case(
        f"batch {size}",
        {"learning_rate": 0.1, "momentum": 0.9},
        batch_size=size,
        samples=min(max(size * steps, 200), IMAGES),
        epochs=2,
    )
    for size, steps in (
        *((n, 200) for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 15)),
        *((n, 20) for n in (400, 500, 512, 600, 768, 1000, 1024, 2000, 2048)),
        *((n, 3) for n in (4096, 10_000, 20_000, 30_000, 60_000)),
    )
]
NETWORKS = [
    Case(f"784-{width}-10", hidden=(width,), samples=6400)
    for width in (10, 16, 20, 30, 32, 50, 64, 100, 200, 256, 300, 500, 512, 784, 1000)
] + [
    Case("784-10 (softmax regression)", hidden=(), samples=6400),
    Case("784-512-512-10", hidden=(512, 512), samples=6400),
    Case("784-300-100-10", hidden=(300, 100), samples=6400),
    Case("784-64-64-64-10", hidden=(64, 64, 64), samples=6400),
    Case("784-128-64-32-16-10", hidden=(128, 64, 32, 16), samples=6400),
    Case("784-100-50-20-10-10", hidden=(100, 50, 20, 10), samples=6400),
]
CLASS_COUNTS = [
    Case(f"{classes} classes", classes=classes, samples=6400)
    for classes in (2, 3, 4, 5, 7, 8, 9, 11, 15, 16, 17, 20, 26, 32, 47, 50, 64, 100)
]

MOMENTUM = {"learning_rate": 0.1, "momentum": 0.9}
LAYERS = [
    *(
        Case(f"hidden {name}", activation=name, samples=6400)
        for name in ("elu", "leaky_relu", "softplus", "exponential", "softmax", "linear")
    ),
    Case("a stack of activations", MOMENTUM, layers=_every_fused_activation, samples=6400),
    Case(
        "use_bias=False",
        MOMENTUM,
        layers=lambda ns: [ns.layers.Dense(128, "tanh", use_bias=False)],
        samples=6400,
    ),
    Case("mean squared error", MOMENTUM, loss=lambda ns: "mse", samples=6400),
    Case(
        "mean squared error, sigmoid", MOMENTUM, last="sigmoid", loss=lambda ns: "mse", samples=6400
    ),
    Case("from_logits", MOMENTUM, last=None, loss=_cross_entropy(from_logits=True), samples=6400),
    Case("loss_scale_factor", MOMENTUM | {"loss_scale_factor": 10.0}, samples=6400),
    Case("one hidden unit", hidden=(1,), samples=6400),
]

# Under other settings of TensorFlow: an epoch, short ones of other shapes, other networks.
SETTINGS = [
    Case("momentum 0.9, rate 0.1", MOMENTUM),
    Case("hidden tanh", activation="tanh"),
    Case("Dropout", dropout=0.25, samples=6400),
    *(
        Case(
            f"batch {size}, a last one of {rest}",
            MOMENTUM,
            batch_size=size,
            samples=max(30 * size, 200) + rest,
        )
        for size, rest in (
            (1, 0), (2, 1), (5, 3), (12, 7), (16, 1), (20, 19), (32, 30), (50, 11), (64, 3),
            (96, 2), (100, 9), (128, 127), (200, 4), (256, 15), (384, 33), (512, 1), (1000, 1),
        )
    ),
    Case("784-10 (softmax regression)", MOMENTUM, hidden=(), samples=6400),
    Case("784-300-100-10", MOMENTUM, hidden=(300, 100), samples=6400),
    Case("784-512-10", MOMENTUM, hidden=(512,), samples=6400),
    Case("26 classes", MOMENTUM, classes=26, samples=6400),
]  # fmt: skip

# What TensorFlow does and minisgd does not follow: recorded with its measured bound.
NOT_FOLLOWED = [
    Case(
        "mean squared error, class_weight, whole batches",
        loss=lambda ns: "mse",
        weights="class",
        samples=6400,
    ),
    Case(
        "tanh, then sigmoid, behind a dense layer",
        layers=lambda ns: [ns.layers.Dense(128, "tanh"), ns.layers.Activation("sigmoid")],
        samples=6400,
    ),
    Case("cross-entropy behind softplus", last="softplus", samples=6400),
]

GROUPS: Mapping[str, Sequence[Case]] = {
    "scripts": SCRIPTS,
    "options": OPTIONS,
    "batches": BATCHES,
    "other batches": OTHER_BATCHES,
    "networks": NETWORKS,
    "layers": LAYERS,
    "settings": SETTINGS,
    "not followed": NOT_FOLLOWED,
    "classes": CLASS_COUNTS,
}
