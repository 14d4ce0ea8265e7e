"""Sum, and the mean of a function of labels and predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minisgd import ops, saving
from minisgd.metrics.metric import Mean, Metric, total, weighted
from minisgd.tensor import Array, Tensor, as_kernel_array


class Sum(Metric):
    """Sum of all values so far, each times its weight; a float32, as in Keras.

    References
    ----------
    Keras, ``keras.metrics.Sum`` (metrics/reduction_metrics.py).
    """

    _total: Any

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        Sum.reset_state(self)

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take in one value or an array of them; a weight each, or one for all."""
        array = as_kernel_array(values, np.float32)
        if sample_weight is not None:
            array, _ = weighted(array, sample_weight, _sum_from)
        self._total = self._total + total(_sum_from(array, 1))

    def result(self) -> Tensor:
        """The sum, shape ()."""
        return Tensor(self._total)

    def reset_state(self) -> None:
        """Forget all values."""
        self._total = np.float32(0)


def _sum_from(array: Array, axis: int) -> Array:
    """Sum over the axes from `axis` on; the array itself if it has none of these."""
    if array.ndim <= axis:
        return array
    return np.asarray(ops.sum(array, list(range(axis, array.ndim))))


class MeanMetricWrapper(Mean):
    """Mean of ``fn(y_true, y_pred, **kwargs)``, one value a sample.

    Parameters
    ----------
    fn : callable
    name : str, optional
    dtype : {None, "float32"}
        Accepted as in Keras.
    **kwargs
        Further arguments of `fn`.

    References
    ----------
    Keras, ``keras.metrics.MeanMetricWrapper`` (metrics/reduction_metrics.py).
    """

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(name, dtype)
        self._fn, self._fn_kwargs = fn, kwargs

    def update_state(  # type: ignore[override]  # as in Keras
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Take in one batch of labels and predictions."""
        super().update_state(self._fn(y_true, y_pred, **self._fn_kwargs), sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric; the function by its name."""
        fn = saving.serialize_keras_object(self._fn)
        return {**super().get_config(), "fn": fn, **self._fn_kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """Metric with these arguments."""
        from minisgd.metrics.lookup import deserialize  # which knows this class

        if "fn" in config and not callable(config["fn"]):
            config = {**config, "fn": deserialize(config["fn"])}
        return cls(**config)


class OwnMean(MeanMetricWrapper):
    """Mean of one of minisgd's functions: what it is given besides stands in its config."""

    _direction = "down"  # for callbacks with mode="auto": a loss

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        return {**Metric.get_config(self), **self._fn_kwargs}
