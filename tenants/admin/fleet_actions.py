"""What can be done with chosen tenants on the fleet page: retrain, suspend, simulate an incident. By POST only."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django_tenants.utils import get_public_schema_name

from ledger.errors import DomainError
from tenants.models import Tenant, TenantStatus
from tenants.services.dispatching import dispatch
from tenants.services.provisioning import change_status
from tenants.services.simulating import start_simulation
from tenants.simulations import simulations

RETRAIN = "forecasting.retrain"
_REASON = "Asked for on the fleet page"


def fleet_act(request: HttpRequest) -> HttpResponseBase:
    """Do what was chosen with the tenants that were chosen, and say what came of it."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not request.user.has_perm("tenants.change_tenant"):
        raise PermissionDenied
    chosen = request.POST.getlist("tenant")
    tenants = list(
        Tenant.objects.exclude(schema_name=get_public_schema_name()).filter(schema_name__in=chosen).order_by("name")
    )
    if not tenants:
        messages.error(request, "Choose the tenants first, by the boxes in front of their names.")
        return HttpResponseRedirect(reverse("admin:index"))
    acts = {"retrain": _retrain, "suspend": _suspend, "simulate": _simulate}
    act = acts.get(request.POST.get("act", ""))
    if act is None:
        messages.error(request, "Choose what to do with them.")
        return HttpResponseRedirect(reverse("admin:index"))
    try:
        return HttpResponseRedirect(act(request, tenants))
    except DomainError as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(reverse("admin:index"))


def _retrain(request: HttpRequest, tenants: list[Tenant]) -> str:
    actor: Any = request.user
    reason = request.POST.get("reason", "").strip() or _REASON
    made = dispatch(
        kind=RETRAIN,
        inputs={"mode": "search", "chain": True, "reason": reason[:240]},
        schemas=[tenant.schema_name for tenant in tenants],
        actor=actor,
    )
    messages.success(request, f"A retraining was dispatched to {made.entries.count()} of {len(tenants)} tenants.")
    return reverse("admin:tenants_dispatch_change", args=[made.pk])


def _suspend(request: HttpRequest, tenants: list[Tenant]) -> str:
    actor: Any = request.user
    reason = request.POST.get("reason", "").strip()
    if not reason:
        messages.error(request, "Say why: the reason is shown at each tenant. Nobody was suspended.")
        return reverse("admin:index")
    done = []
    for tenant in tenants:
        try:
            change_status(schema_name=tenant.schema_name, status=TenantStatus.SUSPENDED, reason=reason, actor=actor)
        except DomainError as error:  # one that cannot be is no reason to spare the others
            messages.error(request, f"{tenant.name}: {error}")
        else:
            done.append(tenant.name)
    if done:
        messages.success(request, f"Suspended: {', '.join(done)}.")
    return reverse("admin:index")


def _simulate(request: HttpRequest, tenants: list[Tenant]) -> str:
    actor: Any = request.user
    if len(tenants) != 1:
        messages.error(request, "An incident is simulated on one tenant at a time. Choose one.")
        return reverse("admin:index")
    scenario = request.POST.get("scenario", "")
    run = start_simulation(scenario=scenario, schema_name=tenants[0].schema_name, actor=actor)
    messages.success(request, f"It is simulated on {tenants[0].name}; the run shows each step and keeps the evidence.")
    return reverse("admin:ledger_run_change", args=[run.pk])


def offered_actions(request: HttpRequest) -> dict[str, Any]:
    """What the page shows of this: whether the person may act, and the scenarios."""
    offered = simulations()
    return {
        "may_act": request.user.has_perm("tenants.change_tenant"),
        "scenarios": list(offered.scenarios.items()) if offered is not None else [],
    }
