"""What the pages claim of the product's readiness, beside what the published board says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from productization.proof.judge import RANK, Level
from productization.proof.records import ARTIFACTS, BOARD, read_json, read_records

OPEN, CLOSE = "<!-- readiness -->", "<!-- /readiness -->"
READY_WORDS = ("production-ready", "ready for production", "enterprise-ready", "enterprise-grade", "battle-tested")
"""Of the whole product; they need every capability pilot_validated."""
_READY = re.compile("|".join(word.replace("-", "[- ]") for word in READY_WORDS), re.IGNORECASE)
_LEVEL = re.compile(r"pilot[_ -]validated|\bfully implemented\b|`(?:implemented|partial|blocked)`", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|no|never|nobody|before|until|unless|without|isn't|or not)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n|\n(?=[|#*-])")
_RENDERED = re.compile(re.escape(OPEN) + ".*?" + re.escape(CLOSE), re.DOTALL)


@dataclass(frozen=True, slots=True)
class Board:
    """The board as it was published: its statement, and the level of each capability by id."""

    statement: str
    levels: dict[str, Level]
    titles: dict[str, str]

    @property
    def is_ready(self) -> bool:
        """Whether everything is proven at work."""
        return bool(self.levels) and all(level is Level.PILOT_VALIDATED for level in self.levels.values())


def read_board(root: Path) -> Board | None:
    """The published board; None where there is none that can be read."""
    body = read_json(root / BOARD)
    try:
        rows = body["capabilities"]
        levels = {str(row["id"]): Level(row["level"]) for row in rows}
        return Board(str(body["statement"]), levels, {str(row["id"]): str(row["title"]) for row in rows})
    except (TypeError, KeyError, ValueError):
        return None


def claims_of(root: Path, board: Board) -> list[str]:
    """Every claim on a hand-written page that goes beyond the board: where it stands and what it says."""
    found: list[str] = []
    made = set(read_records(root).documents)
    for path in pages(root):
        name = path.relative_to(root).as_posix()
        if name in made or name.startswith(f"{ARTIFACTS}/"):
            continue
        text = _RENDERED.sub("", path.read_text(encoding="utf-8"))
        found += [f"{name}: “{claim}”" for claim in excess(text, board)]
    return found


def pages(root: Path) -> Iterator[Path]:
    """README, changelog and every document."""
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md"):
        if (root / name).is_file():
            yield root / name
    yield from sorted((root / "docs").rglob("*.md"))


def excess(text: str, board: Board) -> Iterator[str]:
    """Sentences of a text that claim more than the board says.

    A readiness word claims the whole product; a level claims the capability that the same sentence names (by id or
    title), or all of them. A sentence that denies or conditions its word claims nothing.
    """
    for sentence in _SENTENCE.split(text):
        plain = " ".join(sentence.split())
        if (found := _READY.search(plain)) and not _denied(plain, found.start()) and not board.is_ready:
            yield plain[:160]
        elif (found := _LEVEL.search(plain)) and not _denied(plain, found.start()):
            claimed = _claimed(found.group(0))
            named = [key for key, title in board.titles.items() if _names(plain, key, title)]
            if named and any(RANK[claimed] > RANK[board.levels[key]] for key in named):
                yield plain[:160]


def _denied(sentence: str, at: int) -> bool:
    return _NOT.search(sentence[:at]) is not None


def _claimed(word: str) -> Level:
    plain = word.strip("`").lower().replace(" ", "_").replace("-", "_")
    return Level.IMPLEMENTED if plain == "fully_implemented" else Level(plain)


def _names(sentence: str, key: str, title: str) -> bool:
    low = sentence.lower()
    return title.lower() in low or f"`{key}`" in low
