"""Trainer: compile, fit, evaluate, predict. Start reading at `Trainer.fit`, then `train_step`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from minisgd import losses, ops, optimizers
from minisgd import numerics as rounding
from minisgd.callbacks import CallbackList, History
from minisgd.callbacks.callback import called
from minisgd.callbacks.fit_state import Progress
from minisgd.compiler import Runner, compiled_source, trying
from minisgd.data import ArrayData, Epochs, NumericsWatch, Span, epochs_of, naming, split_off
from minisgd.data.adapters import validation_epochs
from minisgd.data.arguments import checked_counts, is_due
from minisgd.data.arrays import Batch, positive_int, whole_batch
from minisgd.data.known_shapes import KnownShapes
from minisgd.losses.weighted import times_weight
from minisgd.metrics import Mean, compiled
from minisgd.tape import GradientTape
from minisgd.tensor import Array, Tensor, Variable
from minisgd.utils import batches
from minisgd.utils.arguments import check_flags
from minisgd.utils.interrupts import WholeSteps
from minisgd.utils.one_thread import in_one_thread

Logs = dict[str, float]


class Trainer:
    """What a model needs in order to be trained; `minisgd.models.Sequential` is one.

    References
    ----------
    Keras, trainers/trainer.py and backend/tensorflow/trainer.py.
    """

    optimizer: optimizers.Optimizer | None = None
    history: History | None = None
    stop_training = False
    stop_evaluating = False
    stop_predicting = False
    run_eagerly = False
    jit_compile: bool | str = "auto"
    numerics: rounding.Numerics = rounding.DEFAULT
    check_numerics = False

    _progress: Progress | None = None  # of the running `fit`
    _whole_steps = WholeSteps()

    # What the model itself provides.
    name: str
    trainable_variables: list[Variable]
    losses: list[Tensor]

    if TYPE_CHECKING:

        def __call__(self, inputs: Any, training: bool | None = None) -> Tensor: ...  # noqa: D102

    # --- compile ---
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Sequence[Any] | None = None,  # noqa: A002
        weighted_metrics: Sequence[Any] | None = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
        *,
        numerics: str | rounding.Numerics = "avx512",
        check_numerics: bool = False,
    ) -> None:
        """Choose optimizer, loss and metrics; the weights stay as they are.

        Parameters
        ----------
        optimizer : str or SGD
            Keras's default is "rmsprop", which minisgd has not: name "sgd" or an `SGD`.
        loss : str, Loss or callable
        loss_weights : float, or list of one, optional
            What the loss is multiplied by; penalties are not.
        metrics : list of (str or Metric), optional
            E.g. ``["accuracy"]``; functions, too.
        weighted_metrics : list of (str or Metric), optional
            Metrics that `sample_weight` and `class_weight` weigh; `metrics` they don't.
        run_eagerly : bool
            Keras's graph fuses neighbouring operations, and its bits follow. With True they are
            those of Keras's eager steps, and nothing is compiled.
        jit_compile : bool or "auto"
            Whether `fit`, `evaluate` and `predict` run steps that `minisgd.compiler` has printed
            and Numba compiled: the same bits, faster. "auto": where that can be and the run is
            long enough to be worth it. True: it says so in a line if it can't.
        steps_per_execution, auto_scale_loss
            Accepted as in Keras; the results don't depend on them.
        numerics : {"avx512", "avx2", "eigen", "eigen_1_thread", "eigen_avx2", "accurate"}
            Not in Keras: whose rounding to follow, see `minisgd.numerics`. "accurate": a step
            computes in float64; weights and gradients stay float32.
        check_numerics : bool
            Not in Keras: whether NaN, infinity, labels that are no distributions and the like are
            errors in `fit`, `evaluate` and `predict`, the weights being those of before the step,
            and not only warnings; see `minisgd.data.NumericsWatch`.

        Raises
        ------
        ValueError
            If a name is unknown or `metrics` is no list.
        """
        found_metrics = compiled.flattened(metrics, "metrics")
        found_weighted = compiled.flattened(weighted_metrics, "weighted_metrics")
        positive_int(steps_per_execution, "steps_per_execution")
        # Whatever can fail comes first: a refused `compile` changes nothing.
        found_loss = times_weight(losses.resolve(loss), loss_weights)
        found_numerics = rounding.get(numerics)
        if jit_compile not in (True, False, None, "auto"):
            msg = f"`jit_compile`: expected True, False or 'auto', received {jit_compile!r}"
            raise ValueError(msg)
        flags = {"check_numerics": check_numerics, "auto_scale_loss": auto_scale_loss}
        check_flags(run_eagerly=run_eagerly or False, **flags)
        self.optimizer = optimizers.get(optimizer)
        self.loss, self._loss = loss, found_loss
        self.run_eagerly, self.check_numerics = bool(run_eagerly), bool(check_numerics)
        self.numerics = found_numerics
        self.jit_compile = "auto" if jit_compile == "auto" else bool(jit_compile)
        self._metric_identifiers = found_metrics, found_weighted
        self._compiled_with = (loss, loss_weights, metrics, weighted_metrics, steps_per_execution)
        self._metrics: list[Any] | None = None
        self._met = {"train": KnownShapes(), "test": KnownShapes()}
        self._shapes_known = {}
        self._loss_tracker = Mean(name="loss")
        self.compiled = True

    compiled = False
    _shapes_known: Mapping[str, bool] = {}  # of a kind of step

    def _assert_compiled(self, method: str) -> None:
        if not self.compiled:
            msg = (
                f"You must call `compile()` before using the model: `{method}` needs an optimizer "
                "and a loss, e.g. model.compile(optimizer='sgd', loss='categorical_crossentropy')."
            )
            raise ValueError(msg)

    @property
    def metrics(self) -> list[Any]:
        """The loss tracker and the metrics, as far as they are known (after the first batch)."""
        if not self.compiled:
            return []
        found = self._metrics or ()
        return [self._loss_tracker, *(getattr(m, "metric", m) for m in found)]

    @property
    def metrics_names(self) -> list[str]:
        """Names of `metrics`: the order of `evaluate`'s results."""
        return [m.name for m in self.metrics]

    def reset_metrics(self) -> None:
        """Start all running figures anew."""
        for metric in self.metrics:
            metric.reset_state()

    def _numerics_scope(self, kind: str) -> AbstractContextManager[None]:
        """Round as the reference does in a step of this kind."""
        known = self._shapes_known.get(kind, False)
        return rounding.scope(self.numerics, not self.run_eagerly, known)

    def _meet_data(self, kind: str, data: Any) -> None:
        """Before steps on `data`: whether TensorFlow's graph knows their batches' length."""
        if kind != "predict":
            self._shapes_known = {**self._shapes_known, kind: self._met[kind].meet(data)}

    # --- one step ---
    def train_step(self, data: Batch) -> Logs:
        """Learn from one batch: forward, backward, update.

        Returns
        -------
        dict
            Running figures since the start of the epoch, this batch included; its loss is the one
            before the update.
        """
        x, y, sample_weight = batches.unpack_x_y_sample_weight(data)
        with GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self._compute_loss(x, y, y_pred, sample_weight, training=True)
            scaled_loss = loss if self.optimizer is None else self.optimizer.scale_loss(loss)
        self._loss_tracker.update_state(loss, sample_weight=len(x))

        variables = self.trainable_variables
        gradients = tape.gradient(scaled_loss, variables)
        if self.optimizer is not None:
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))

        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Batch) -> Logs:
        """Loss and metrics of one batch, as running figures; nothing is learnt."""
        x, y, sample_weight = batches.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        loss = self._compute_loss(x, y, y_pred, sample_weight, training=False)
        self._loss_tracker.update_state(loss, sample_weight=len(x))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Batch) -> Tensor:
        """Predictions for one batch."""
        y_pred = self(batches.unpack_x_y_sample_weight(data)[0], training=False)
        return ops.cast(y_pred, np.float32) if self.numerics.wide else y_pred

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:  # fmt: skip
        """Loss of a batch, shape (): that of `compile` plus `losses`; may be overridden."""
        found = [ops.sum(loss) if loss.ndim else loss for loss in self.losses]
        if self._loss is not None:
            if y is None:
                raise ValueError("None values not supported. `y`: expected labels, received None.")
            found.insert(0, self._loss(y, y_pred, sample_weight))
        if not found:
            raise ValueError("No loss to compute. Provide a `loss` argument in `compile()`.")
        return found[0] if len(found) == 1 else ops.sum(ops.stack(found))

    def _compute_loss(self, x: Any, y: Any, y_pred: Any, weight: Any, training: bool) -> Tensor:
        """`compute_loss`, of which a user's own may lack ``training``."""
        compute_loss = self.compute_loss
        own = getattr(compute_loss, "__func__", None) is not Trainer.compute_loss
        if own and "training" not in inspect.signature(compute_loss).parameters:
            return compute_loss(x, y, y_pred, weight)
        return compute_loss(x, y, y_pred, weight, training=training)

    def _step(self, kind: str, data: Batch) -> Any:
        """One train, test or predict step; one of the user's own gets Keras's form of a batch."""
        step = getattr(self, f"{kind}_step")
        if getattr(type(self), f"{kind}_step") is getattr(Trainer, f"{kind}_step"):
            return step(data)
        return batches.plain_logs(
            step(data[:1] if data[1] is None else batches.pack_x_y_sample_weight(*data))
        )

    def _logs_of(self, logs: Any) -> Logs:
        """The running figures; if the step returned others than these, the latest of those."""
        figures = self.get_metrics_result()
        return figures if logs is None or logs.keys() == figures.keys() else logs

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Logs:
        """Take the batch into the metrics; returns all running figures."""
        for metric in self._resolve_metrics(y, y_pred):
            if isinstance(metric, compiled.Weighted):
                metric.update_state(y, y_pred, sample_weight)
            else:
                metric.update_state(y, y_pred)
        return self.get_metrics_result()

    def _resolve_metrics(self, y: Any, y_pred: Any) -> list[Any]:
        """The metrics; the shapes of the first batch say which "accuracy" is meant."""
        if self._metrics is None:
            self._metrics = compiled.resolve_all(*self._metric_identifiers, y, y_pred)
        return self._metrics

    def get_metrics_result(self) -> Logs:
        """The running figures by name, as Python floats (arrays where there are several)."""
        return compiled.results(self.metrics)

    def compiled_source(self, kind: str = "train") -> str:
        """The step that `fit` runs, as text; see `minisgd.compiler.compiled_source`."""
        return compiled_source(self, kind)

    # --- fit ---
    @in_one_thread
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        *,
        reshuffle_each_epoch: bool = False,
    ) -> History:
        """Train on arrays, or on batches from a generator, data set, loader or any iterable.

        Parameters
        ----------
        x : array_like, shape (N, ...), or iterable
            An array, anything with ``__array__``, pandas, or a list of numbers; or what yields
            ``(x, y)`` or ``(x, y, sample_weight)`` batch by batch: docs/reference/sources.md.
        y : array_like, shape (N, ...)
            Not together with an iterable.
        batch_size : int, optional
            32 by default. The last batch of an epoch is what is left over. An iterable has its own.
        epochs : int
            Number of the last epoch, exclusive (the first is `initial_epoch`).
        verbose : {"auto", 0, 1, 2}
            0: silent; 1 or "auto": a progress bar; 2: one line an epoch.
        callbacks : Callback or list of Callback, optional
        validation_split : float
            Share of the samples, taken from the end before shuffling, to evaluate on; of arrays.
        validation_data : tuple or iterable, optional
            ``(x, y)`` or ``(x, y, sample_weight)``, or batches, to evaluate on after each epoch.
        shuffle : bool or "batch"
            Whether to shuffle the samples. **Seeded, the order is the same in every epoch, as in
            Keras**; `reshuffle_each_epoch` is the way out. Of a `PyDataset` the batches are
            shuffled, anew in every epoch; other iterables keep their order.
        class_weight : dict, optional
            Weight of each class's samples in the loss.
        sample_weight : array_like, shape (N,), optional
            Weight of each sample in the loss.
        initial_epoch : int
        steps_per_epoch, validation_steps : int, optional
            By default one pass, which an iterable without end has not.
        validation_batch_size : int, optional
            By default `batch_size`.
        validation_freq : int or list of int
            Evaluate every so many epochs, or after those listed (counted from 1).
        reshuffle_each_epoch : bool
            Not in Keras: a new order in every epoch also when seeded (reproducibly).

        Returns
        -------
        History
            ``history.history`` maps each metric to its values, one an epoch.

        Raises
        ------
        TypeError, ValueError
            For arguments outside of their meaning; before any weight has changed. For a batch that
            does not fit, before its step.
        """
        self._assert_compiled("fit")
        counts = (steps_per_epoch, validation_steps, validation_batch_size, validation_freq)
        epochs, initial_epoch = checked_counts(epochs, initial_epoch, *counts)
        if validation_split and validation_data is None:
            parts = split_off(x, y, sample_weight, validation_split)
            (x, y, sample_weight), validation_data = parts
        iterator = self._prepared(epochs_of(
            x, y, sample_weight, batch_size, steps_per_epoch, shuffle, class_weight,
            reshuffle_each_epoch,
        ))  # fmt: skip
        validation = None
        if validation_data is not None:
            size = batch_size if validation_batch_size is None else validation_batch_size
            with naming("`validation_data`"):
                unchecked = validation_epochs(validation_data, size, validation_steps)
                validation = self._prepared(unchecked, "validation data: ")
        iterator.restart()

        with (
            called(callbacks, self, verbose, epochs, iterator.num_batches, True) as hooks,
            self._running(Progress(initial_epoch, iterator, hooks.callbacks)) as progress,
        ):
            runner = Runner(self, "train", iterator, hooks, epochs - initial_epoch)
            self.stop_training = False
            hooks.on_train_begin()  # BackupAndRestore may put a later epoch into `progress`
            for epoch in range(progress.epoch, epochs):
                progress.epoch = epoch
                if not iterator.in_epoch:
                    self.reset_metrics()
                hooks.on_epoch_begin(epoch)
                logs = None
                for logs in self._steps(runner, hooks, epoch):  # noqa: B007  # the last ones
                    if self.stop_training:
                        break
                epoch_logs = dict(sorted(self._logs_of(logs).items()))
                if validation is not None and is_due(epoch, validation_freq):
                    results = self._run_test(validation, hooks)
                    epoch_logs |= {f"val_{k}": v for k, v in sorted(results.items())}
                progress.logs = epoch_logs
                hooks.on_epoch_end(epoch, epoch_logs)
                if self.stop_training:
                    break
            if self.optimizer is not None and epochs > 0:
                self.optimizer.finalize_variable_values(self.trainable_variables)
            hooks.on_train_end(progress.logs)
            history = hooks.history or self.history
        if history is None:
            raise RuntimeError("fit lost its History: a callback list without one was passed")
        return history

    def _steps(self, runner: Runner, hooks: CallbackList, epoch: int = 0) -> Iterator[Any]:
        """Run an epoch's steps one by one, or compiled many at once; yields what comes out."""
        kind = runner.kind
        on_begin = getattr(hooks, f"on_{kind}_batch_begin")
        on_end = getattr(hooks, f"on_{kind}_batch_end")
        watch = runner.iterator.watch
        spans = runner.iterator.spans(epoch, runner.at_once)
        for span in watch.over(spans if kind == "predict" else self._checked(spans), kind, epoch):
            on_begin(span.step)
            with self._whole_steps.one(), naming(span.name):
                result = runner.run(span)
                if result is None:  # not compiled
                    with self._numerics_scope(kind):
                        result = self._step(kind, span.batch())
                    result = result.numpy() if kind == "predict" else result
            watch.see(result)
            logs = {"outputs": result} if kind == "predict" else result
            on_end(span.step + span.count - 1, logs)
            yield result

    def _prepared(self, iterator: Epochs, role: str = "") -> Epochs:
        """The data, checked as far as they can be seen now: arrays, or an iterable's beginning."""
        for data in iterator.looked_at():
            with naming(data.name):
                self._check_batch(data)
        iterator.watch = NumericsWatch(self, iterator.data, role)
        return iterator

    def _checked(self, spans: Iterator[Span]) -> Iterator[Span]:
        """Check what could not be seen before: an iterable's batches, labels in a file."""
        for span in spans:
            with naming(span.name):
                if span.is_new:
                    self._check_batch(span.data)
                elif self._loss is not None and (labels := span.new_labels()) is not None:
                    self._loss.check_targets(labels, self._outputs)
            yield span

    def _check_batch(self, data: ArrayData) -> None:
        """Let one sample through forward pass and loss, so that wrong shapes show before training.

        Builds the model if it is not built yet, as the first batch would.
        """
        x, y, weight = data.first_sample()
        with trying(self, data):
            y_pred = self(x, training=False)
            own_step = type(self).train_step is not Trainer.train_step and self._loss is None
            if type(self).compute_loss is Trainer.compute_loss and not own_step:
                self.compute_loss(x, y, y_pred, weight)
        self._outputs = y_pred.shape[-1]
        if self._loss is not None and data.y is not None and not data.unread:
            self._loss.check_targets(data.y, self._outputs)
        if self.compiled and y is not None:
            self._resolve_metrics(y, y_pred)  # callbacks may ask for them before the first batch

    # --- evaluate, predict ---
    @in_one_thread
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on arrays, or on batches from whatever `fit` can read.

        Returns
        -------
        float, list of float or dict
            The loss alone if there are no metrics, else ``[loss, *metrics]``, or a dict of them
            with ``return_dict=True``.
        """
        self._assert_compiled("evaluate")
        iterator = self._prepared(epochs_of(x, y, sample_weight, batch_size, steps))
        with called(callbacks, self, verbose, 1, iterator.num_batches) as hooks:
            logs = self._run_test(iterator, hooks)
        return dict(sorted(logs.items())) if return_dict else self._in_order(logs)

    def _run_test(self, iterator: Epochs, hooks: CallbackList) -> Logs:
        """One pass of `test_step`."""
        self.stop_evaluating = False
        self.reset_metrics()
        iterator.restart()
        hooks.on_test_begin()
        logs = None
        runner = Runner(self, "test", iterator, hooks, 1)
        for logs in self._steps(runner, hooks):  # noqa: B007  # the last ones
            if self.stop_evaluating:
                break
        results = self._logs_of(logs)
        hooks.on_test_end(results)
        return results

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Array:
        """Outputs for all samples, float32, shape (N, ...); an iterable's labels are left out."""
        iterator = epochs_of(x, batch_size=batch_size, steps=steps, only_x=True)
        iterator.watch = NumericsWatch(self, iterator.data)
        outputs: list[Array] = []
        with called(callbacks, self, verbose, 1, iterator.num_batches) as hooks:
            self.stop_predicting = False
            hooks.on_predict_begin()
            for result in self._steps(Runner(self, "predict", iterator, hooks, 1), hooks):
                outputs.append(result)
                if self.stop_predicting:
                    break
            hooks.on_predict_end()
        return np.concatenate(outputs)

    @contextmanager
    def _running(self, progress: Progress) -> Iterator[Progress]:
        """One call of `fit`: callbacks find its progress here, and Ctrl-C waits for a step's end.

        A callback may call `fit` itself; on the way out the outer call's progress is back.
        """
        outer = self._progress, self._whole_steps
        with WholeSteps() as whole_steps:
            self._progress, self._whole_steps = progress, whole_steps
            try:
                yield progress
            finally:
                self._progress, self._whole_steps = outer

    # --- one batch at a time ---
    @in_one_thread
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One training step on this batch; returns its loss (and metrics) before the update."""
        self._assert_compiled("train_on_batch")
        return self._on_batch("train", x, y, sample_weight, class_weight, return_dict)

    @in_one_thread
    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Loss (and metrics) of this batch."""
        self._assert_compiled("test_on_batch")
        return self._on_batch("test", x, y, sample_weight, None, return_dict)

    def predict_on_batch(self, x: Any) -> Array:
        """Outputs for this batch, as an array."""
        return np.array(self._on_all("predict", whole_batch(x)))

    def _on_batch(
        self, kind: str, x: Any, y: Any, weight: Any, class_weight: Any, return_dict: bool
    ) -> Any:
        data = whole_batch(x, y, weight, class_weight)
        self.reset_metrics()
        logs = self._on_all(kind, data)
        return dict(sorted(logs.items())) if return_dict else self._in_order(logs)

    def _on_all(self, kind: str, data: ArrayData) -> Any:
        """What a step returns for all samples."""
        watch = NumericsWatch(self, data)
        self._meet_data(kind, data)
        with self._numerics_scope(kind):
            result = self._step(kind, next(data.batches()))
        watch.see(result)
        return result

    def _in_order(self, logs: Logs) -> Any:
        """Values in the order of `metrics_names`, others last; a single one by itself."""
        names = [name for name in self.metrics_names if name in logs]
        values = [logs[name] for name in [*names, *sorted(logs.keys() - names)]]
        return values[0] if len(values) == 1 else values
