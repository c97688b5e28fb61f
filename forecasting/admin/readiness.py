"""The page "Readiness": where the tenant stands, what the next tier still needs, and how it came here."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from forecasting.admin.overview import READINESS_WORDS
from forecasting.engine.gates import READINESS_ORDER
from forecasting.services.readiness import (
    COLD_START,
    readiness_history,
    readiness_now,
    requirements_of,
    rules_now,
)
from ledger.schema import connection
from tenants.models import Heartbeat
from tenants.roles import Role, roles_of


def readiness_page(request: HttpRequest) -> dict[str, Any]:
    """Context of the page; it looks and keeps nothing."""
    found = readiness_now()
    beat = Heartbeat.objects.filter(schema_name=connection.schema_name).first()
    kept = beat.readiness if beat is not None else COLD_START
    here = READINESS_ORDER.index(kept)
    following = READINESS_ORDER[here + 1] if here + 1 < len(READINESS_ORDER) else None
    needs = requirements_of(found.facts, rules_now())
    return {
        "kept": kept,
        "found": found,
        "ladder": [
            {"name": state, "words": READINESS_WORDS[state], "done": k < here, "current": k == here}
            for k, state in enumerate(READINESS_ORDER)
        ],
        "next": following,
        "needs": needs,
        "lacking": [one for one in needs if one.tier == following and not one.met],
        "champion": found.facts["champion"],
        "history": readiness_history(),
        "may_review": bool(roles_of(request.user) & {Role.ANALYST, Role.TENANT_ADMIN}),
    }
