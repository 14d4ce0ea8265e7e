"""Fashion-MNIST: 70,000 grey images of 28 x 28 pixels, 10 kinds of clothing; a drop-in for MNIST.

The data set (Copyright 2017 Zalando SE, MIT licence) is not bundled: its four files are read from
disk.
"""

from pathlib import Path

from minisgd.datasets import _files

# Where Debian's package dataset-fashion-mnist puts the files.
_DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_SUBFOLDER = "fashion-mnist"
_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def load_data() -> _files.Split:
    """Return Fashion-MNIST as ``(x_train, y_train), (x_test, y_test)``. Downloads nothing.

    The four ``.gz`` files are looked for in ``$MINISGD_DATA/fashion-mnist``, in ``$MINISGD_DATA``,
    and where Debian's package ``dataset-fashion-mnist`` puts them. The first folder that holds one
    of them has to hold them all: sets are never mixed.

    Returns
    -------
    x_train, x_test : ndarray of uint8, shapes (60000, 28, 28) and (10000, 28, 28)
        Grey values 0 (background) to 255. A new, writable array at each call.
    y_train, y_test : ndarray of uint8, shapes (60000,) and (10000,)
        0 T-shirt/top, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker,
        8 bag, 9 ankle boot.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the message says how to obtain it.
    ValueError
        If a file is truncated, or is not an idx file of images or labels.

    Notes
    -----
    MNIST's own idx files have the very same four names. Where both are kept, put Fashion-MNIST in
    the subfolder ``fashion-mnist``. Keras returns read-only arrays here; these are writable, as
    those of ``mnist`` are.

    References
    ----------
    H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms", arXiv:1708.07747. Keras: ``keras.datasets.fashion_mnist``.

    Examples
    --------
    >>> from minisgd.datasets import fashion_mnist
    >>> (x_train, y_train), _ = fashion_mnist.load_data()  # doctest: +SKIP
    >>> x_train.shape, y_train.shape  # doctest: +SKIP
    ((60000, 28, 28), (60000,))
    """
    folder = _find_folder()
    x_train, y_train, x_test, y_test = (
        _files.read_idx(folder / name, ndim=3 if "images" in name else 1) for name in _NAMES
    )
    _files.check_split(x_train, y_train, f"{folder} (train)")
    _files.check_split(x_test, y_test, f"{folder} (t10k)")
    return (x_train, y_train), (x_test, y_test)


def _find_folder() -> Path:
    own = _files.data_folder()
    folders = [_DEBIAN_FOLDER] if own is None else [own / _SUBFOLDER, own, _DEBIAN_FOLDER]
    for folder in folders:
        missing = [name for name in _NAMES if not (folder / name).is_file()]
        if not missing:
            return folder
        if len(missing) < len(_NAMES):
            raise FileNotFoundError(
                f"Fashion-MNIST: {folder} lacks {', '.join(missing)}. {_how_to_obtain()}"
            )
    places = ", ".join(str(folder) for folder in folders)
    raise FileNotFoundError(
        f"Fashion-MNIST: expected the files {', '.join(_NAMES)}, found none of them in {places}. "
        f"{_how_to_obtain()}"
    )


def _how_to_obtain() -> str:
    return (
        "On Debian and Ubuntu: apt install dataset-fashion-mnist. Elsewhere: download the four "
        "files from https://github.com/zalandoresearch/fashion-mnist (data/fashion), put them in "
        f"one folder and set the environment variable {_files.DATA_VARIABLE} to that folder."
    )
