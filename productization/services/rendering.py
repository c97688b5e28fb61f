"""Makes the documents: takes what they tell from this database, verifies, renders, and again until nothing moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from forecasting.services.code_facts import revision
from productization.declared import declarations
from productization.documents.rendering import write_pages
from productization.documents.sources import keep
from productization.documents.taking import demo_tenants, take_sources
from productization.documents.tracker_text import verification_body
from productization.models import TrackerItem
from productization.proof.board import board_body, standings
from productization.proof.judge import Judge
from productization.proof.records import BOARD, VERIFICATION
from productization.services.ground import current_ground
from productization.services.tracking import verify

ROUNDS = 5
"""Rows cite documents, and documents tell rows; each round can only bring more of both into line."""


def short_revision() -> str:
    """The revision that runs, short; "unknown" outside of a repository."""
    return (revision() or "unknown")[:12]


def render_recorded(root: Path | None = None) -> list[str]:
    """Write every document from what was recorded, and ask no database; the files that changed."""
    now = timezone.now().isoformat(timespec="seconds")
    return write_pages(root or settings.BASE_DIR, now=now, revision=short_revision())


def render(*, say: Callable[[str], None], root: Path | None = None) -> list[str]:
    """Take the figures, verify, and write every document; the files that changed."""
    folder = root or settings.BASE_DIR
    made = {"at": timezone.now().isoformat(timespec="seconds"), "revision": short_revision()}
    tenants = demo_tenants()
    if tenants:
        for name, body in take_sources(tenants).items():
            keep(folder, name, body, {**made, "runs": _runs(body)})
    else:
        say("The demo's tenants are not here: their figures stay as they were taken.")
    changed: set[str] = set()
    for _ in range(ROUNDS):
        moved = _record_verification(folder, made)
        written = write_pages(folder, now=made["at"], revision=made["revision"])
        changed |= set(written)
        if not moved and not written:
            break
    return sorted(changed)


def _record_verification(root: Path, made: dict[str, Any]) -> bool:
    """Verify, and keep what was found and the board that follows from it; whether either is another than before."""
    ground = current_ground(root=root)
    verdicts = verify(ground=ground)
    rows = {item.code: item for item in TrackerItem.objects.all()}
    held = {code: row.reason for code, row in rows.items() if row.blocked_reason}
    found = standings(Judge(ground, held))
    owners = {code: row.owner for code, row in rows.items()}
    moved = keep(root, VERIFICATION, verification_body(verdicts, declarations(), owners), made)
    return keep(root, BOARD, board_body(found), made) or moved


def _runs(body: dict[str, Any]) -> list[str]:
    """Ids of the runs that a source rests on."""
    found = [one.get("run", {}).get("run") for one in body.get("tenants", []) if isinstance(one.get("run"), dict)]
    found += [step.get("run") for step in body.get("drill", {}).get("report", {}).get("steps", [])]
    return sorted({str(run) for run in found if run})
