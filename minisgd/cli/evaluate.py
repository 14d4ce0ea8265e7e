"""``minisgd evaluate``: loss and metrics of a saved model on test images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from minisgd import losses, runs
from minisgd.cli import saved
from minisgd.cli.data import Data
from minisgd.cli.data import load as load_data
from minisgd.utils.progbar import write_line

_SPARSE = (losses.SparseCategoricalCrossentropy,)


@click.command("evaluate")
@saved.argument
@click.argument("data", default="mnist")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=32, metavar="N", help="Images at once."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def command(model: Path, data: str, batch_size: int, as_json: bool) -> None:
    """Measure MODEL on the test images of DATA.

    MODEL is a .keras file, minisgd's or Keras's, or the folder of a run of `minisgd train`. DATA is
    mnist (default), fashion-mnist, or an .npz file laid out as Keras's mnist.npz.

    The loss and the metrics are those that the model was compiled with; one that was not compiled
    gets the categorical cross-entropy and the accuracy.
    """
    loaded = saved.load(model)
    images = load_data(data, "'DATA'")
    results = measure(loaded, images, batch_size)
    if as_json:
        record = {
            "model": str(model),
            "data": images.name,
            "images": len(images.x_test),
            "results": results,
        }
        write_line(json.dumps(runs.finite(record), indent=1, allow_nan=False))
        return
    write_line(f"{images.name}: {len(images.x_test):,} test images")
    width = max(map(len, results))
    for name, value in results.items():
        share = f"  ({100 * value:.2f} %)" if "accuracy" in name else ""
        write_line(f"{name:<{width}}  {value:.6g}{share}")


def measure(model: Any, data: Data, batch_size: int) -> dict[str, float]:
    """Loss and metrics by name, the loss first."""
    if not model.compiled or model.loss is None:
        model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    sparse = isinstance(losses.resolve(model.loss), _SPARSE)
    labels = np.argmax(data.y_test, -1) if sparse else data.y_test
    images = saved.shaped(model, data.x_test)
    try:
        found = model.evaluate(images, labels, batch_size, verbose=0, return_dict=True)
    except (ValueError, TypeError) as error:
        raise click.ClickException(f"the model can't be evaluated on digits: {error}") from error
    return {"loss": found.pop("loss"), **found}
