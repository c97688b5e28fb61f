"""The statement of the board in README.md, between its two marks."""

from __future__ import annotations

from pathlib import Path

from productization.proof.claims import CLOSE, OPEN

README = "README.md"


def readme_statement(root: Path) -> str | None:
    """What README says between the marks; None where they are not there."""
    path = root / README
    if not path.is_file():
        return None
    _, opened, rest = path.read_text(encoding="utf-8").partition(OPEN)
    inside, closed, _ = rest.partition(CLOSE)
    return inside.strip() if opened and closed else None


def with_statement(text: str, statement: str) -> str:
    """README with this statement between the marks; ``text`` as it is where it has none."""
    before, opened, rest = text.partition(OPEN)
    _, closed, after = rest.partition(CLOSE)
    return f"{before}{OPEN}\n{statement}\n{CLOSE}{after}" if opened and closed else text
