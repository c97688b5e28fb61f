"""Look and navigation of the two admin sites (django-unfold)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

_COLORS = {
    "primary": {
        "50": "240 253 250",
        "100": "204 251 241",
        "200": "153 246 228",
        "300": "94 234 212",
        "400": "45 212 191",
        "500": "13 148 136",
        "600": "15 118 110",
        "700": "17 94 89",
        "800": "19 78 74",
        "900": "17 60 58",
        "950": "4 47 46",
    }
}


def _look(subheader: str | Callable[[HttpRequest], str], **more: Any) -> dict[str, Any]:
    return {
        "SITE_TITLE": "Forecourt",
        "SITE_HEADER": "Forecourt",
        "SITE_SUBHEADER": subheader,
        "SITE_SYMBOL": "stacked_line_chart",
        "SITE_FAVICONS": [
            {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("forecourt/favicon.svg")}
        ],
        "STYLES": [lambda request: static("forecourt/forecourt.css")],
        "SCRIPTS": [lambda request: static("forecourt/page.js")],
        "SHOW_HISTORY": True,
        "SHOW_VIEW_ON_SITE": False,
        "COLORS": _COLORS,
        **more,
    }


def _item(title: str, icon: str, url: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(url), **more}


def _listed(title: str, icon: str, app: str, model: str, **more: Any) -> dict[str, Any]:
    """The list of a model, for those who may see it."""
    return _item(title, icon, f"admin:{app}_{model}_changelist", permission=_may(f"{app}.view_{model}"), **more)


def _group(title: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "separator": bool(title), "items": list(items)}


def platform_navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The platform's sidebar; Applications carries the number of those that wait for an operator."""
    from tenants.models import ApplicationState, TenantApplication

    waiting = TenantApplication.objects.filter(state=ApplicationState.CONFIRMED).count()
    badge = {"badge": str(waiting), "badge_variant": "warning"} if waiting else {}
    return [
        _group(
            "", _item("Fleet", "hub", "admin:index"), _item("Tenants", "storefront", "admin:tenants_tenant_changelist")
        ),
        _group(
            "Operations",
            _listed("Service levels", "speed", "tenants", "slosample"),
            _listed("Dispatches", "fork_right", "tenants", "dispatch"),
            _listed("Migrations", "database", "tenants", "schemastate"),
            _listed("Erasures", "delete_forever", "tenants", "erasurecertificate"),
        ),
        _group(
            "Joining",
            _listed("Applications", "approval", "tenants", "tenantapplication", **badge),
            _listed("Invitations", "person_add", "tenants", "invitation"),
            _listed("Mails", "mail", "tenants", "outgoingmail"),
        ),
        _group(
            "Productization",
            _listed(
                "Tracker",
                "checklist",
                "productization",
                "trackeritem",
                active=lambda request: _under(request, "trackeritem/") and not _under(request, "/board/"),
            ),
            _item(
                "Readiness board",
                "verified",
                "admin:productization_trackeritem_board",
                permission=_may("productization.view_trackeritem"),
            ),
            _listed("Releases", "new_releases", "productization", "release"),
        ),
        _group(
            "Ledger",
            _item("Runs", "progress_activity", "admin:ledger_run_changelist"),
            _item("Audit events", "receipt_long", "admin:ledger_auditevent_changelist"),
        ),
        _group("Access", _listed("People", "group", "auth", "user")),
    ]


def _waiting_counts() -> tuple[int, int, int]:
    """What waits (requests, also of replays), held deliveries with changed columns, live incidents: one query."""
    from django.db.models import QuerySet, Value

    from forecasting.models import PromotionRequest, ReplayDecision, ReplayDecisionState, RequestState
    from integrations.models import DriftItem, Incident
    from integrations.models.drift import DriftState
    from integrations.models.incident import LIVE_INCIDENTS

    def of_kind(kind: str, rows: QuerySet[Any]) -> QuerySet[Any]:
        named: QuerySet[Any] = rows.order_by().annotate(waits_as=Value(kind)).values_list("waits_as")
        return named

    requests = of_kind("request", PromotionRequest.objects.filter(state=RequestState.PENDING))
    replayed = of_kind("request", ReplayDecision.objects.filter(state=ReplayDecisionState.PENDING))
    drift = of_kind("drift", DriftItem.objects.filter(state=DriftState.OPEN))
    incidents = of_kind("incident", Incident.objects.filter(state__in=LIVE_INCIDENTS))
    found = Counter(kind for (kind,) in requests.union(replayed, drift, incidents, all=True))
    return found["request"], found["drift"], found["incident"]


