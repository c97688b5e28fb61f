"""The job that makes a tenant, in one transaction, whatever is killed when: of an approved application, with its first
invitation, or as an operator typed it in."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone
from django_tenants.utils import schema_context

from ledger.context import RunContext
from ledger.errors import TransitionRefused
from ledger.models import Run, RunState
from ledger.services.audit import record
from ledger.services.runs import enqueue
from tenants.errors import AddressRefused
from tenants.models import OPEN_STATES, ApplicationState, SchemaState, Tenant, TenantApplication, TenantStatus
from tenants.roles import Role
from tenants.services.applications import PROVISION, move
from tenants.services.invitations import create_invitation
from tenants.services.operators import require_operator
from tenants.services.provisioning import create_tenant, host_of, require_makeable

_MAKING = "Making the schema with every table, the host and the roles."


def set_up(*, application_id: int, context: RunContext) -> dict[str, Any]:
    """Make the tenant that an application asks for, and invite its first tenant admin; at least once means once.

    All is in one transaction behind the run's fence: an attempt that dies leaves nothing, one that was called lost
    cannot commit, and one that comes after a finished one finds the application provisioned. Raises ``TenantRefused``
    where the address cannot be had any more.
    """
    context.progress(0, 3, _MAKING)
    with transaction.atomic():
        context.fence()
        application = TenantApplication.objects.select_for_update().get(pk=application_id)
        if application.tenant is not None:
            return _outputs(application.tenant)
        if application.state == ApplicationState.FAILED:  # the failed run was resumed from the list of runs
            move(application, ApplicationState.APPROVED, error="", run_id=context.run.pk)
        if application.state != ApplicationState.APPROVED:
            raise TransitionRefused(str(application), application.state, ApplicationState.PROVISIONED)
        tenant = create_tenant(
            schema_name=application.schema_name,
            name=application.business_name,
            tier=application.tier,
            status=TenantStatus.TRIAL,
            time_zone=application.time_zone,
            currency=application.currency,
            actor=context.run.requested_by,
        )
        with schema_context(tenant.schema_name):
            create_invitation(
                email=application.email,
                full_name=application.contact_name,
                roles=[Role.TENANT_ADMIN],
                invited_by=application.decided_by_name,
            )
        move(application, ApplicationState.PROVISIONED, tenant=tenant, ended_at=timezone.now(), error="")
        record(event="application.provisioned", subject=application, data=_outputs(tenant))
    context.progress(3, 3, f"{tenant.name} is ready at {host_of(tenant.schema_name)}; the invitation is on its way.")
    return _outputs(tenant)


@transaction.atomic
def ask(
    *,
    schema_name: str,
    name: str,
    tier: str,
    status: str,
    time_zone: str,
    currency: str,
    actor: AbstractBaseUser | None,
) -> Run:
    """Have a tenant made by a job, as an operator typed it in; everything that can be refused is refused here.

    Raises ``PlatformOperatorRequired``, ``TenantRefused``, ``AddressRefused`` where an open application asks for the
    address, ``RunAlreadyLive`` where it is being made.
    """
    require_operator(actor, "tenants.add_tenant")
    fields = {
        "schema_name": schema_name,
        "name": name,
        "tier": tier,
        "status": status,
        "time_zone": time_zone,
        "currency": currency,
    }
    require_makeable(**fields)
    if TenantApplication.objects.filter(schema_name=schema_name, state__in=OPEN_STATES).exists():
        raise AddressRefused("An application asks for this address. Decide on it first, or choose another one.")
    return enqueue(kind=PROVISION, inputs={"tenant": fields}, scope=schema_name, requested_by=actor)


def make(*, fields: dict[str, str], context: RunContext) -> dict[str, Any]:
    """Make the tenant that ``ask`` was asked for; at least once means once. Raises ``TenantRefused``."""
    context.progress(0, 3, _MAKING)
    with transaction.atomic():
        context.fence()
        run = context.run
        # A former attempt of this run may have committed before it was lost.
        tenant = Tenant.objects.filter(schema_name=fields["schema_name"], created_at__gte=run.started_at).first()
        if tenant is None or run.attempt == 1:
            tenant = create_tenant(**fields, actor=run.requested_by)
    context.progress(3, 3, f"{tenant.name} is ready at {host_of(tenant.schema_name)}.")
    return _outputs(tenant)


def note_end(run: Run) -> None:
    """Where a run ended without a tenant, say so on the application, so that an operator can try again."""
    if run.state not in (RunState.FAILED, RunState.CANCELLED):
        return
    application = (
        TenantApplication.objects.select_for_update()
        .filter(pk=run.inputs.get("application"), state=ApplicationState.APPROVED, run_id=run.pk)
        .first()
    )
    if application is not None:
        move(application, ApplicationState.FAILED, error=run.error or "The run was cancelled.")
        record(event="application.failed", subject=application, data={"run": run.pk, "error": run.error[:500]})


def _outputs(tenant: Tenant) -> dict[str, Any]:
    state = SchemaState.objects.filter(schema_name=tenant.schema_name).first()
    made = {"made": state.made, **({"made_reason": state.made_reason} if state.made_reason else {})} if state else {}
    return {"tenant": tenant.schema_name, "host": host_of(tenant.schema_name), **made}
