"""MNIST handwritten digits: 70,000 grey images of 28 x 28 pixels, bundled with the package.

The file ``mnist.npz`` is a work of its own, with its own authors and licence: see
``LICENSE-mnist.txt`` beside it.
"""

import os
from pathlib import Path

from minisgd.datasets import _files

_DEFAULT_NAME = "mnist.npz"
_BUNDLED = Path(__file__).with_name(_DEFAULT_NAME)


def load_data(path: str | os.PathLike[str] = _DEFAULT_NAME) -> _files.Split:
    """Return MNIST as ``(x_train, y_train), (x_test, y_test)``. Downloads and writes nothing.

    Parameters
    ----------
    path : str or path-like, default "mnist.npz"
        The default name is the bundled file, always. Any other name is a file with arrays of the
        same names and forms: an absolute path is read as it is, a relative one is looked for
        first in the folder that the environment variable ``MINISGD_DATA`` names, then in the
        current folder.

    Returns
    -------
    x_train, x_test : ndarray of uint8, shapes (60000, 28, 28) and (10000, 28, 28)
        Grey values 0 (background) to 255 (ink). A new, writable array at each call.
    y_train, y_test : ndarray of uint8, shapes (60000,) and (10000,)
        The digits, 0-9.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not an ``.npz`` of these four arrays. Pickled objects are refused.
    TypeError
        If `path` is neither a string nor path-like.

    Notes
    -----
    Keras downloads the file into its cache and takes `path` as a name in there; minisgd ships the
    file, and neither reads nor writes that cache.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86(11), 1998. Keras: ``keras.datasets.mnist.load_data``.

    Examples
    --------
    >>> from minisgd.datasets import mnist
    >>> (x_train, y_train), (x_test, y_test) = mnist.load_data()
    >>> x_train.shape, y_train.shape, x_test.shape, y_test.shape
    ((60000, 28, 28), (60000,), (10000, 28, 28), (10000,))
    >>> y_train[:5].tolist()
    [5, 0, 4, 1, 9]
    """
    return _files.read_npz(_find(path))


def _find(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"Argument `path`: expected a str or a path-like object, received {path!r} of type "
            f"{type(path).__name__}. Leave it out to read the bundled MNIST."
        )
    if os.fspath(path) == _DEFAULT_NAME:
        return _BUNDLED
    wanted = Path(path).expanduser()
    folder = _files.data_folder()
    candidates = [wanted] if folder is None else [folder / wanted, wanted]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    # Joined to an absolute path, a folder drops out: the two candidates are then one.
    places = " and ".join(dict.fromkeys(str(candidate.absolute()) for candidate in candidates))
    raise FileNotFoundError(
        f"Argument `path`: expected an existing .npz file, received {os.fspath(path)!r}; looked "
        f"for {places}. Call load_data() without a path for the MNIST that comes with minisgd, or "
        f"set {_files.DATA_VARIABLE} to the folder that holds the file."
    )
