"""The records that documents are rendered from: taken from the database once, kept beside the artifacts as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from productization.proof.records import ARTIFACTS, BOARD, VERIFICATION, json_text, read_json, write_json

EFFECTIVENESS = f"{ARTIFACTS}/effectiveness.json"
DECISIONS = f"{ARTIFACTS}/decision_log.json"
DRILL = f"{ARTIFACTS}/rollback_drill.json"
BRIEF = f"{ARTIFACTS}/architecture_brief.json"
BENCHMARKS = "benchmarks/results.json"
TAKEN = (VERIFICATION, BOARD, EFFECTIVENESS, DECISIONS, DRILL, BRIEF)


def keep(root: Path, name: str, body: Mapping[str, Any], made: Mapping[str, Any]) -> bool:
    """Write a source with the moment and revision that it was taken at; whether its body is another than it was.

    Where it is the same, the file stays as it is, moment and all: the same data give the same bytes.
    """
    known, plain = read_json(root / name), json.loads(json_text(body))
    if isinstance(known, dict) and {key: value for key, value in known.items() if key != "made"} == plain:
        return False
    write_json(root / name, {**plain, "made": dict(made)})
    return True


def read_source(root: Path, name: str) -> dict[str, Any] | None:
    """A source's body with its ``made``; None where there is none."""
    found = read_json(root / name)
    return found if isinstance(found, dict) else None
