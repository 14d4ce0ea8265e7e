"""scikit-learn's MLPClassifier: one `partial_fit` is one epoch."""

from __future__ import annotations

from types import SimpleNamespace

from sklearn.neural_network import MLPClassifier

from benchmarks.peers import data
from benchmarks.peers.worker import Clock


def run(job: SimpleNamespace, clock: Clock) -> None:
    """Train epoch after epoch."""
    x, y = data.load(job)
    labels, classes = y.argmax(axis=1), list(range(data.CLASSES))
    model = MLPClassifier(
        hidden_layer_sizes=job.layers[1:-1],
        activation="relu",
        solver="sgd",
        alpha=0,
        batch_size=job.batch_size,
        learning_rate_init=data.LEARNING_RATE,
        momentum=job.momentum,
        nesterovs_momentum=False,
        random_state=0,
    )
    clock.ready()
    while True:
        with clock.lap(data.steps(job, len(x))):
            model.partial_fit(x, labels, classes=classes)
