"""Takes in what the tests came to."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from django.db import transaction

from ledger.services.audit import record
from productization.errors import RecordUnreadable
from productization.models import TestRun
from productization.proof.outcomes import read_record

KEPT = 20


@transaction.atomic
def record_tests(*, path: Path) -> TestRun:
    """Take in the record that the tests wrote at ``path``; the same record twice is one. The newest few are kept.

    Raises ``RecordUnreadable``.
    """
    try:
        found = read_record(path)
        ended_at = datetime.fromisoformat(found.ended)
    except (OSError, ValueError) as error:
        raise RecordUnreadable(str(path), " ".join(str(error).split())) from error
    newest = TestRun.objects.first()
    if newest is not None and (newest.fingerprint, newest.ended_at, newest.outcomes) == (
        found.fingerprint, ended_at, dict(found.outcomes)
    ):  # fmt: skip
        return newest
    run = TestRun.objects.create(
        fingerprint=found.fingerprint, revision=found.revision, ended_at=ended_at, outcomes=dict(found.outcomes)
    )
    TestRun.objects.exclude(pk__in=list(TestRun.objects.values_list("pk", flat=True)[:KEPT])).delete()
    failed = sum(outcome == "failed" for outcome in found.outcomes.values())
    record(event="tracker.tests_recorded", subject=run, data={"tests": len(found.outcomes), "failed": failed})
    return run
