"""Every row of the list of bad inputs has a test that bears its id, and a row on the page."""

import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COUNTS = {"X": 24, "Y": 15, "F": 32, "O": 27, "L": 13, "N": 12, "S": 19, "P": 14}


def load_table():
    spec = importlib.util.spec_from_file_location("bad_inputs_table", HERE / "table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


table = load_table()
CASES = table.cases()


def test_the_list_is_whole():
    ids = [row["id"] for row in CASES]
    assert len(set(ids)) == len(ids) == 156
    assert Counter(name[0] for name in ids) == COUNTS
    assert all(all(row.values()) for row in CASES)


@pytest.mark.parametrize("row", CASES, ids=[row["id"] for row in CASES])
def test_each_row_has_a_test_with_its_id(row):
    """As "X-01", of a parameter, or as x_01 in a test's name."""
    name, text = row["id"], (ROOT / row["test"]).read_text(encoding="utf-8")
    in_names = name.lower().replace("-", "_")
    pattern = rf"\b{name}\b|(test|row)_{in_names}(_|\b)"
    assert re.search(pattern, text), f"{row['test']}: no test for {name}"


def test_each_id_in_a_test_is_one_of_the_list():
    known = {row["id"] for row in CASES}
    for path in HERE.glob("test_[xyfolns]_*.py"):
        text = path.read_text(encoding="utf-8")
        found = {name.upper().replace("_", "-") for name in re.findall(r"test_([a-z]_\d\d)_", text)}
        found |= set(re.findall(r"id=\"([A-Z]-\d\d)\"", text))
        assert found <= known, path.name


def test_the_page_holds_the_list():
    assert table.PAGE.read_text(encoding="utf-8") == table.page(), (
        "run `python tests/bad_inputs/table.py`"
    )
