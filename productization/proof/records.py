"""What is recorded beside the artifacts: who made which file from what, and what each document was rendered from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

ARTIFACTS = "docs/productization_artifacts"
MANIFEST = f"{ARTIFACTS}/manifest.json"
RENDERED = f"{ARTIFACTS}/documents.json"
VERIFICATION = f"{ARTIFACTS}/verification.json"
BOARD = f"{ARTIFACTS}/readiness_board.json"


@dataclass(frozen=True, slots=True)
class Made:
    """One run of a step: its command, when, of which revision, from which code, and the hash of each file it wrote."""

    command: str
    made_at: str
    revision: str
    seconds: float = 0.0
    code: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rendered:
    """One document: the hash of its text, and of each file it was rendered from."""

    sha256: str
    made_at: str
    revision: str
    sources: Mapping[str, str] = field(default_factory=dict)


_Known = TypeVar("_Known", Made, Rendered)


@dataclass(frozen=True, slots=True)
class Records:
    """Both registers, whole."""

    steps: Mapping[str, Made] = field(default_factory=dict)
    documents: Mapping[str, Rendered] = field(default_factory=dict)

    def made_by(self, path: str) -> tuple[str, Made] | None:
        """The step that wrote this file, or files in this folder, with its record."""
        for name, made in self.steps.items():
            if path in made.files or (path.endswith("/") and any(file.startswith(path) for file in made.files)):
                return name, made
        return None


def read_records(root: Path) -> Records:
    """Read both registers; what is not there or cannot be read counts as nothing recorded."""
    return Records(steps=_read(root / MANIFEST, "steps", Made), documents=_read(root / RENDERED, "documents", Rendered))


def write_steps(root: Path, steps: Mapping[str, Made]) -> None:
    """Write the register of steps."""
    write_json(root / MANIFEST, {"steps": {name: asdict(steps[name]) for name in sorted(steps)}})


def write_documents(root: Path, documents: Mapping[str, Rendered]) -> None:
    """Write the register of documents."""
    write_json(root / RENDERED, {"documents": {path: asdict(documents[path]) for path in sorted(documents)}})


def write_json(path: Path, body: Any) -> None:
    """Write JSON wholly or not at all, the same bytes for the same body."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json_text(body), encoding="utf-8")
    fresh.replace(path)


def json_text(body: Any) -> str:
    """A body as the JSON text that is kept."""
    return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def read_json(path: Path) -> Any:
    """A JSON file's body; None where it is not there or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _read(path: Path, name: str, known: type[_Known]) -> dict[str, _Known]:
    body = read_json(path)
    found = body.get(name) if isinstance(body, dict) else None
    read: dict[str, _Known] = {}
    for key, one in found.items() if isinstance(found, dict) else ():
        try:
            read[key] = known(**one)
        except TypeError:
            continue  # damaged by hand: as if it was never recorded
    return read
