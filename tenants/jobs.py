"""Background jobs of the public schema: setting up and deleting tenants, sending a mail, verifying its audit trail."""

from __future__ import annotations

from typing import Any

from ledger.context import RunContext
from ledger.jobs import job
from ledger.queues import Queue
from tenants.services.applications import PROVISION
from tenants.services.deletion import DELETE, delete
from tenants.services.mails import SEND, deliver
from tenants.services.platform_audit import VERIFY, verify
from tenants.services.setting_up import make, note_end, set_up
from tenants.services.templates import REFRESH, ensure_template


@job(PROVISION, title="Set up a tenant", ended=note_end, queue=Queue.SHORT)
def provision(context: RunContext) -> dict[str, Any]:
    """Make the tenant of an approved application and invite its first tenant admin, or one an operator typed in."""
    if "tenant" in context.inputs:
        return make(fields=context.inputs["tenant"], context=context)
    return set_up(application_id=context.inputs["application"], context=context)


@job(SEND, title="Send a mail", queue=Queue.SHORT)
def send_mail(context: RunContext) -> dict[str, Any]:
    """Send one mail that waits; a failed one is queued again by the worker when its pause is over."""
    return {"mail": deliver(mail_id=context.inputs["mail"])}


@job(REFRESH, title="Refresh the template of new tenants")
def refresh_template(context: RunContext) -> dict[str, Any]:
    """Bring the template to the newest migration, so that the next tenant is cloned again."""
    context.progress(0, 1, "Applying the migrations to the template")
    template = ensure_template()
    return {"migrations": template.migrations, "seconds": template.seconds}


@job(DELETE, title="Delete a tenant")
def delete_tenant(context: RunContext) -> dict[str, Any]:
    """Export a tenant, erase it, and write the certificate."""
    return delete(schema_name=context.inputs["schema_name"], reason=context.inputs["reason"], context=context)


@job(VERIFY, title="Verify the platform's audit trail", max_attempts=1, queue=Queue.SHORT)
def verify_ledger(context: RunContext) -> dict[str, Any]:
    """Recompute the platform's audit chain; the run fails where it does not add up."""
    return verify()
