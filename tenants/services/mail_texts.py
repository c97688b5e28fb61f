"""What each mail says, made when it is sent from what holds then.

The confirmation goes to an address that a stranger may have typed in, so nothing that was typed in stands in it but the
wanted address (letters, digits, hyphens): the form is no way to send somebody a text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django_tenants.utils import schema_context

from ledger.templatetags.forecourt import moment
from tenants.models import (
    ApplicationState,
    Domain,
    Invitation,
    MailKind,
    OutgoingMail,
    Tenant,
    TenantApplication,
)
from tenants.services.links import make_token, site_url
from tenants.services.provisioning import host_of

CONFIRM, INVITE = "confirm", "invite"


@dataclass(frozen=True)
class Written:
    """Subject and text of a mail."""

    subject: str
    text: str


Writer = Callable[[OutgoingMail, Tenant], Written | None]
_WRITERS: dict[str, Writer] = {}


def register_writer(kind: MailKind, writer: Writer) -> None:
    """Let a higher app write the mails of this kind; ``writer`` is called in the schema of the mail's tenant."""
    _WRITERS[kind] = writer


def write(mail: OutgoingMail) -> Written | None:
    """The mail's text, or ``None`` where what it is about is over and nobody needs it any more."""
    if mail.kind in _WRITERS:
        return _of_tenant(mail, _WRITERS[mail.kind])
    return {MailKind.CONFIRM: _confirm, MailKind.REJECTED: _rejected, MailKind.INVITATION: _invitation}[
        MailKind(mail.kind)
    ](mail)


def _of_tenant(mail: OutgoingMail, writer: Writer) -> Written | None:
    tenant = Tenant.objects.filter(schema_name=mail.schema_name).first()
    if tenant is None or not tenant.is_serving:
        return None
    with schema_context(tenant.schema_name):
        return writer(mail, tenant)


def tenant_url(schema_name: str, path: str) -> str:
    """Address of a page on the tenant's own host."""
    primary = Domain.objects.filter(tenant__schema_name=schema_name, is_primary=True)
    return site_url(primary.values_list("domain", flat=True).first() or host_of(schema_name), path)


def confirm_url(application: TenantApplication) -> str:
    """Address of the page that confirms an application's e-mail."""
    token = make_token(CONFIRM, "public", application.pk, application.nonce)
    return site_url(settings.PLATFORM_HOST, reverse("confirm", urlconf="config.urls_platform", args=[token]))


def invitation_url(invitation: Invitation) -> str:
    """Address of the page, on the tenant's own host, that sets the password."""
    token = make_token(INVITE, invitation.schema_name, invitation.pk, invitation.nonce)
    return tenant_url(invitation.schema_name, reverse("invitation", urlconf="config.urls_tenant", args=[token]))


def _confirm(mail: OutgoingMail) -> Written | None:
    application = TenantApplication.objects.filter(pk=mail.reference, state=ApplicationState.SUBMITTED).first()
    if application is None or application.link_expires_at <= timezone.now():
        return None
    return Written(
        "Confirm your e-mail address for Forecourt",
        "Hello,\n\n"
        f"somebody, most likely you, applied for the address {host_of(application.schema_name)}\n"
        "at Forecourt with this e-mail address. To go on, open this link and press the button there:\n\n"
        f"{confirm_url(application)}\n\n"
        f"The link works once, until {moment(application.link_expires_at)} UTC.\n\n"
        "If it was not you, do nothing: the application expires by itself and its data are deleted.\n",
    )


def _rejected(mail: OutgoingMail) -> Written | None:
    application = TenantApplication.objects.filter(pk=mail.reference, state=ApplicationState.REJECTED).first()
    if application is None:
        return None
    return Written(
        "Your application at Forecourt",
        "Hello,\n\n"
        f"your application for the address {host_of(application.schema_name)} at Forecourt was not accepted.\n"
        "The operator's reason:\n\n"
        f"{application.reason}\n\n"
        "You can apply again at any time. The data of this application will be deleted.\n",
    )


def _invitation(mail: OutgoingMail) -> Written | None:
    invitation = Invitation.objects.filter(pk=mail.reference).first()
    tenant = Tenant.objects.filter(schema_name=invitation.schema_name).first() if invitation else None
    if invitation is None or tenant is None or not invitation.is_open or not tenant.is_serving:
        return None
    name = " ".join(tenant.name.split())  # a line break in a subject would stop the mail
    return Written(
        f"Your access to {name} at Forecourt",
        "Hello,\n\n"
        f"you are invited to {name} at Forecourt. Open this link to choose a password:\n\n"
        f"{invitation_url(invitation)}\n\n"
        f"The link works once, until {moment(invitation.expires_at)} UTC. Afterwards you sign in at\n"
        f"{invitation_url(invitation).split('/invitation/')[0]}/admin/ with the name {invitation.username}\n\n"
        "Did you not expect this mail? Then do nothing: without the link nobody can enter in your name.\n",
    )
