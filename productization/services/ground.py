"""The ground that evidence is judged on in this project: its files, the registers beside them, and this database."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.utils import timezone

from productization.declared import Declarations, declarations
from productization.documents.catalogue import RENDERED
from productization.github import protection_finding
from productization.live import live_checks
from productization.models import TestRun
from productization.own_checks import own_checks
from productization.proof.outcomes import TestRecord
from productization.proof.records import read_records
from productization.proof.verify import Ground


def current_ground(declared: Declarations | None = None, root: Path | None = None) -> Ground:
    """Judge on today's files and today's database."""
    folder = root or settings.BASE_DIR
    return Ground(
        root=folder,
        now=timezone.now(),
        declared=declared or declarations(),
        records=read_records(folder),
        tests=_newest_record(),
        checks={**live_checks(), **own_checks(folder), "branch_protection": protection_finding},
        rendered=RENDERED,
    )


def _newest_record() -> TestRecord | None:
    run = TestRun.objects.first()
    if run is None:
        return None
    return TestRecord(run.fingerprint, run.revision, run.ended_at.isoformat(timespec="seconds"), run.outcomes)
