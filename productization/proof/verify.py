"""One verifier for each kind of evidence. None of them raises for what it finds: it falls back, with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from productization.declared import Declarations, Evidence
from productization.proof.evidence import Finding, Kind, State
from productization.proof.hashing import changed_paths, code_fingerprint, sha256_of
from productization.proof.markdown import dead_links, headings
from productization.proof.outcomes import TestRecord
from productization.proof.records import Made, Records, read_json

Check = Callable[[], Finding]


@dataclass(frozen=True)
class Ground:
    """What evidence is judged on: the project's files at ``root``, what was recorded, and the checks that ask the
    database or another host. rendered: file names (with `*`) of the documents that render_docs makes."""

    root: Path
    now: datetime
    declared: Declarations
    records: Records = field(default_factory=Records)
    tests: TestRecord | None = None
    checks: Mapping[str, Check] = field(default_factory=dict)
    rendered: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """Of the code that stands there now."""
        return code_fingerprint(self.root)


def look_at(piece: Evidence, ground: Ground) -> Finding:
    """Judge one piece of any kind but ``item``, which the judge of rows looks at itself."""
    look = {Kind.TEST: _test, Kind.ARTIFACT: _artifact, Kind.DOCUMENT: _document}.get(piece.kind, _check)
    try:
        return look(piece, ground)
    except (OSError, ValueError) as error:  # unreadable files, text that is none
        return Finding(State.FAILED, f"It cannot be read: {' '.join(str(error).split())}")


def age_in_days(moment: str, now: datetime) -> float:
    """Days from an ISO moment until ``now``."""
    return (now - datetime.fromisoformat(moment)).total_seconds() / 86_400


# --- tests ------------------------------------------------------------------------------------------------------------


def why_no_test(root: Path, node_id: str) -> str | None:
    """Why there is no test of that node id; None where there is one."""
    file, _, name = node_id.partition("::")
    path = root / file
    if not path.is_file():
        return f"There is no file {file}."
    if not re.search(rf"def {re.escape(name.rpartition('::')[2])}\(", path.read_text(encoding="utf-8")):
        return f"{file} has no test of that name: it was renamed or removed."
    return None


def _test(piece: Evidence, ground: Ground) -> Finding:
    wanting = why_no_test(ground.root, piece.ref)
    if wanting is not None:
        return Finding(State.MISSING, wanting)
    record = ground.tests
    if record is None:
        return Finding(State.MISSING, "No run of the tests is recorded: run them, then manage.py record_tests.")
    facts = {"revision": record.revision, "ended": record.ended}
    if record.fingerprint != ground.fingerprint:
        return Finding(State.STALE, f"The last recorded run was of other code (revision {record.revision}).", facts)
    found = record.of(piece.ref)
    if not found:
        return Finding(State.MISSING, "It was not part of the recorded run of this revision.", facts)
    bad = sorted(f"{name} {outcome}" for name, outcome in found.items() if outcome != "passed")
    if bad:
        return Finding(State.FAILED, f"In the last recorded run: {'; '.join(bad[:3])}.", facts)
    return _fresh(piece, ground, record.ended, {**facts, "cases": len(found)})


# --- artifacts --------------------------------------------------------------------------------------------------------


def _artifact(piece: Evidence, ground: Ground) -> Finding:
    step = ground.declared.step_of(piece.ref)
    how = f"Make it with: manage.py collect_evidence --only {step.name}" if step else "No step is declared to make it"
    found = ground.records.made_by(piece.ref)
    if found is None:
        there = (ground.root / piece.ref).exists()
        said = "It is there, but nobody recorded how it was made" if there else "It was never made"
        return Finding(State.MISSING, f"{said}. {how}.")
    name, made = found
    files = {file: sha for file, sha in made.files.items() if file == piece.ref or file.startswith(_folder(piece.ref))}
    facts = {"step": name, "command": made.command, "made_at": made.made_at, "revision": made.revision, "files": files}
    wrong = _wrong_files(piece.ref, files, ground.root)
    if wrong is not None:
        return Finding(wrong.state, f"{wrong.reason} {how}.", facts)
    unsaid = [
        f"{key} is not {wanted!r}" for key, wanted in piece.holds.items() if not _says(piece, ground, key, wanted)
    ]
    if unsaid:
        return Finding(State.FAILED, f"In {piece.ref}, {', '.join(unsaid)}.", facts)
    old = _older_code(made, ground)
    if old:
        return Finding(State.STALE, f"Made by older code than {', '.join(old)}. {how}.", facts)
    return _fresh(piece, ground, made.made_at, facts)


def _folder(ref: str) -> str:
    return ref if ref.endswith("/") else f"{ref}/"


def _wrong_files(ref: str, files: Mapping[str, str], root: Path) -> Finding | None:
    gone = sorted(file for file in files if not (root / file).is_file())
    if gone:
        return Finding(State.MISSING, f"{', '.join(gone)} is gone.")
    other = sorted(file for file, sha256 in files.items() if sha256_of(root / file) != sha256)
    if other:
        return Finding(State.ALTERED, f"{', '.join(other)} is not what was made: its SHA-256 is another.")
    if ref.endswith("/"):
        there = {path.relative_to(root).as_posix() for path in (root / ref).rglob("*") if path.is_file()}
        if surplus := sorted(there - set(files)):
            return Finding(State.ALTERED, f"{', '.join(surplus)} stands there and was not made by the step.")
    return None


def _says(piece: Evidence, ground: Ground, key: str, wanted: Any) -> bool:
    body = read_json(ground.root / piece.ref)
    for part in key.split("."):
        body = body.get(part) if isinstance(body, dict) else None
    return bool(body == wanted)


def _older_code(made: Made, ground: Ground) -> list[str]:
    return changed_paths(ground.root, dict(made.code))


# --- documents --------------------------------------------------------------------------------------------------------


def newest(ref: str, root: Path) -> str | None:
    """The path that a reference names: itself, or with `*` the last by name; None where nothing is there."""
    if "*" not in ref:
        return ref if (root / ref).is_file() else None
    found = sorted(path.relative_to(root).as_posix() for path in root.glob(ref))
    return found[-1] if found else None


def _document(piece: Evidence, ground: Ground) -> Finding:
    path = newest(piece.ref, ground.root)
    is_rendered = any(Path(path or piece.ref).match(pattern) for pattern in ground.rendered)
    how = " Make it with: manage.py render_docs." if is_rendered else ""
    if path is None:
        return Finding(State.MISSING, f"There is no {piece.ref}.{how}")
    text = (ground.root / path).read_text(encoding="utf-8")
    facts: dict[str, Any] = {"path": path, "sha256": sha256_of(ground.root / path)}
    record = ground.records.documents.get(path)
    if is_rendered and record is None:
        return Finding(State.MISSING, f"{path} is there, but nobody recorded what it was rendered from.{how}", facts)
    if is_rendered and record is not None:
        facts |= {"made_at": record.made_at, "revision": record.revision}
        others = [name for name, sha256 in record.sources.items() if not _is(ground.root / name, sha256)]
        if record.sha256 != facts["sha256"]:
            return Finding(State.ALTERED, f"{path} was changed after it was rendered.{how}", facts)
        if others:
            return Finding(
                State.ALTERED, f"{', '.join(others)}, which it was rendered from, is another now.{how}", facts
            )
    lacking = [section for section in piece.sections if section not in headings(text)]
    if lacking:
        return Finding(State.FAILED, f"{path} has no section “{'”, “'.join(lacking)}”.", facts)
    dead = dead_links(ground.root / path, text)
    if dead:
        return Finding(State.FAILED, f"Links in {path} lead nowhere: {', '.join(dead[:5])}.", facts)
    return _fresh(piece, ground, record.made_at if record is not None else None, facts)


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


# --- what is asked ----------------------------------------------------------------------------------------------------


def _check(piece: Evidence, ground: Ground) -> Finding:
    check = ground.checks.get(piece.ref)
    if check is None:
        return Finding(State.MISSING, f"There is no check {piece.ref!r}.")
    return check()


def _fresh(piece: Evidence, ground: Ground, made_at: str | None, facts: Mapping[str, Any]) -> Finding:
    if piece.fresh_days is not None and made_at is not None:
        age = age_in_days(made_at, ground.now)
        if age > piece.fresh_days:
            return Finding(State.STALE, f"It is {age:.0f} days old; more than {piece.fresh_days} do not count.", facts)
    return Finding(State.VERIFIED, "", facts)
