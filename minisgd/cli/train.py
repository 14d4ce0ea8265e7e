"""``minisgd train``: a network of two Dense layers, its accuracy, and what is left of the run."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any

import click
import numpy as np

from minisgd import __version__, callbacks, compiler, layers, optimizers, runs, utils
from minisgd.cli.data import CLASSES, PIXELS, Data, load
from minisgd.models import Sequential
from minisgd.utils import machine
from minisgd.utils.command_line import INTERRUPTED, Number
from minisgd.utils.curve import can_draw_braille, draw_curve
from minisgd.utils.progbar import write_line

_CURVE_WIDTH = 72


@dataclass(frozen=True)
class Options:
    """What `minisgd train` was asked for; see its help."""

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    nesterov: bool
    hidden: int
    seed: int
    data: str
    verbose: int


@click.command("train")
@click.option(
    "--epochs", type=click.IntRange(min=1), default=10, metavar="N", help="Passes over the images."
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=32,
    metavar="N",
    help="Images in a training step.",
)
@click.option(
    "--learning-rate", type=Number(min=0), default=0.01, metavar="X", help="Step size of SGD."
)
@click.option("--momentum", type=Number(0, 1), default=0.0, metavar="X", help="Momentum of SGD.")
@click.option("--nesterov", is_flag=True, help="Nesterov's momentum (with --momentum).")
@click.option(
    "--hidden",
    type=click.IntRange(1, 2**16),
    default=128,
    metavar="N",
    help="Units in the hidden layer.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    metavar="N",
    help="Repeat a run: the seed that it printed. Equal seeds give Keras's weights and order of "
    "images.  [default: drawn anew]",
    show_default=False,
)
@click.option(
    "--data",
    default="mnist",
    metavar="mnist|fashion-mnist|FILE",
    help="Images: a data set, or an .npz file laid out as Keras's mnist.npz.",
)
@click.option(
    "--verbose",
    type=click.IntRange(0, 2),
    metavar="0|1|2",
    default=1,
    help="While training: 0 nothing, 1 a progress bar, 2 a line an epoch.",
)
@click.option(
    "--runs",
    "parent",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    help="Folder in which the run gets a folder of its own.",
)
@click.option("--no-save", is_flag=True, help="Make no such folder.")
@click.option(
    "--save",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Save the model there, too, e.g. model.keras: for `evaluate`, `predict` and Keras.",
)
def command(parent: Path, no_save: bool, file: Path | None, **choices: Any) -> None:
    """Train a network of two Dense layers on images of 28 x 28 pixels.

    It ends with the accuracy on the test images, which training has not seen, and the model,
    history and options saved in runs/<date>.
    """
    if choices["nesterov"] and not choices["momentum"]:
        raise click.UsageError("--nesterov has no effect without --momentum, e.g. --momentum 0.9")
    if file is not None:
        _check_file(file)
    if choices["seed"] is None:
        choices["seed"] = secrets.randbelow(2**32)
    options = Options(**choices)
    folder = None
    try:
        data = load(options.data)
        # Before training: a folder that can't be made shows at once, not after all the work.
        folder = None if no_save else _new_folder(parent)
        _train(options, data, folder, file)
    except KeyboardInterrupt:
        write_line("\nInterrupted: nothing was saved.")
        click.get_current_context().exit(INTERRUPTED)
    except MemoryError:
        raise click.ClickException(
            f"not enough memory for --hidden {options.hidden} --batch-size {options.batch_size}"
        ) from None
    finally:
        if folder is not None:
            runs.remove_if_empty(folder)


def _new_folder(parent: Path) -> Path:
    try:
        return runs.create_folder(parent)
    except OSError as error:
        raise click.BadParameter(f"{error}; or use --no-save", param_hint="'--runs'") from error


def _check_file(file: Path) -> None:
    """Refuse a file for the model before training, not after all the work."""
    text = ""
    if file.suffix != ".keras":
        text = f"expected a file that ends in .keras, received {file}"
    elif not file.parent.is_dir():
        text = f"no folder {file.parent}"
    elif not os.access(file.parent, os.W_OK):
        text = f"the folder {file.parent} can't be written to"
    if text:
        raise click.BadParameter(text, param_hint="'--save'")


def compiled_model(options: Options) -> Sequential:
    """The network, compiled."""
    model = Sequential(
        [
            layers.Dense(options.hidden, activation="relu", input_shape=(PIXELS,)),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    sgd = optimizers.SGD(options.learning_rate, options.momentum, options.nesterov)
    model.compile(optimizer=sgd, loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def _compile_kernels(options: Options, data: Data) -> float:
    """Run one step of a throw-away model, so that all kernels are there; returns the seconds."""
    start = perf_counter()
    if not machine.has_compiled_kernels():
        write_line("Compiling the compute kernels: about 20 s, only this first time ...")
    model = compiled_model(options)
    if options.epochs * len(data.x_train) // options.batch_size >= compiler.WORTH_STEPS:
        model.jit_compile = True  # as the real `fit` will
    model.fit(data.x_train[:1], data.y_train[:1], verbose=0)
    utils.clear_session()  # the real model's layers shall be called dense and dense_1
    return perf_counter() - start


class _Progress(callbacks.Callback):
    """Count steps, time epochs, and end training after the present step when asked to."""

    every_batch = False

    def __init__(self) -> None:
        super().__init__()
        self.steps = self._before = 0
        self.seconds: list[float] = []
        self.stop_requested = False
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock."""
        self._before = self.steps
        self._start = perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the steps."""
        self.steps = self._before + batch + 1
        if self.stop_requested:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stop the clock."""
        self.seconds.append(perf_counter() - self._start)

    @contextmanager
    def stopped_by_ctrl_c(self) -> Iterator[None]:
        """Let Ctrl-C end training between two steps, where all weights belong together.

        A second one, or one before the first step, raises KeyboardInterrupt as usual.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are the main thread's
            return

        def on_interrupt(number: int, frame: FrameType | None) -> None:
            if self.stop_requested or not self.steps:
                raise KeyboardInterrupt
            self.stop_requested = True

        previous = signal.signal(signal.SIGINT, on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)


def _train(options: Options, data: Data, folder: Path | None, file: Path | None) -> None:
    """Train, evaluate, save, and say so."""
    started = datetime.now().astimezone()
    compile_seconds = _compile_kernels(options, data)
    utils.set_random_seed(options.seed)
    model = compiled_model(options)
    for line in _heading(options, data):
        write_line(line)
    progress = _Progress()
    # Evaluation and saving included: a Ctrl-C just then must not lose the run.
    with progress.stopped_by_ctrl_c():
        history = model.fit(
            data.x_train,
            data.y_train,
            epochs=options.epochs,
            batch_size=options.batch_size,
            verbose=options.verbose,
            callbacks=[progress],
        ).history
        results = _results(model, options, data, progress)
        results["compile_seconds"] = round(compile_seconds, 3)
        for line in _report(results, options, data):
            write_line(line)
        _show_curve(history["loss"])
        if folder is None:
            write_line("Not saved (--no-save).")
        else:
            _save(folder, model, options, data, started, history, progress.seconds, results)
        if file is not None:
            _save_model(model, file)
            write_line(f"Saved the model: {file}")
    if results["interrupted"]:
        click.get_current_context().exit(INTERRUPTED)


def _results(
    model: Sequential, options: Options, data: Data, progress: _Progress
) -> dict[str, Any]:
    """What came out; the test accuracy only of a run that was not interrupted."""
    images = len(data.x_train)
    whole, rest = divmod(progress.steps, -(-images // options.batch_size))
    seconds = sum(progress.seconds)
    results: dict[str, Any] = {
        "interrupted": whole < options.epochs,
        "epochs_completed": whole,
        "steps": progress.steps,
        "seconds": round(seconds, 3),
        "images_per_second": round((whole * images + rest * options.batch_size) / seconds),
    }
    if not results["interrupted"]:
        loss, accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)
        results |= {"test_accuracy": accuracy, "test_loss": loss}
    return results


def _report(results: dict[str, Any], options: Options, data: Data) -> list[str]:
    """The results in words."""
    if results["interrupted"]:
        epoch = results["epochs_completed"] + 1
        first = f"Interrupted in epoch {epoch} of {options.epochs}, step {results['steps']:,}"
    else:
        first = (
            f"Test accuracy  {100 * results['test_accuracy']:.2f} % of {len(data.x_test):,} "
            f"images, loss {results['test_loss']:.4f}"
        )
    speed = f"{results['images_per_second']:,} images per second"
    return ["", first, f"Time           {results['seconds']:.1f} s, {speed}", ""]


def _heading(options: Options, data: Data) -> list[str]:
    """What is about to be done, in two lines."""
    sgd = f"SGD with learning rate {options.learning_rate:g}"
    if options.momentum:
        kind = "Nesterov momentum" if options.nesterov else "momentum"
        sgd += f" and {kind} {options.momentum:g}"
    epochs = "1 epoch" if options.epochs == 1 else f"{options.epochs} epochs"
    return [
        f"{data.name}: {len(data.x_train):,} images, {PIXELS}-{options.hidden}-{CLASSES} "
        f"network, {epochs} in batches of {options.batch_size}",
        f"{sgd}, seed {options.seed}",
    ]


def _show_curve(losses: Sequence[float]) -> None:
    """Draw the loss over the epochs, as wide as the terminal allows."""
    from rich import get_console

    if len(losses) == 1:
        write_line(f"Training loss  {losses[0]:.4f} (more epochs make a curve)")
    else:
        width = min(get_console().width - 1, _CURVE_WIDTH)
        braille = can_draw_braille()
        write_line(draw_curve(losses, "Training loss", "epoch", width, braille=braille))
    write_line("")
    if not np.isfinite(losses).all():
        write_line("The loss is no longer a number: training diverged; lower --learning-rate.")


def _save(
    folder: Path,
    model: Sequential,
    options: Options,
    data: Data,
    started: datetime,
    history: dict[str, list[Any]],
    seconds: Sequence[float],
    results: dict[str, Any],
) -> None:
    """Write the files of a run."""
    config = {
        "started": started.isoformat(timespec="seconds"),
        "options": asdict(options),
        "data": {"train_images": len(data.x_train), "test_images": len(data.x_test)},
        "results": results,
        "versions": machine.versions(__version__),
        "cpu": machine.cpu(),
        "system": machine.system(),
    }
    try:
        model.save(folder / runs.MODEL)
        model.save_weights(folder / runs.WEIGHTS)
        runs.write_history(folder, history, seconds)
        runs.write_config(folder, config)
    except OSError as error:
        raise click.ClickException(f"the run could not be saved: {error}") from error
    names = ", ".join((runs.MODEL, runs.WEIGHTS, runs.HISTORY, runs.CONFIG))
    write_line(f"Saved in {folder}: {names}")


def _save_model(model: Sequential, file: Path) -> None:
    """Write the model where ``--save`` says."""
    try:
        model.save(file)
    except OSError as error:
        raise click.ClickException(f"the model could not be saved: {error}") from error
