"""The readiness board and the release page as documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from productization.documents.tables import table

LEVELS = [
    ("`implemented`", "it is there, and its tests passed on this revision"),
    ("`pilot_validated`", "implemented, and every row of the tracker that proves it at work is done"),
    ("`partial`", "a piece of what proves it does not hold"),
    ("`blocked`", "something outside of the project is wanting"),
]


def board_markdown(board: Mapping[str, Any]) -> str:
    """docs/PRODUCTION_READINESS_BOARD.md."""
    rows = [
        (
            one["title"],
            f"`{one['level']}`",
            one["what"],
            ", ".join(one["pilot"]) or "–",
            one["reason"],
            one["limits"] or "–",
        )
        for one in board["capabilities"]
    ]
    lines = [
        "# Production readiness board",
        "",
        "## Statement",
        "",
        board["statement"],
        "",
        "It is the one statement on readiness that a page may make; README carries it word for word, and "
        "`manage.py render_docs --check` ends with 1 where a page says more.",
        "",
        "## Levels",
        "",
        *table(("level", "means"), LEVELS),
        "",
        "## Capabilities",
        "",
        *table(("capability", "level", "what", "proven at work by", "why", "limits"), rows),
    ]
    return "\n".join(lines) + "\n"


def release_markdown(board: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """docs/RELEASE_READINESS.md."""
    items = record["items"]
    waiting = [item for item in items if item["status"] != "done"]
    counts = {
        status: sum(item["status"] == status for item in items) for status in ("done", "in_progress", "blocked", "open")
    }
    lines = [
        "# Release readiness",
        "",
        "## Statement",
        "",
        board["statement"],
        "",
        "## Rows",
        "",
        *table(("status", "rows"), [(f"`{status}`", count) for status, count in counts.items() if count]),
        "",
        "## Before a release",
        "",
    ]
    if waiting:
        lines += [f"- **{item['id']}**, {item['task']} (`{item['status']}`): {item['reason']}" for item in waiting]
    else:
        lines.append("Nothing is open.")
    lines += [
        "",
        "A release is prepared and signed off in the platform's admin under *Releases*: the board and every row are "
        "frozen with their hashes, one person prepares the statement, another signs it. The database refuses to change "
        "either. How to collect the evidence again: [productization.md](productization.md).",
    ]
    return "\n".join(lines) + "\n"
