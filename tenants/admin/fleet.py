"""Front page of the platform: every tenant, from its heartbeat row, without opening a schema."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.http import HttpRequest
from django_tenants.utils import get_public_schema_name

from ledger.models import LIVE_STATES, AuditEvent, Run
from ledger.presence import worker_is_present
from tenants.admin.fleet_actions import offered_actions
from tenants.models import Domain, Heartbeat, Tenant, TenantStatus, TenantTier
from tenants.models.tenant import SERVING
from tenants.services.dispatching import jobs_waiting

READINESS = ("cold_start", "warming", "production_tier_candidate", "production_tier_active")
_FIELDS = (
    "readiness",
    "champion",
    "champion_since",
    "last_forecast_at",
    "data_until",
    "pending_approvals",
    "open_incidents",
    "slo_critical",
)
_ORDERS = {
    "name": ("name",),
    "pending": (F("pending_approvals").desc(nulls_last=True), "name"),
    "incidents": (F("open_incidents").desc(nulls_last=True), "name"),
    "oldest": (F("last_forecast_at").asc(nulls_first=True), "name"),
}
PAGE_SIZE = 50


def customers() -> QuerySet[Tenant]:
    """Every tenant but the platform itself, with what its heartbeat says and its host."""
    beats = Heartbeat.objects.filter(schema_name=OuterRef("schema_name"))
    hosts = Domain.objects.filter(tenant=OuterRef("pk"), is_primary=True).values("domain")[:1]
    tenants: QuerySet[Tenant] = Tenant.objects.exclude(schema_name=get_public_schema_name())
    return tenants.annotate(**{field: Subquery(beats.values(field)[:1]) for field in _FIELDS}, host=Subquery(hosts))


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Context of the platform's front page."""
    chosen = {key: request.GET.get(key, "") for key in ("q", "tier", "status", "readiness", "slo", "sort")}
    tenants = customers()
    if chosen["q"]:
        tenants = tenants.filter(Q(name__icontains=chosen["q"]) | Q(schema_name__icontains=chosen["q"]))
    for field in ("tier", "status", "readiness"):
        if chosen[field]:
            tenants = tenants.filter(**{field: chosen[field]})
    if chosen["slo"] == "critical":
        tenants = tenants.filter(**{"slo_critical__gt": 0})  # annotated
    tenants = tenants.order_by(*_ORDERS.get(chosen["sort"], _ORDERS["name"]))
    whole = _whole()
    filtered = any(chosen[key] for key in ("q", "tier", "status", "readiness", "slo"))
    waiting = jobs_waiting()
    query = request.GET.copy()
    query.pop("page", None)
    paginator = Paginator(tenants, PAGE_SIZE)
    if not filtered:
        paginator.__dict__["count"] = whole["tenants"]  # counted already
    return {
        **context,
        "page": paginator.get_page(request.GET.get("page")),
        "query": query.urlencode(),
        "chosen": chosen,
        "filtered": filtered,
        "tiers": TenantTier.choices,
        "statuses": TenantStatus.choices,
        "readiness": READINESS,
        "tenant_count": whole["tenants"],
        "serving": whole["serving"],
        "late": whole["late"],
        "waiting": [(queue.value, number) for queue, number in waiting.items()],
        "worker": worker_is_present(),
        "pending": whole["pending"] or 0,
        "incidents": whole["incidents"] or 0,
        "live_runs": Run.objects.filter(state__in=LIVE_STATES).count(),
        "events": AuditEvent.objects.exclude(event__in=("run.queued", "run.succeeded"))[:8],
        "port": f":{request.get_port()}" if request.get_port() not in ("80", "443") else "",
        **offered_actions(request),
        "may_add": request.user.has_perm("tenants.add_tenant"),
    }


def _whole() -> dict[str, Any]:
    """Sums over every tenant, whatever is shown of them."""
    found: dict[str, Any] = customers().aggregate(
        tenants=Count("pk"),
        serving=Count("pk", filter=Q(status__in=SERVING)),
        pending=Sum("pending_approvals"),
        incidents=Sum("open_incidents"),
        late=Count("pk", filter=Q(slo_critical__gt=0)),
    )
    return found
