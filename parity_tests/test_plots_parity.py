"""Graphs of models: the same boxes, frames and lines as Keras's."""

from __future__ import annotations

import re

import pytest

from minisgd.parity.sides import keras_side, minisgd_side


def example(ns):
    """Dense layers, two models within each other, and a frozen layer."""
    innermost = ns.Sequential(
        [ns.layers.Input((4,)), ns.layers.Dense(5, name="innermost_dense")], name="innermost"
    )
    inner = ns.Sequential(
        [ns.layers.Input((16,)), ns.layers.Dense(4, "tanh", name="inner_dense"), innermost],
        name="inner",
    )
    model = ns.Sequential(
        [
            ns.layers.Input((784,)),
            ns.layers.Dense(16, "relu", name="first"),
            inner,
            ns.layers.Dropout(0.5, name="drop"),
            ns.layers.Dense(10, "softmax", name="last"),
        ],
        name="outer",
    )
    model.layers[0].trainable = False
    return model


def graph(text):
    """Words of a graph, the boxes numbered in their order, the edges sorted."""
    boxes = list(dict.fromkeys(re.findall(r"^\s*(\w+) \[label=<", text, re.MULTILINE)))
    for number, box in enumerate(boxes):
        text = re.sub(rf"\b{box}\b", f"box{number}", text)
    text = text.replace('"', "").replace("digraph model", "digraph G")
    words = [word.strip() for word in re.split(r"[;{}\n]", text)]
    edges = [word for word in words if " -> " in word]
    return [word for word in words if word and word not in edges], sorted(edges)


OPTIONS = [
    {},
    {"show_shapes": True, "rankdir": "LR", "dpi": 70},
    {
        "show_shapes": True,
        "show_dtype": True,
        "show_layer_names": False,
        "show_layer_activations": True,
        "show_trainable": True,
        "splines": "curved",
    },
]


@pytest.mark.parametrize("expand_nested", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "shapes", "all"])
def test_graphs_are_equal(expand_nested, options):
    pytest.importorskip("pydot", reason="Keras draws through pydot, which is not installed")
    ours, theirs = (
        graph(side.ns.utils.model_to_dot(example(side.ns), expand_nested=expand_nested, **options)
              .to_string())
        for side in (minisgd_side(), keras_side())
    )  # fmt: skip
    assert ours == theirs
