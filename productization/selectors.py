"""Reads of the tracker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from productization.models import TrackerItem
from productization.proof.evidence import Status


def status_counts() -> dict[str, int]:
    """How many rows have each status."""
    found = Counter(TrackerItem.objects.values_list("status", flat=True))
    return {status.value: found[status.value] for status in reversed(Status) if found[status.value]}


def evidence_report(codes: Sequence[str]) -> dict[str, Any]:
    """What the last look found of these rows, for programs."""
    items = TrackerItem.objects.filter(code__in=codes).prefetch_related("evidence")
    return {
        "items": [
            {
                "id": item.code,
                "status": item.status,
                "reason": item.reason,
                "evidence": [
                    {
                        "kind": piece.kind,
                        "ref": piece.ref,
                        "state": piece.state,
                        "checked_at": piece.checked_at.isoformat(timespec="seconds") if piece.checked_at else None,
                    }
                    for piece in item.evidence.all()
                ],
            }
            for item in items
        ]
    }
