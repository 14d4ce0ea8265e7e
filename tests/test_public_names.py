"""The table of Keras's public names: its form, its page, its reasons."""

import json
from pathlib import Path

import pytest

from minisgd.parity import names
from minisgd.parity.name_reasons import NO_REASON, why_absent, why_different

ROOT = Path(__file__).resolve().parents[1]
RECORD = json.loads((ROOT / names.PATH).read_text(encoding="utf-8"))
ADVICE = f"stale: run `{names.COMMAND}`"


def test_the_page_shows_the_record():
    page = (ROOT / names.PATH).with_suffix(".md").read_text(encoding="utf-8")
    assert page == names.page(RECORD), ADVICE


def test_each_name_stands_once_and_says_why():
    entries = RECORD["names"]
    keys = [(entry.get("group", ""), entry["name"]) for entry in entries]
    assert len(keys) == len(set(keys)) > 1000
    for entry in entries:
        assert ("why" in entry) == (entry["state"] != names.EQUAL), entry
        assert ("difference" in entry) == (entry["state"] == names.DIFFERENT), entry
        assert NO_REASON not in entry.get("why", ""), entry


class _Ours:
    def same(self, a, b=1, *, c=None): ...
    def fewer(self, a): ...
    def more(self, a, b=1): ...
    def order(self, b, a): ...
    def default(self, a=2): ...
    def needed(self, a): ...


class _Theirs:
    def same(self, a, b=1, *, c=None): ...
    def fewer(self, a, b=1, **kwargs): ...
    def more(self, a): ...
    def order(self, a, b): ...
    def default(self, a=1): ...
    def needed(self, a=1): ...
    def gone(self): ...

    attribute = 3


@pytest.mark.parametrize(
    ("name", "state", "difference"),
    [
        ("same", "equal", ""),
        ("fewer", "different", "lacks b, lacks **kwargs"),
        ("more", "different", "adds b"),
        ("order", "different", "another order"),
        ("default", "different", "a: 2 instead of 1"),
        ("needed", "different", "a: no default instead of 1"),
        ("gone", "absent", ""),
        ("attribute", "absent", ""),
    ],
)
def test_signatures_are_compared(name, state, difference):
    found = names._compare(_Ours(), _Theirs(), "models", name)
    assert (found.state, found.difference) == (state, difference)


def test_classes_are_compared_by_their_constructors():
    class A:
        def __init__(self, a, b=1): ...

    class B:
        def __init__(self, a, b=2): ...

    class Holder:
        thing = A

    class Other:
        thing = B

    found = names._compare(Holder, Other, "layers", "thing")
    assert found.difference == "b: 1 instead of 2"
    assert names._compare(Holder, Holder, "layers", "thing").state == "equal"


def test_reasons():
    assert why_absent("layers", "Conv2D") == "not an MLP layer: convolution"
    assert why_absent("", "Model").startswith("functional API")
    assert why_absent("layers.Layer", "add_loss") == "losses of layers"
    assert why_different("Sequential", "fit", ["adds reshuffle_each_epoch"]) == (
        "minisgd's own option"
    )
    assert why_different("", "Unheard", ["another order"]) == NO_REASON
