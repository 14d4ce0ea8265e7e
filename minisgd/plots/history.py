"""Curves of a History, through matplotlib. Keras has no such function."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minisgd.saving.atomic import replacing
from minisgd.utils.lookup import did_you_mean

_VALIDATION = "val_"
_PANEL_WIDTH, _PANEL_HEIGHT = 4.8, 3.2  # inches
_PANELS_IN_A_ROW = 3


def plot_history(
    history: Any,
    to_file: str | os.PathLike[str] | None = None,
    metrics: Sequence[str] | None = None,
    dpi: float = 150,
) -> Any:
    """Draw the curves of a training: one panel a metric, with its validation beside it.

    Needs matplotlib: ``pip install 'minisgd[plot]'``. No window is opened and no global state of
    matplotlib touched.

    Parameters
    ----------
    history : History or dict
        What `fit` returned, or its ``history``.
    to_file : str or path-like, optional
        Where to save it; the name's ending is the format (``.png``, ``.svg``, ``.pdf``, ...).
    metrics : list of str, optional
        Which ones, without ``val_``; by default all, the loss first.
    dpi : float
        Dots per inch of the file.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is missing.
    ValueError
        If there is no history, or no such metric in it.
    OSError
        If the file can't be written.

    Notes
    -----
    The loss is a mean over an epoch in which the weights move, ``val_loss`` belongs to the weights
    at its end: the curves are half an epoch apart. Values that are not finite leave gaps.
    """
    curves = getattr(history, "history", history)
    if not isinstance(curves, Mapping) or not curves:
        raise ValueError(
            "`history`: expected what `fit` returned (or a dict of lists) with at least one epoch, "
            f"received {history!r}"
        )
    names = _chosen(curves, metrics)
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise ImportError("`plot_history` needs matplotlib: pip install 'minisgd[plot]'") from error

    columns = min(len(names), _PANELS_IN_A_ROW)
    rows = -(-len(names) // columns)
    size = (_PANEL_WIDTH * columns, _PANEL_HEIGHT * rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for name, axes in zip(names, panels, strict=False):
        for key, label in ((name, "training"), (_VALIDATION + name, "validation")):
            if key in curves:
                _draw(axes, history, curves[key], label)
        axes.set_title(name)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if _VALIDATION + name in curves:
            axes.legend()
    for axes in panels[len(names) :]:
        axes.remove()
    if to_file is not None:
        _save(figure, Path(to_file), dpi)
    return figure


def _chosen(curves: Mapping[str, Any], metrics: Sequence[str] | None) -> list[str]:
    """The panels."""
    known = [name.removeprefix(_VALIDATION) for name in curves]
    known = sorted(dict.fromkeys(known), key=lambda name: (name != "loss", name))
    if metrics is None:
        return known
    if isinstance(metrics, str) or not metrics:
        raise ValueError(f"`metrics`: expected a list of names, received {metrics!r}")
    for name in metrics:
        if name not in known:
            hint = did_you_mean(str(name), known)
            raise ValueError(f"`metrics`: expected names among {known}, received {name!r}.{hint}")
    return list(metrics)


def _draw(axes: Any, history: Any, values: Any, label: str) -> None:
    """One curve, or one for each entry of a metric with several values."""
    points = np.array(values, np.float64).reshape(len(values), -1)
    points[~np.isfinite(points)] = np.nan
    epochs = np.arange(1, len(points) + 1)
    ran = getattr(history, "epoch", None)
    if ran is not None and len(ran) == len(points):
        epochs = np.asarray(ran) + 1  # `initial_epoch`, or rarer validation
    style = {"marker": "." if len(points) < 60 else "", "linestyle": "-"}
    colour = "C0" if label == "training" else "C1"
    axes.plot(epochs, points, color=colour, label=[label] + [""] * (points.shape[1] - 1), **style)


def _save(figure: Any, file: Path, dpi: float) -> None:
    """Write the file whole, or not at all."""
    known = figure.canvas.get_supported_filetypes()
    kind = file.suffix[1:].lower()
    if kind not in known:
        raise ValueError(f"`to_file`: expected a name that ends in one of {sorted(known)}: {file}")
    with replacing(file) as temporary:
        figure.savefig(temporary, format=kind, dpi=dpi)
