"""The best share of one kind at the thresholds where a share of another kind is large enough."""

from __future__ import annotations

from typing import Any

import numpy as np

from minisgd.metrics.confusion import Confusion, count
from minisgd.metrics.metric import Metric, quotient
from minisgd.tensor import Array, Tensor


class _AtBest(Confusion):
    """What the four metrics share: counts at evenly spread thresholds, and the choice among them.

    References
    ----------
    Keras, ``SensitivitySpecificityBase`` (metrics/confusion_metrics.py).
    """

    _direction = "up"
    _argument = ""  # the share that must be large enough, as the constructor calls it

    def __init__(
        self, least: float, num_thresholds: int, class_id: int | None, name: str | None, dtype: Any
    ) -> None:
        if not 0 <= least <= 1:
            msg = (
                f"Argument `{self._argument}` must be in the range [0, 1]. "
                f"Received: {self._argument}={least}"
            )
            raise ValueError(msg)
        if num_thresholds <= 0:
            msg = (
                "Argument `num_thresholds` must be an integer > 0. "
                f"Received: num_thresholds={num_thresholds}"
            )
            raise ValueError(msg)
        last = num_thresholds - 1
        even = [0.0, *((i + 1) * 1.0 / last for i in range(num_thresholds - 2)), 1.0]
        super().__init__(dtype, name, even if last else [0.5])
        self.num_thresholds, self.class_id = num_thresholds, class_id
        setattr(self, self._argument, least)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch of labels and predictions."""
        self.add(count(y_true, y_pred, self.thresholds, sample_weight, class_id=self.class_id))

    def shares(self) -> tuple[Array, Array]:
        """The share that must be large enough, and the wanted one; shape (T,) each."""
        raise NotImplementedError

    def result(self) -> Tensor:
        """The largest wanted share, shape (); 0 where no threshold will do."""
        given, wanted = self.shares()
        feasible = given >= np.float32(getattr(self, self._argument))
        return Tensor(np.max(np.where(feasible, wanted, np.float32(0)), initial=np.float32(0)))

    # Each of these is 0 where there is nothing to take a share of.
    def _recall(self) -> Array:
        return _share(self.true_positives, self.false_negatives)

    def _precision(self) -> Array:
        return _share(self.true_positives, self.false_positives)

    def _specificity(self) -> Array:
        return _share(self.true_negatives, self.false_positives)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal metric."""
        own = {"class_id": self.class_id, "num_thresholds": self.num_thresholds}
        return {**Metric.get_config(self), **own, self._argument: getattr(self, self._argument)}


def _share(part: Any, rest: Any) -> Array:
    """``part / (part + rest)`` in float32."""
    part, rest = (np.asarray(counter).astype(np.float32) for counter in (part, rest))
    return np.asarray(quotient(part, part + rest))


class PrecisionAtRecall(_AtBest):
    """The best precision among the thresholds at which the recall is `recall` or more.

    Parameters
    ----------
    recall : float
        From 0 to 1.
    num_thresholds : int
        Evenly spread from 0 to 1; a single one is 0.5.
    class_id : int, optional
        Count this class alone.
    name : str, optional
    dtype : {None, "float32"}
        Accepted as in Keras.

    Raises
    ------
    ValueError
        For a share outside of [0, 1], or fewer than one threshold.

    Examples
    --------
    >>> metric = PrecisionAtRecall(0.5)
    >>> float(metric([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]))
    0.5

    References
    ----------
    Keras, ``keras.metrics.PrecisionAtRecall`` (metrics/confusion_metrics.py).
    """

    _argument = "recall"

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)

    def shares(self) -> tuple[Array, Array]:
        """Recall and precision at each threshold."""
        return self._recall(), self._precision()


class RecallAtPrecision(_AtBest):
    """The best recall among the thresholds at which the precision is `precision` or more.

    Other arguments: see `PrecisionAtRecall`.

    References
    ----------
    Keras, ``keras.metrics.RecallAtPrecision`` (metrics/confusion_metrics.py).
    """

    _argument = "precision"

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)

    def shares(self) -> tuple[Array, Array]:
        """Precision and recall at each threshold."""
        return self._precision(), self._recall()


class SensitivityAtSpecificity(_AtBest):
    """The best sensitivity (recall) among the thresholds of a specificity of `specificity` or more.

    The specificity is ``true negatives / negative labels``. Other arguments: see
    `PrecisionAtRecall`.

    References
    ----------
    Keras, ``keras.metrics.SensitivityAtSpecificity`` (metrics/confusion_metrics.py).
    """

    _argument = "specificity"

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)

    def shares(self) -> tuple[Array, Array]:
        """Specificity and sensitivity at each threshold."""
        return self._specificity(), self._recall()


class SpecificityAtSensitivity(_AtBest):
    """The best specificity among the thresholds of a sensitivity (recall) of `sensitivity` or more.

    Other arguments: see `PrecisionAtRecall`; the two shares: `SensitivityAtSpecificity`.

    References
    ----------
    Keras, ``keras.metrics.SpecificityAtSensitivity`` (metrics/confusion_metrics.py).
    """

    _argument = "sensitivity"

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)

    def shares(self) -> tuple[Array, Array]:
        """Sensitivity and specificity at each threshold."""
        return self._recall(), self._specificity()
