"""Whether TensorFlow knows how long a batch is when it makes the graph of a step.

If it does, the divisor of a mean is a constant, and the gradient of the mean is rounded otherwise.
Only a loss with weighted samples shows it: without weights, all that comes before is a constant.
"""

from __future__ import annotations

from typing import Any

from minisgd.data.arrays import ArrayData


class KnownShapes:
    """Batches that a model was trained on since its `compile`.

    TensorFlow makes its first graph for exactly the shapes that it meets first. When it meets
    others it makes one for all lengths, and keeps the first one for the first length. Arrays that
    the batch size does not divide, and all that is no array, are of unknown length from the start.
    """

    def __init__(self) -> None:
        self._first: int | None = None

    def meet(self, data: Any) -> bool:
        """Whether the graph that trains on these data was made for batches of just this length.

        Parameters
        ----------
        data : ArrayData or anything else that yields batches
        """
        if not isinstance(data, ArrayData) or data.sample_weight is None:
            return False
        length = 0 if data.num_samples % data.batch_size else data.batch_size
        if self._first is None:
            self._first = length
        return length > 0 and length == self._first
