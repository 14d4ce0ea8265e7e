"""The documentation keeps its promises: its links lead somewhere and its examples run.

Convention: a ``python`` block that contains ``>>>`` is a doctest and may use NumPy and minisgd
only; all such blocks of a page use one namespace. Any other block is shown, not run.
"""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
OTHERS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "kernels" / "README.md",
    ROOT / "benchmarks" / "README.md",
]
PAGES = DOCS + [page for page in OTHERS if page.exists()]

FENCE = re.compile(r"^ *```.*?^ *```[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(<?([^()\s>]+)>?(?:\s+\"[^\"]*\")?\)")
REMOTE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def without_code(text: str) -> str:
    """Markdown without code blocks and code spans, in which brackets are not links."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """Heading anchors: lower case, punctuation dropped, spaces to dashes, doubles numbered."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = 0
        while (anchor := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(anchor)
    return found


def broken_links(page: Path) -> list[str]:
    broken = []
    for target in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        if REMOTE.match(target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or not file.is_relative_to(ROOT):
            broken.append(target)
        elif fragment and file.suffix == ".md":
            if fragment not in anchors(file.read_text(encoding="utf-8")):
                broken.append(target)
    return broken


def example_text(page: Path) -> str:
    """Blank all lines outside runnable blocks, so that line numbers stay right."""
    kept, runnable = [], False
    lines = page.read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.lstrip().startswith("```"):
            runnable = not runnable and line.strip() == "```python"
            kept.append("")
        else:
            kept.append(line if runnable else "")
    return "\n".join(kept) + "\n"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_resolve(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", [p for p in PAGES if ">>>" in example_text(p)], ids=name)
def test_examples_run(page: Path) -> None:
    test = doctest.DocTestParser().get_doctest(example_text(page), {}, name(page), str(page), 0)
    report: list[str] = []
    results = doctest.DocTestRunner().run(test, out=report.append)
    assert results.attempted > 0
    assert results.failed == 0, "".join(report)


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    pages = sorted(p.name for p in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert [p for p in pages if f"({p})" not in index] == []
    assert [p[:4] for p in pages] == [f"{i:04d}" for i in range(1, len(pages) + 1)]


def test_a_broken_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# A head\n[ok](#a-head) [web](https://example.org) `[code](no.md)`\n"
        "[gone](gone.md) [no head](page.md#b)\n```\n[in code](no.md)\n```\n",
        encoding="utf-8",
    )
    assert broken_links(page) == ["gone.md", "page.md#b"]
