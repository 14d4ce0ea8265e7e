"""Tensor and Variable: an array and what the tape must know of it. No maths here.

`minisgd.ops` installs the operators (``a + b``, ``a @ b``, ...).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from minisgd.operators import Operators

Array = npt.NDArray[Any]


def as_kernel_array(value: Any, dtype: Any = None) -> Array:
    """`value` as compute kernels take arrays: C-contiguous, aligned, native-endian, writable.

    Copies only where it must; a caller who keeps `value` has to copy it himself.
    """
    array = value._array if isinstance(value, Tensor) else np.asarray(value)
    if array.flags.carray and dtype in (None, array.dtype) and array.dtype.isnative:
        return array
    dtype = np.dtype(dtype or array.dtype).newbyteorder("=")
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"])


class Tensor(Operators):
    """An immutable n-dimensional array.

    Parameters
    ----------
    array : numpy.ndarray
        C-contiguous, native-endian; owned by the tensor from here on (not copied).
        `minisgd.ops.convert_to_tensor` makes a tensor of anything else.
    requires_grad : bool
        Whether a recording `GradientTape` shall follow what is computed from this tensor.

    Attributes
    ----------
    logits : Tensor or None
        The tensor whose softmax or sigmoid this one is. The cross-entropies use it instead of the
        probabilities, which have lost precision (Keras: ``_keras_logits``).
    from_dense : bool
        Whether it is what `minisgd.ops.dense` returned. In a graph TensorFlow computes an
        activation of it together with the product, by other functions.
    multiple_of : tuple of (Tensor, number) or None
        What `minisgd.ops.statistics.times_constant` multiplied. A graph multiplies the number
        by other constants before it meets an array (`minisgd.ops.statistics.weighted`).
    """

    __slots__ = ("__weakref__", "_array", "from_dense", "logits", "multiple_of", "requires_grad")
    __array_priority__ = 100  # array + tensor is a tensor

    def __init__(self, array: Array, requires_grad: bool = False) -> None:
        self._array = np.asarray(array)
        self.requires_grad = requires_grad
        self.logits: Tensor | None = None
        self.from_dense = False
        self.multiple_of: tuple[Tensor, Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type; equal to its name: ``tensor.dtype == "float32"``."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._array.size

    def numpy(self) -> Array:
        """The values as a read-only view (``.copy()`` it to change it)."""
        view = self._array.view()
        view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if dtype is not None and np.dtype(dtype) != self.dtype:
            if copy is False:
                msg = f"expected dtype {self.dtype} for an array without a copy, received {dtype}"
                raise ValueError(msg)
            return self._array.astype(dtype)
        return self._array.copy() if copy else self.numpy()

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("expected a tensor with at least one axis for len(), received a scalar")
        return self.shape[0]

    def __float__(self) -> float:
        return float(self._scalar())

    def __int__(self) -> int:
        return int(self._scalar())

    def __bool__(self) -> bool:
        return bool(self._scalar())

    def _scalar(self) -> Any:
        if self.size != 1:
            msg = f"expected a tensor with one element, received shape {self.shape}"
            raise TypeError(msg)
        return self._array.item()

    def __repr__(self) -> str:
        values = np.array2string(self._array, threshold=20, edgeitems=2, precision=6)
        return f"<{type(self).__name__} shape={self.shape} dtype={self.dtype}\n{values}>"


_numbers = itertools.count()


class Variable(Tensor):
    """A named tensor whose values an optimizer changes in place.

    Parameters
    ----------
    initializer : array_like, Tensor
        Initial values; copied.
    name : str, optional
        Last part of `path`, e.g. ``"kernel"``.
    dtype : dtype, optional
        Default: float32 for Python floats, else that of the values.
    trainable : bool
        Whether gradients are taken with respect to it by default.

    Attributes
    ----------
    path : str
        Name with its owners before it, e.g. ``"sequential/dense/kernel"``.
    version : int
        Counts the changes; a tape that recorded an older version refuses to differentiate.
    regularizer, constraint : callable or None
        Penalty that a model's loss gets for it; what an optimizer replaces it by after updates.
    """

    __slots__ = ("_trainable", "constraint", "name", "path", "regularizer", "version")

    def __init__(
        self,
        initializer: Any,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        if dtype is None and isinstance(initializer, float):
            dtype = np.float32
        values = as_kernel_array(np.array(initializer, dtype=dtype))
        super().__init__(values, requires_grad=trainable)
        self._trainable = trainable
        self.name = name or f"variable_{next(_numbers)}"
        self.path = self.name
        self.version = 0
        self.regularizer: Any = None
        self.constraint: Any = None

    @property
    def trainable(self) -> bool:
        """Whether tapes follow it and ``trainable_variables`` lists it."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = self.requires_grad = bool(value)

    @property
    def value(self) -> Tensor:
        """The present values, as a tensor that later changes don't touch."""
        return Tensor(self._array.copy())

    def numpy(self) -> Array:
        """The present values: a read-only copy, since the variable itself may change."""
        snapshot = self._array.copy()
        snapshot.flags.writeable = False
        return snapshot

    def assign(self, value: Any) -> Variable:
        """Replace the values (changes the variable in place) and return it.

        Raises
        ------
        ValueError
            If the shape differs.
        """
        new = np.asarray(value)
        if new.shape != self.shape:
            msg = (
                "The shape of the target variable and the shape of the target value in "
                f"`variable.assign(value)` must match: expected {self.shape} for "
                f"'{self.path}', received {new.shape}."
            )
            raise ValueError(msg)
        self.array_inplace()[...] = new
        return self

    def assign_add(self, value: Any) -> Variable:
        """Add `value` (changes the variable in place) and return it."""
        return self.assign(self._array + np.asarray(value, self.dtype))

    def assign_sub(self, value: Any) -> Variable:
        """Subtract `value` (changes the variable in place) and return it."""
        return self.assign(self._array - np.asarray(value, self.dtype))

    def array_inplace(self) -> Array:
        """The array itself, for code that is about to change it: counts as a change."""
        self.version += 1
        return self._array

    def __repr__(self) -> str:
        values = np.array2string(self._array, threshold=20, edgeitems=2, precision=6)
        return f"<Variable path={self.path} shape={self.shape} dtype={self.dtype}\n{values}>"
