"""The tutorial's numbers, its Keras blocks included, are what the code prints."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorials" / "one-step-by-hand.md"


@pytest.mark.step
@pytest.mark.filterwarnings("ignore")
def test_every_block_of_the_page_runs() -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```python(?: keras)?\n(.*?)^```", text, re.M | re.S))
    test = doctest.DocTestParser().get_doctest(blocks, {}, PAGE.name, str(PAGE), 0)
    report: list[str] = []
    results = doctest.DocTestRunner().run(test, out=report.append)
    assert results.attempted > 40
    assert results.failed == 0, "".join(report)


def test_the_table_repeats_the_printed_numbers() -> None:
    text = PAGE.read_text(encoding="utf-8")
    examples, table = text.split("## Side by side")
    printed = set(re.findall(r"-?\d+\.\d+", " ".join(re.findall(r"^[-\d. ]+$", examples, re.M))))
    numbers = set(re.findall(r"-?\d+\.\d+", table.split("\n\n")[1]))
    assert numbers and numbers <= printed
