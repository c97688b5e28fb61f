"""A simulated incident, asked for by the platform's staff."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.models import Run
from ledger.services import runs
from tenants.errors import SimulationNotOffered
from tenants.selectors import get_tenant
from tenants.services.operators import require_operator
from tenants.simulations import simulations


def start_simulation(*, scenario: str, schema_name: str, actor: AbstractBaseUser | None) -> Run:
    """Queue the simulation of an incident on a demo tenant; returns its run, in the public schema.

    Raises ``PlatformOperatorRequired``, ``UnknownTenant``, ``SimulationNotOffered``, ``RunAlreadyLive``.
    """
    require_operator(actor, "tenants.change_tenant")
    tenant = get_tenant(schema_name)
    offered = simulations()
    if offered is None or scenario not in offered.scenarios:
        raise SimulationNotOffered(f"There is no scenario {scenario!r}. Choose one of the list.")
    if not offered.is_demo(schema_name):
        raise SimulationNotOffered(
            f"{tenant.name} is no demo tenant. An incident is really caused, so the page offers it for the demo's only."
        )
    with schema_context(get_public_schema_name()):
        return runs.enqueue(
            kind=offered.kind,
            inputs={"scenario": scenario, "schema": schema_name},
            scope=schema_name,
            requested_by=actor,
        )
