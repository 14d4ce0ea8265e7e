"""A model as a graph: text in Graphviz's language DOT, and pictures that its program draws of it.

Keras: utils/model_visualization.py, which writes the same graph through the package pydot.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from minisgd.saving.atomic import replacing
from minisgd.utils.lookup import did_you_mean

_NOT_BUILT = (
    "This model has not yet been built. Build the model first by calling `build()` or by calling "
    "the model on a batch of data."
)
_NO_GRAPHVIZ = (
    "You must install graphviz (see instructions at https://graphviz.gitlab.io/download/) for "
    "`plot_model` to work: its program `dot` draws {}. Without it, to_file='model.dot' writes the "
    "graph as text."
)
_ENTITIES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"))
_TEXT_FORMATS = ("dot", "gv")
_RANKDIRS = ("TB", "LR", "BT", "RL")
_SPLINES = ("ortho", "curved", "polyline", "spline", "line")
_TABLE = '<table border="0" cellborder="1" bgcolor="black" cellpadding="10">'
_BLACK = '<td colspan="{}" bgcolor="black"><font point-size="16" color="white">{}</font></td>'
_WHITE = '<td bgcolor="white"{}><font point-size="14">{}</font></td>'
_COLOURED = '<td bgcolor="{}"><font point-size="14" color="white"><b>{}</b></font></td>'


@dataclass(frozen=True)
class Dot:
    """A graph; `to_string`, `create` and `write` are named as in pydot.

    Attributes
    ----------
    source : str
        The text.
    """

    source: str

    def to_string(self) -> str:
        """The text."""
        return self.source

    def create(self, format: str = "png") -> bytes:  # noqa: A002  # pydot's name
        """A picture, drawn by Graphviz.

        Raises
        ------
        ImportError
            If Graphviz is missing.
        ValueError
            If it can't draw this format.
        """
        if format in _TEXT_FORMATS:
            return self.source.encode()
        program = shutil.which("dot")
        if program is None:
            raise ImportError(_NO_GRAPHVIZ.format(format))
        import subprocess  # `import minisgd` should not pay for it

        done = subprocess.run(
            [program, f"-T{format}"], input=self.source.encode(), capture_output=True, check=False
        )
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())
            raise ValueError(f"`to_file`: Graphviz could not draw the format {format!r}: {said}")
        return done.stdout

    def write(self, path: str | os.PathLike[str], format: str | None = None) -> None:  # noqa: A002
        """Write text or a picture to a file, by default in the format that its name ends in."""
        file = Path(path)
        content = self.create(format or _format(file))
        with replacing(file) as temporary:
            temporary.write_bytes(content)


def _format(file: Path) -> str:
    return file.suffix[1:].lower() or "png"


@dataclass(frozen=True)
class _Labels:
    """What the box of a layer shows."""

    shapes: bool
    dtype: bool
    names: bool
    activations: bool
    trainable: bool

    def of(self, layer: Any, input_shape: Any, output_shape: Any) -> str:
        """A table in Graphviz's HTML, as Keras's."""
        kind = type(layer).__name__
        title = f"<b>{_escaped(layer.name)}</b> ({kind})" if self.names else f"<b>{kind}</b>"
        span = max(1, 2 * self.shapes + self.dtype + self.trainable)
        rows = [_BLACK.format(span, title)]
        activation = getattr(layer, "activation", None)
        if self.activations and activation is not None:
            text = f"Activation: <b>{_escaped(_activation_name(activation))}</b>"
            rows.append(_WHITE.format(f' colspan="{span}"', text))
        cells = self._cells(layer, input_shape, output_shape)
        if cells:
            rows.append("".join(cells))
        table = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<{_TABLE}{table}</table>>"

    def _cells(self, layer: Any, input_shape: Any, output_shape: Any) -> list[str]:
        """The last row."""
        cells = []
        if self.shapes:
            cells.append(_WHITE.format("", f"Input shape: <b>{input_shape}</b>"))
            cells.append(_WHITE.format("", f"Output shape: <b>{output_shape}</b>"))
        if self.dtype:
            cells.append(_WHITE.format("", f"Output dtype: <b>{layer.dtype}</b>"))
        if self.trainable and layer.weights:
            colour, text = (
                ("forestgreen", "Trainable") if layer.trainable else ("firebrick", "Non-trainable")
            )
            cells.append(_COLOURED.format(colour, text))
        return cells


def _escaped(text: str) -> str:
    """Text for Graphviz's HTML."""
    for character, entity in _ENTITIES:
        text = text.replace(character, entity)
    return text


def _activation_name(activation: Any) -> str:
    for attribute in ("name", "__name__"):
        if hasattr(activation, attribute):
            return str(getattr(activation, attribute))
    return str(activation)


class _Writer:
    """Collects the lines of a graph."""

    def __init__(self, labels: _Labels, expand_nested: bool) -> None:
        self.lines: list[str] = []
        self._labels, self._expand = labels, expand_nested
        self._last: str | None = None  # box that the next one is joined to
        self._edges: list[str] = []

    def add(self, model: Any, path: str = "layer", depth: int = 1) -> None:
        """The layers of a model, one below the other."""
        indent = "  " * depth
        shape = model.input_shape
        for index, layer in enumerate(model.layers):
            node = f"{path}_{index}"
            output = layer.compute_output_shape(shape)
            if self._expand and getattr(layer, "layers", None):
                self.lines += [f"{indent}{line}" for line in _cluster_head(layer)]
                self.add(layer, node, depth + 1)
                self.lines.append(f"{indent}}}")
            else:
                label = self._labels.of(layer, shape, output)
                box = f'label={label}, fontname="Helvetica", border=0, margin=0'
                self.lines.append(f"{indent}{node} [{box}];")
                if self._last is not None:
                    self._edges.append(f"{self._last} -> {node} [penwidth=2];")
                self._last = node
            shape = output

    def finish(self, head: list[str]) -> Dot:
        """The whole text."""
        edges = [f"  {edge}" for edge in self._edges]
        return Dot("\n".join([*head, *self.lines, *edges, "}", ""]))


