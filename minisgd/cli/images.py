"""Digits from files, as MNIST has them: white on black, 28 x 28 pixels, floats in [0, 1].

A picture of 28 x 28 pixels is taken pixel by pixel. Any other size is brought into MNIST's form as
MNIST was: what is drawn is cut out, scaled into a box of 20 x 20 pixels with its proportions kept,
and put into the frame with its centre of mass in the middle. Transparent pixels are paper, colours
become grey. A picture whose border is light is taken for black on white and is inverted; arrays are
taken as they are.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from minisgd.tensor import Array

SIDE, _BOX = 28, 20
_SHAPES = "(28, 28), (784,), (N, 28, 28) or (N, 784)"
_FORMATS = ("PNG", "JPEG", "BMP")
_BACKGROUND = 0.1  # darker is paper, also after JPEG has blurred it


def read(path: Path, invert: bool | None = None) -> Array:
    """Digits in a file.

    Parameters
    ----------
    path : Path
        An array (``.npy``) or a picture, for which Pillow has to be installed.
    invert : bool, optional
        Whether the file is black on white; by default a picture's border tells, and an array isn't.

    Returns
    -------
    Array
        float32, shape (N, 28, 28); N is 1 for a picture.

    Raises
    ------
    ValueError
        If it can't be read, or is neither; the message names the file.
    ImportError
        If it is a picture and Pillow is missing.
    """
    try:
        if path.suffix.lower() == ".npy":
            return 1 - _array(path) if invert else _array(path)
        return _framed(_grey(path), invert)[None]
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    except (ValueError, SyntaxError) as error:  # SyntaxError: Pillow's word for a broken PNG
        raise ValueError(f"{path}: {error}") from error


def _array(path: Path) -> Array:
    """Images in an ``.npy`` file."""
    try:
        array = np.load(path, allow_pickle=False)
    except (EOFError, ValueError, MemoryError) as error:
        raise ValueError(f"no readable .npy file ({error})") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("expected one array, received an archive of several (.npz)")
    one = array.shape in ((SIDE, SIDE), (SIDE**2,))
    several = array.ndim in (2, 3) and array.shape[1:] in ((SIDE, SIDE), (SIDE**2,))
    if not (one or several) or array.size == 0:
        raise ValueError(f"expected shape {_SHAPES}, received {array.shape}")
    return _scaled(array).reshape(-1, SIDE, SIDE)


def _scaled(array: Array) -> Array:
    """Whole numbers from 0 to 255, or floats from 0 to 1, as float32 from 0 to 1."""
    if array.dtype.kind not in "fiub":
        raise ValueError(f"expected numbers, received dtype {array.dtype}")
    low, high = array.min(), array.max()
    top = 255 if array.dtype.kind in "iu" else 1
    if not 0 <= low <= high <= top:  # NaN, too
        hint = "; divide by 255" if top == 1 and 1 < high <= 255 else ""
        raise ValueError(
            f"expected whole numbers from 0 to 255 or floats from 0 to 1, received {array.dtype} "
            f"from {low} to {high}{hint}"
        )
    if top == 255 and high == 1:
        raise ValueError(
            f"expected whole numbers from 0 to 255, received {array.dtype} from {low} to 1, which "
            "is almost black: multiply by 255, or convert to float"
        )
    return array.astype(np.float32) / np.float32(top)


def _grey(path: Path) -> Array:
    """Brightness of a picture's pixels: 0 black, 1 white, -1 paper of unknown colour."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ImportError(
            f"{path}: reading pictures needs Pillow: pip install 'minisgd[images]' (or save the "
            "digits as an .npy file)"
        ) from error
    with warnings.catch_warnings():
        # A small file can hold a picture larger than the memory.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=_FORMATS) as image:
                if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off, not scale
                    return np.asarray(image, np.float32) / np.float32(65535)
                both: Any = np.asarray(image.convert("LA"), np.float32) / np.float32(255)
        except UnidentifiedImageError as error:
            expected = ", ".join(_FORMATS)
            raise ValueError(f"expected an .npy file or a picture ({expected})") from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError("expected a picture of a digit, received one far too large") from error
    grey, opaque = both[..., 0], both[..., 1]
    ink = grey[opaque > 0.5]
    # Paper that can't be seen is of the colour that the ink is not.
    paper = np.float32(0.0 if ink.size and ink.mean() > 0.5 else 1.0)
    return np.asarray(grey * opaque + paper * (1 - opaque))


def _framed(grey: Array, invert: bool | None) -> Array:
    """A picture as MNIST would have it."""
    if invert is None:
        border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        invert = bool(border.mean() > 0.5)
    if invert:
        grey = 1 - grey
    if grey.shape == (SIDE, SIDE):
        return grey.astype(np.float32)
    drawn = grey > _BACKGROUND
    if not drawn.any():
        raise ValueError("expected a digit, received a picture of one colour")
    rows, columns = (np.flatnonzero(drawn.any(axis)) for axis in (1, 0))
    return _centred(_boxed(grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]))


def _boxed(digit: Array) -> Array:
    """Scaled so that the longer side has 20 pixels."""
    from PIL import Image

    scale = _BOX / max(digit.shape)
    height, width = (max(1, round(n * scale)) for n in digit.shape)
    image = Image.fromarray(np.asarray(digit * 255 + 0.5, np.uint8))
    small = image.resize((width, height), Image.Resampling.BOX if scale < 1 else None)
    return np.asarray(small, np.float32) / np.float32(255)


def _centred(digit: Array) -> Array:
    """In a black frame of 28 x 28 pixels, its centre of mass in the middle, as far as it fits."""
    frame = np.zeros((SIDE, SIDE), np.float32)
    places = []
    for axis, length in enumerate(digit.shape):
        mass = digit.sum(1 - axis)
        centre = float((mass * (np.arange(length) + 0.5)).sum() / mass.sum())
        places.append(int(np.clip(round(SIDE / 2 - centre), 0, SIDE - length)))
    top, left = places
    frame[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return frame
