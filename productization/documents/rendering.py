"""Renders the documents from their sources, writes them with the register of what they were made from, or only says
where a file differs. No database, no clock but for what is new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.provenance import body_of, framed
from productization.documents.catalogue import DOCUMENTS, Bodies, Document, bodies_of
from productization.documents.readme import README, readme_statement, with_statement
from productization.proof.claims import claims_of, read_board
from productization.proof.hashing import sha256_of, sha256_of_text
from productization.proof.records import Rendered, read_records, write_documents
from productization.proof.verify import newest


@dataclass(frozen=True, slots=True)
class Page:
    """A document as it should stand: where, its text, and its entry in the register."""

    path: str
    text: str
    record: Rendered


def rendered_pages(root: Path, *, now: str, revision: str) -> Iterator[tuple[Document, list[Page]]]:
    """Every document that its sources allow. One whose body and sources are as they were keeps its moment."""
    known = read_records(root).documents
    for document in DOCUMENTS:
        bodies = bodies_of(document, root)
        if bodies is None:
            yield document, []
            continue
        pages = []
        for path, plain in document.render(bodies):
            pages.append(_page(root, document, path, plain, bodies, known.get(path), now, revision))
        yield document, pages


def _page(
    root: Path, document: Document, path: str, plain: str, bodies: Bodies, old: Rendered | None, now: str, revision: str
) -> Page:
    sources = {name: sha256_of(root / name) for name in document.sources}
    if old is not None:
        text = framed(plain, _said(document, bodies, old.made_at, old.revision))
        if sha256_of_text(text) == old.sha256 and dict(old.sources) == sources:
            return Page(path, text, old)
    text = framed(plain, _said(document, bodies, now, revision))
    return Page(path, text, Rendered(sha256_of_text(text), now, revision, sources))


def _said(document: Document, bodies: Bodies, made_at: str, revision: str) -> list[str]:
    """From which run, revision and data it was made."""
    lines = [f"Made by `manage.py render_docs` at {made_at}, revision {revision}; do not edit it by hand."]
    if not document.sources:
        lines.append("Made from the declarations in the code.")
    for name in document.sources:
        made = bodies[name].get("made")
        if isinstance(made, Mapping):
            lines.append(f"Data: `{name}`, taken at {made.get('at')} of revision {made.get('revision')}{_of(made)}.")
        else:
            lines.append(f"Data: `{name}`.")
    return lines


def _of(made: Mapping[str, Any]) -> str:
    runs = made.get("runs") or []
    return f", runs {', '.join(f'`{run}`' for run in runs)}" if runs else ""


def write_pages(root: Path, *, now: str, revision: str) -> list[str]:
    """Write what differs, remove what a newer day replaces, and the register; the files that were written."""
    written: list[str] = []
    records: dict[str, Rendered] = {}
    for document, pages in rendered_pages(root, now=now, revision=revision):
        for page in pages:
            path = root / page.path
            if not path.is_file() or path.read_text(encoding="utf-8") != page.text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(page.text, encoding="utf-8")
                written.append(page.path)
            records[page.path] = page.record
        if "*" in document.pattern and pages:
            for other in root.glob(document.pattern):
                if other.relative_to(root).as_posix() not in {page.path for page in pages}:
                    other.unlink()
                    written.append(other.relative_to(root).as_posix())
    write_documents(root, records)
    board = read_board(root)
    if board is not None and (root / README).is_file():
        text = (root / README).read_text(encoding="utf-8")
        fresh = with_statement(text, board.statement)
        if fresh != text:
            (root / README).write_text(fresh, encoding="utf-8")
            written.append(README)
    return written


def drift(root: Path) -> list[str]:
    """What is not as it should be, one line each: documents that their sources do not give, artifacts that are not
    those that were made, and pages that claim more than the board."""
    problems: list[str] = []
    records = read_records(root)
    for document, pages in rendered_pages(root, now="now", revision="this"):
        if not pages:
            lacking = [name for name in document.sources if not (root / name).is_file()]
            problems.append(f"{document.pattern}: {f'{lacking[0]} is missing' if lacking else 'its sources are empty'}")
        for page in pages:
            path = root / page.path
            if not path.is_file():
                problems.append(f"{page.path} is missing")
            elif body_of(path.read_text(encoding="utf-8")) != body_of(page.text):
                problems.append(f"{page.path} is not what its sources say")
            elif page.path not in records.documents or records.documents[page.path].sha256 != sha256_of(path):
                problems.append(f"{page.path} was changed after it was rendered, or never recorded")
        there = newest(document.pattern, root)
        if "*" in document.pattern and pages and there not in {page.path for page in pages}:
            problems.append(f"{there} is of no source")
    for name, made in records.steps.items():
        for file, sha256 in made.files.items():
            if not (root / file).is_file():
                problems.append(f"{file}, made by the step {name}, is missing")
            elif sha256_of(root / file) != sha256:
                problems.append(f"{file} is not what the step {name} made")
    board = read_board(root)
    if board is not None:
        if readme_statement(root) != board.statement:
            problems.append("README.md does not carry the board's statement")
        problems += [f"claims more than the board: {claim}" for claim in claims_of(root, board)]
    return problems