def _cluster_head(model: Any) -> list[str]:
    """First lines of a box around a model's layers."""
    name = _quoted(f"cluster_{model.name}")
    return [
        f"subgraph {name} {{",
        f'  style="dashed"; label={_quoted(model.name)}; labeljust="l";',
    ]


def _quoted(text: str) -> str:
    """A string of DOT."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: float = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> Dot:
    """The layers of a model as a graph.

    Parameters
    ----------
    model : Sequential
        Built.
    show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable : bool
        What the boxes show besides the layers' classes.
    rankdir : {"TB", "LR", "BT", "RL"}
        Where the graph runs: from the top to the bottom, from the left to the right, or back.
    expand_nested : bool
        Draw the layers of a model inside the model, in a dashed frame.
    dpi : float
        Dots per inch of a picture.
    subgraph : bool
        Return a frame that can be put into another graph.
    splines : {"ortho", "curved", "polyline", "spline", "line"}
        How lines are drawn.

    Returns
    -------
    Dot
        With pydot's methods ``to_string``, ``create`` and ``write``. Keras returns a ``pydot.Dot``,
        and needs pydot for it.

    Raises
    ------
    ValueError
        If the model is not built, or an argument is outside its meaning.

    References
    ----------
    Keras, ``keras.utils.model_to_dot`` (utils/model_visualization.py).

    Examples
    --------
    >>> from minisgd import Sequential, layers
    >>> model = Sequential([layers.Input((784,)), layers.Dense(10, name="digits")])
    >>> "<b>digits</b> (Dense)" in model_to_dot(model).to_string()
    True
    """
    _check(model, rankdir, dpi, splines, kwargs)
    labels = _Labels(
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable
    )
    writer = _Writer(labels, expand_nested)
    writer.add(model)
    if subgraph:
        return writer.finish(_cluster_head(model))
    return writer.finish(
        [
            "digraph model {",
            f"  rankdir={rankdir}; concentrate=true; dpi={dpi}; splines={splines};",
            "  node [shape=record];",
        ]
    )


def _check(model: Any, rankdir: Any, dpi: Any, splines: Any, kwargs: dict[str, Any]) -> None:
    """Refuse arguments outside their meaning; Keras hands most of them to Graphviz."""
    if not hasattr(model, "layers"):
        raise ValueError(f"`model`: expected a Sequential, received {model!r}")
    if not model.built:
        raise ValueError(_NOT_BUILT)
    if kwargs.pop("layer_range", None) is not None:
        raise ValueError("Argument `layer_range` is no longer supported.")
    if kwargs:
        raise ValueError(f"Unrecognized keyword arguments: {kwargs}")
    for name, value, known in (("rankdir", rankdir, _RANKDIRS), ("splines", splines, _SPLINES)):
        if value not in known:
            hint = did_you_mean(value, list(known)) if isinstance(value, str) else ""
            raise ValueError(f"`{name}`: expected one of {known}, received {value!r}.{hint}")
    if isinstance(dpi, bool) or not isinstance(dpi, int | float) or not 0 < dpi < 10_000:
        raise ValueError(f"`dpi`: expected a number of dots per inch, received {dpi!r}")


def plot_model(
    model: Any,
    to_file: str | os.PathLike[str] = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: float = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> Any:
    """Draw the layers of a model into a file.

    Parameters
    ----------
    model : Sequential
        Built.
    to_file : str or path-like
        A name that ends in ``.dot`` or ``.gv`` gets the graph as text. For any other format
        (``.png``, ``.svg``, ``.pdf``, ...) Graphviz has to be installed.

    Returns
    -------
    IPython.display.Image or None
        The picture for a notebook, inside of one.

    Other Parameters
    ----------------
    show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi, \
    show_layer_activations, show_trainable, splines
        See `model_to_dot`.

    Raises
    ------
    ImportError
        If Graphviz is missing. (In a notebook the message is printed, as Keras does.)
    ValueError
        See `model_to_dot`, and if Graphviz does not know the format.
    OSError
        If the file can't be written.

    References
    ----------
    Keras, ``keras.utils.plot_model`` (utils/model_visualization.py).
    """
    graph = model_to_dot(
        model,
        show_shapes=show_shapes,
        show_dtype=show_dtype,
        show_layer_names=show_layer_names,
        rankdir=rankdir,
        expand_nested=expand_nested,
        dpi=dpi,
        show_layer_activations=show_layer_activations,
        show_trainable=show_trainable,
        splines=splines,
        **kwargs,
    )
    file = Path(to_file)
    notebook = "IPython.core.magics.namespace" in sys.modules
    try:
        graph.write(file)
    except ImportError as error:
        if not notebook:
            raise
        print(error)
        return None
    if notebook and _format(file) not in ("pdf", *_TEXT_FORMATS):
        # By name: the notebook brings IPython with it, minisgd does not ask for it.
        display = import_module("IPython.display")
        picture = display.SVG if _format(file) == "svg" else display.Image
        return picture(filename=str(file))
    return None
