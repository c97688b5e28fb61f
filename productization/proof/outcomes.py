"""The record of a test run: what each test came to, on which code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

WHERE = Path("build") / "test-outcomes.json"


@dataclass(frozen=True, slots=True)
class TestRecord:
    """Outcomes by node id (passed, failed, skipped) of one code fingerprint. ended: ISO moment of the last of them."""

    __test__ = False  # its name would make pytest collect it

    fingerprint: str
    revision: str
    ended: str
    outcomes: Mapping[str, str] = field(default_factory=dict)

    def of(self, node_id: str) -> dict[str, str]:
        """Outcomes of a test: its own, or those of all its parameters."""
        if node_id in self.outcomes:
            return {node_id: self.outcomes[node_id]}
        return {name: outcome for name, outcome in self.outcomes.items() if name.startswith(f"{node_id}[")}


def read_record(path: Path) -> TestRecord:
    """Read a record; raises OSError or ValueError where it is none."""
    body = json.loads(path.read_text(encoding="utf-8"))
    try:
        names = ("fingerprint", "revision", "ended")
        fields = {name: str(body[name]) for name in names}
        outcomes = {str(name): str(outcome) for name, outcome in body["outcomes"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it lacks {error}") from error
    return TestRecord(**fields, outcomes=outcomes)


def write_record(path: Path, record: TestRecord) -> None:
    """Write a record wholly or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {
        "fingerprint": record.fingerprint,
        "revision": record.revision,
        "ended": record.ended,
        "outcomes": dict(record.outcomes),
    }
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(body, indent=0) + "\n", encoding="utf-8")
    fresh.replace(path)


def merged(old: TestRecord | None, new: TestRecord) -> TestRecord:
    """The new run over the old one where both are of the same code; else the new one alone."""
    if old is None or old.fingerprint != new.fingerprint:
        return new
    return TestRecord(new.fingerprint, new.revision, new.ended, {**old.outcomes, **new.outcomes})
