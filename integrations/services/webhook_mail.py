"""The mail that tells a tenant's admins that a webhook was disabled."""

from __future__ import annotations

from django.urls import reverse

from integrations.models import EndpointState, WebhookEndpoint
from tenants.models import OutgoingMail, Tenant
from tenants.services.mail_texts import Written, tenant_url


def write_disabled(mail: OutgoingMail, tenant: Tenant) -> Written | None:
    """Its text, or None where the endpoint was switched on or off meanwhile."""
    endpoint = WebhookEndpoint.objects.filter(pk=mail.reference, state=EndpointState.DISABLED).first()
    if endpoint is None:
        return None
    name = " ".join(tenant.name.split())
    path = reverse("admin:integrations_webhookendpoint_change", urlconf="config.urls_tenant", args=[endpoint.pk])
    return Written(
        f"A webhook of {name} was disabled",
        "Hello,\n\n"
        f"the webhook {endpoint.name} of {name} takes nothing any more:\n\n"
        f"{endpoint.state_reason}\n\n"
        "Nothing is sent to it until a tenant admin switches it on. What it missed stands in its log, with a button\n"
        f"to send it again:\n\n{tenant_url(tenant.schema_name, path)}\n",
    )
