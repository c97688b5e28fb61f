"""Front page of a tenant: is the forecast fresh, is anything waiting for me, what changed."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from forecasting import selectors
from forecasting.admin.totals_view import total_chart
from forecasting.models import AccuracyRecord, ModelVersion, PromotionRequest, RequestState
from forecasting.services.rollback import ROLES, rollback_targets
from integrations.models import IngestBatch, OnboardingDraft
from ledger.models import LIVE_STATES, AuditEvent, Run
from ledger.schema import connection
from tenants.models import Heartbeat
from tenants.roles import Role, roles_of

ROUTINE = ("run.queued", "run.succeeded")
"""Events that the list of runs shows better."""
READINESS_WORDS = {
    "cold_start": "Too little history to judge a model by",
    "warming": "History grows; a first champion comes within reach",
    "production_tier_candidate": "Enough evidence for a first champion",
    "production_tier_active": "An approved champion serves",
}


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Context of the tenant's front page."""
    roles = roles_of(request.user)
    serving, newest = selectors.serving_set(), selectors.newest_day()
    champion = selectors.current_champion()
    beat = Heartbeat.objects.filter(schema_name=connection.schema_name).first()
    pending = list(
        PromotionRequest.objects.filter(state=RequestState.PENDING).select_related("candidate").order_by("requested_at")
    )
    accuracy = (
        AccuracyRecord.objects.filter(forecast_set__published_at__isnull=False).select_related("version").first()
        if champion is not None
        else None
    )
    readiness = beat.readiness if beat is not None else "cold_start"
    return {
        **context,
        "title": "Overview",
        "chart": total_chart(serving, newest),
        "serving": serving,
        "newest": newest,
        "behind_days": (newest - serving.origin_date).days if serving is not None and newest is not None else None,
        "champion": champion,
        "champion_fit_days": (newest - champion.version.as_of).days if champion is not None and newest else None,
        "readiness": readiness,
        "readiness_words": READINESS_WORDS.get(readiness, ""),
        "incidents": beat.open_incidents if beat is not None else 0,
        "accuracy": accuracy,
        "pending": pending,
        "waiting_for_me": [one for one in pending if Role.REVIEWER in roles and one.requested_by_id != request.user.pk],
        "live_runs": list(Run.objects.filter(state__in=LIVE_STATES).defer("inputs", "outputs", "artifacts")[:5]),
        "events": AuditEvent.objects.exclude(event__in=ROUTINE)[:8],
        "next_step": _next_step(newest, champion is not None, bool(pending), roles),
        "may_roll_back": champion is not None and bool(roles & set(ROLES)) and bool(rollback_targets()),
        "may_retrain": bool(roles & {Role.ANALYST, Role.TENANT_ADMIN}),
    }


def _load_first(roles: frozenset[Role]) -> dict[str, str]:
    """How a tenant gets its first sales: a form for those who may, else whom to ask."""
    failed = IngestBatch.objects.exclude(state="loaded").exists()
    if Role.TENANT_ADMIN in roles and not failed:
        return {
            "title": "First, bring in your sales",
            "text": "Seven short steps lead from a file of your till or shop system to loaded sales; nothing is loaded "
            "before you have seen what will become of it.",
            "url": "admin:integrations_onboardingdraft_changelist"
            if OnboardingDraft.objects.filter(state="open").exists()
            else "admin:integrations_onboardingdraft_add",
            "link": "Bring in data",
        }
    return {
        "title": "First, load sales data",
        "text": "The last delivery did not pass its checks. Look at what to mend, then load it again."
        if failed
        else "A tenant admin brings in the first file with “Bring in data”.",
        "url": "admin:integrations_ingestbatch_changelist",
        "link": "Deliveries",
    }


def _next_step(newest: Any, has_champion: bool, pending: bool, roles: frozenset[Role]) -> dict[str, str] | None:
    """What to do first, while the tenant is not served yet."""
    if has_champion:
        return None
    if newest is None:
        return _load_first(roles)
    if pending:
        return {
            "title": "A first champion waits for a reviewer",
            "text": "Nothing is forecast for others until a person approves the first model.",
            "url": "admin:forecasting_promotionrequest_changelist",
            "link": "Approvals",
        }
    if not ModelVersion.objects.exists():
        may = bool(roles & {Role.ANALYST, Role.TENANT_ADMIN})
        return {
            "title": "Next, train a first model",
            "text": "The data is loaded. A search compares the model families and proposes the best."
            if may
            else "The data is loaded. An analyst starts the first search with “Retrain now”.",
            "url": "admin:forecasting_modelversion_retrain" if may else "admin:forecasting_series_changelist",
            "link": "Retrain now" if may else "Look at the series",
        }
    return {
        "title": "There is no champion yet",
        "text": "Versions were trained; one must pass the gates and be approved. Look at the newest one’s judgement.",
        "url": "admin:forecasting_modelversion_changelist",
        "link": "Models",
    }