def tenant_navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """A tenant's sidebar; Approvals, Incidents and Changed columns carry the number of what waits."""
    waiting, changed, wrong = _waiting_counts()
    badge = {"badge": str(waiting), "badge_variant": "warning"} if waiting else {}
    held = {"badge": str(changed), "badge_variant": "warning"} if changed else {}
    live = {"badge": str(wrong), "badge_variant": "danger"} if wrong else {}
    return [
        _group(
            "",
            _item("Overview", "monitoring", "admin:index"),
            _item("Approvals", "how_to_vote", "admin:forecasting_promotionrequest_changelist", **badge),
            _item("Incidents", "emergency_home", "admin:integrations_incident_changelist", **live),
        ),
        _group(
            "Forecasts",
            _item("Series", "stacked_line_chart", "admin:forecasting_series_changelist"),
            _item("Totals", "functions", "admin:forecasting_forecastnodepath_changelist"),
            _item("Forecast sets", "timeline", "admin:forecasting_forecastset_changelist"),
            _item("Accuracy", "target", "admin:forecasting_accuracyrecord_changelist"),
        ),
        _group(
            "Models",
            _item("Chains", "linked_services", "admin:forecasting_chain_changelist"),
            _item("Versions", "model_training", "admin:forecasting_modelversion_changelist"),
            _item("Strategy", "balance", "admin:forecasting_strategycycle_changelist"),
            _item("In shadow", "visibility_off", "admin:forecasting_shadowstanding_changelist"),
            _item(
                "Champions",
                "trophy",
                "admin:forecasting_championassignment_changelist",
                active=lambda request: _under(request, "championassignment/") and not _under(request, "/served/"),
            ),
            _item("What served on", "event", "admin:forecasting_championassignment_served"),
            _item("Drills", "fire_extinguisher", "admin:forecasting_rollbackdrill_changelist"),
            _item("Replays", "history", "admin:forecasting_replay_changelist"),
            _item("Judgements", "rule", "admin:forecasting_gatereport_changelist"),
            _item("Decision log", "history_edu", "admin:forecasting_decision_changelist"),
            _item("Readiness", "stairs", "admin:forecasting_gatepolicy_readiness"),
            _item(
                "Gate policy",
                "tune",
                "admin:forecasting_gatepolicy_changelist",
                active=lambda request: _under(request, "gatepolicy/") and not _under(request, "/readiness/"),
            ),
            _item("Holdout openings", "lock_open", "admin:forecasting_holdoutaccess_changelist"),
        ),
        _group(
            "Data",
            _item(
                "Bring in data",
                "upload_file",
                "admin:integrations_onboardingdraft_changelist",
                permission=_may("integrations.change_source"),
            ),
            _item("Sources", "database", "admin:integrations_source_changelist"),
            _item("Contracts", "contract", "admin:integrations_contract_changelist"),
            _item("Deliveries", "local_shipping", "admin:integrations_delivery_changelist"),
            _item("Batches", "inventory_2", "admin:integrations_ingestbatch_changelist"),
            _item("Rejected rows", "rule", "admin:integrations_rejectedrow_changelist"),
            _item("Changed columns", "difference", "admin:integrations_driftitem_changelist", **held),
            _item("SFTP connections", "cloud_sync", "admin:integrations_sftpconnection_changelist"),
            _item("API tokens", "key", "admin:integrations_apitoken_changelist"),
            _item(
                "Webhooks",
                "webhook",
                "admin:integrations_webhookendpoint_changelist",
                permission=_may("integrations.change_webhookendpoint"),
            ),
        ),
        _group(
            "Ledger",
            _item("Runs", "progress_activity", "admin:ledger_run_changelist"),
            _item("Audit events", "receipt_long", "admin:ledger_auditevent_changelist"),
            _listed("People", "group", "auth", "user"),
        ),
    ]


def tenant_name(request: HttpRequest) -> str:
    """What stands under the product's name: whose site this is."""
    return str(getattr(getattr(request, "tenant", None), "name", "Tenant"))


def _under(request: HttpRequest, part: str) -> bool:
    """Whether the page's address holds that part: an item whose address begins another's would light up with it."""
    return part in request.path


def _may(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: bool(request.user.has_perm(permission))


PLATFORM = _look(
    "Platform",
    DASHBOARD_CALLBACK="tenants.admin.fleet.dashboard",
    SIDEBAR={"show_search": False, "show_all_applications": False, "navigation": platform_navigation},
)
TENANT = _look(
    tenant_name,
    DASHBOARD_CALLBACK="forecasting.admin.overview.dashboard",
    SIDEBAR={"show_search": False, "show_all_applications": False, "navigation": tenant_navigation},
)
