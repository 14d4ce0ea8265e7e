"""The table of Keras's public names is that of the installed Keras and of minisgd as it is."""

import json
from pathlib import Path

import pytest

from minisgd.parity import names

ROOT = Path(__file__).resolve().parents[1]


def test_the_record_is_fresh():
    recorded, found = json.loads((ROOT / names.PATH).read_text(encoding="utf-8")), names.record()
    if found["versions"] != recorded["versions"]:
        pytest.skip(f"recorded beside {recorded['versions']}, here is {found['versions']}")
    before, now = (
        {(entry.get("group", ""), entry["name"]): entry for entry in record["names"]}
        for record in (recorded, found)
    )
    changed = [now.get(key, key) for key in before | now if before.get(key) != now.get(key)]
    assert not changed, f"the record is stale: run `{names.COMMAND}`"
