"""A small project folder in which every declared piece of evidence holds, so that a test can take one away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from productization.declared import Declarations, Evidence, Step
from productization.documents.catalogue import RENDERED
from productization.proof.evidence import Finding, Kind, State, Status
from productization.proof.hashing import code_fingerprint, code_hashes, sha256_of
from productization.proof.judge import Judge
from productization.proof.outcomes import TestRecord
from productization.proof.records import Made, Records, Rendered
from productization.proof.verify import Ground

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EARLIER = (NOW - timedelta(days=2)).isoformat()
DAY = "2026-03-01"


@dataclass
class Tree:
    """The folder and what is recorded of it."""

    root: Path
    declared: Declarations
    records: Records
    tests: TestRecord
    answers: dict[str, Finding] = field(default_factory=dict)

    def ground(self) -> Ground:
        names = {piece.ref for piece in every_piece(self.declared) if piece.kind in (Kind.LIVE, Kind.EXTERNAL)}
        checks = {name: partial(self._answer, name) for name in names}
        return Ground(self.root, NOW, self.declared, self.records, self.tests, checks, RENDERED)

    def _answer(self, name: str) -> Finding:
        return self.answers.get(name, Finding(State.VERIFIED))

    def statuses(self) -> dict[str, Status]:
        """Every row's status now."""
        judge = Judge(self.ground())
        return {item.id: judge.verdict(item.id).status for item in self.declared.items}

    def fallen(self) -> set[str]:
        """Rows that are not done."""
        return {code for code, status in self.statuses().items() if status is not Status.DONE}

    def reason(self, code: str) -> str:
        """Why a row is what it is."""
        return Judge(self.ground()).verdict(code).reason

    @contextmanager
    def changed(self, path: str, content: str | None) -> Iterator[None]:
        """With another content of a file, or without it; as it was afterwards."""
        place = self.root / path
        before = place.read_bytes()
        if content is None:
            place.unlink()
        else:
            place.write_text(content, encoding="utf-8")
        try:
            yield
        finally:
            place.write_bytes(before)

    def with_outcome(self, node_id: str, outcome: str | None) -> Tree:
        """The same tree after a run in which one test came to this, or was not run."""
        outcomes = {name: one for name, one in self.tests.outcomes.items() if name != node_id}
        if outcome is not None:
            outcomes[node_id] = outcome
        return replace(self, tests=replace(self.tests, outcomes=outcomes))


def cited(declared: Declarations) -> Iterator[tuple[str, Evidence]]:
    """Every piece of every row, with the row's id."""
    for item in declared.items:
        for piece in item.evidence:
            yield item.id, piece


def every_piece(declared: Declarations) -> Iterator[Evidence]:
    """Every piece of every row and capability."""
    yield from (piece for _, piece in cited(declared))
    yield from (piece for capability in declared.capabilities for piece in capability.built)


def rows_citing(declared: Declarations, holds: Callable[[Evidence], bool]) -> set[str]:
    """Rows with such a piece."""
    return {code for code, piece in cited(declared) if holds(piece)}


def make_tree(root: Path, declared: Declarations) -> Tree:
    """Write the folder."""
    pieces = [piece for _, piece in cited(declared)]
    tests = [piece.ref for piece in every_piece(declared) if piece.kind is Kind.TEST]
    for ref in dict.fromkeys(tests):
        file, _, name = ref.partition("::")
        _write(root / file, f"def {name}():\n    assert True\n", append=True)
    records = Records(
        steps={step.name: _made(root, step, pieces) for step in declared.steps if step.artifacts},
        documents={path: record for piece in pieces if piece.kind is Kind.DOCUMENT
                   for path, record in _document(root, piece, pieces)},
    )  # fmt: skip
    outcomes = dict.fromkeys(tests, "passed")
    return Tree(root, declared, records, TestRecord(code_fingerprint(root), "abc", EARLIER, outcomes))


def artifact_files(declared: Declarations) -> list[str]:
    """Every file that the steps of such a tree write."""
    refs = [piece.ref for _, piece in cited(declared)]
    return [file for step in declared.steps for made in step.artifacts for file in _files(made, refs)]


def _files(made: str, refs: list[str]) -> list[str]:
    """The file itself; of a folder, every file that is cited, and one that is not."""
    if not made.endswith("/"):
        return [made]
    return [*dict.fromkeys(ref for ref in refs if ref.startswith(made) and ref != made), f"{made}rows.csv"]


def _made(root: Path, step: Step, pieces: list[Evidence]) -> Made:
    for path in step.proves:
        _write(root / path if path.endswith(".py") else root / path / "code.py", f"NAME = {path!r}\n")
    files = [file for made in step.artifacts for file in _files(made, [piece.ref for piece in pieces])]
    for file in files:
        body = {key: value for piece in pieces if piece.ref == file for key, value in piece.holds.items()}
        _write(root / file, json.dumps({"figure": 1.25, **body}))
    return Made(
        f"manage.py {' '.join(step.command)}", EARLIER, "abc", 1.0, code_hashes(root, step.proves),
        {file: sha256_of(root / file) for file in files},
    )  # fmt: skip


def document_path(piece: Evidence) -> str:
    """Where the tree has a document."""
    return piece.ref.replace("*", DAY)


def _document(root: Path, piece: Evidence, pieces: list[Evidence]) -> Iterator[tuple[str, Rendered]]:
    path = document_path(piece)
    sections = dict.fromkeys(name for one in pieces if one.ref == piece.ref for name in one.sections)
    _write(root / path, "# A document\n\nFigure: 1.25\n" + "".join(f"\n## {name}\n" for name in sections))
    if any(Path(path).match(pattern) for pattern in RENDERED):
        yield path, Rendered(sha256_of(root / path), EARLIER, "abc")


def _write(path: Path, text: str, *, append: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    known = path.read_text(encoding="utf-8") if append and path.exists() else ""
    path.write_text(known + text, encoding="utf-8")
