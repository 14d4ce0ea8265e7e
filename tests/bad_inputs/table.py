"""The table of docs/reference/bad-input.md, made from cases.csv by running this file.

Each row of the list is an id, an input, what Keras 3.15.1 did with it, what minisgd does, and the
file whose tests bear the id.
"""

import csv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "reference" / "bad-input.md"
BEGIN, END = "<!-- the table: tests/bad_inputs/table.py -->", "<!-- end of the table -->"
FAMILIES = {
    "X": "Data", "Y": "Labels", "F": "Arguments of fit, evaluate, predict",
    "O": "Optimizers and compile", "L": "Layers and models", "N": "Numbers", "S": "Files",
    "P": "Surroundings",
}  # fmt: skip


def cases():
    """Rows of cases.csv as dicts."""
    with (HERE / "cases.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table():
    """All rows, one table a family, as Markdown."""
    parts = []
    for letter, title in FAMILIES.items():
        rows = [row for row in cases() if row["id"].startswith(letter)]
        parts.append(f"\n### {letter}: {title}\n")
        parts.append("| id | input | Keras 3.15.1 | minisgd |\n|---|---|---|---|")
        parts += [
            f"| {row['id']} | {row['input']} | {row['Keras 3.15.1']} | {row['minisgd']} |"
            for row in rows
        ]
    return "\n".join(parts) + "\n\n"


def page():
    """The page with the present table."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
