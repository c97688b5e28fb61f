"""Mails and invitations, for the platform's operators: what went out, what is stuck, send it again, revoke."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.safestring import SafeString

from ledger.admin.base import ReadOnlyAdmin, View, attempt
from ledger.models import AuditEvent
from ledger.sites import platform_site
from ledger.templatetags.forecourt import badge, moment, words
from tenants.admin.inviting import invitation_badge, revoke_page
from tenants.models import Invitation, InvitationState, MailKind, MailState, OutgoingMail
from tenants.services import invitations, mails

_MAIL_TONES = {MailState.WAITING: "info", MailState.SENT: "good", MailState.FAILED: "bad"}


@admin.register(OutgoingMail, site=platform_site)
class MailAdmin(ReadOnlyAdmin):
    """Every mail that is or was owed."""

    list_display = ["about", "recipient", "state_badge", "attempts", "created", "sent", "problem"]
    list_filter = ["state", "kind"]
    search_fields = ["recipient", "error"]
    search_help_text = "Recipient or error"
    date_hierarchy = "created_at"
    page_template = "forecourt/mail.html"
    empty_hint = "Confirmations and invitations stand here, with what became of them."

    @display(description="Mail", ordering="kind")
    def about(self, mail: OutgoingMail) -> str:
        return mail.get_kind_display()

    @display(description="State", ordering="state")
    def state_badge(self, mail: OutgoingMail) -> SafeString:
        return mail_badge(mail)

    @display(description="Created", ordering="created_at")
    def created(self, mail: OutgoingMail) -> str:
        return moment(mail.created_at)

    @display(description="Sent", ordering="sent_at")
    def sent(self, mail: OutgoingMail) -> str:
        return moment(mail.sent_at)

    @display(description="Problem")
    def problem(self, mail: OutgoingMail) -> str:
        return mail.error[:80] or "–"

    def own_views(self) -> list[tuple[str, str, View]]:
        return [("<path:object_id>/again/", "again", self.again_view)]

    def page_context(self, request: HttpRequest, obj: OutgoingMail) -> dict[str, Any]:
        return {
            "mail": obj,
            "state_badge": mail_badge(obj),
            "is_about_application": obj.kind in (MailKind.CONFIRM, MailKind.REJECTED),
            "can_send": request.user.has_perm("tenants.change_outgoingmail") and obj.state != MailState.DROPPED,
            "events": AuditEvent.objects.filter(subject_type=obj._meta.label, subject_id=str(obj.pk))[:10],
        }

    def again_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Send it again (POST)."""
        mail: OutgoingMail = self.object_or_404(request, object_id)
        if not request.user.has_perm("tenants.change_outgoingmail"):
            raise PermissionDenied
        if request.method == "POST":
            attempt(
                request,
                lambda: mails.send_again(mail_id=mail.pk, actor=request.user),  # type: ignore[arg-type]  # logged in
                done="It is sent by the worker within seconds.",
            )
        return self.to_object(mail)


@admin.register(Invitation, site=platform_site)
class InvitationAdmin(ReadOnlyAdmin):
    """Every invitation to a tenant."""

    list_display = ["username", "schema_name", "role_names", "state_badge", "expires", "invited_by_name"]
    list_filter = ["state"]
    search_fields = ["schema_name", "username", "email"]
    search_help_text = "Tenant, name or e-mail"
    date_hierarchy = "created_at"
    page_template = "forecourt/invitation.html"
    empty_hint = "Approving an application invites its first tenant admin; tenant admins invite further people."

    @display(description="Roles")
    def role_names(self, invitation: Invitation) -> str:
        return ", ".join(words(role) for role in invitation.roles)

    @display(description="State", ordering="state")
    def state_badge(self, invitation: Invitation) -> SafeString:
        return invitation_badge(invitation)

    @display(description="Link works until", ordering="expires_at")
    def expires(self, invitation: Invitation) -> str:
        return moment(invitation.expires_at)

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("<path:object_id>/again/", "again", self.again_view),
            ("<path:object_id>/revoke/", "revoke", self.revoke_view),
        ]

    def page_context(self, request: HttpRequest, obj: Invitation) -> dict[str, Any]:
        open_here = obj.state == InvitationState.OPEN and request.user.has_perm(invitations.OPERATE)
        sent: QuerySet[OutgoingMail] = OutgoingMail.objects.filter(kind=MailKind.INVITATION, reference=obj.pk)
        return {
            "invitation": obj,
            "state_badge": invitation_badge(obj),
            "roles": self.role_names(obj),
            "can_change": open_here,
            "mails": sent,
            "events": AuditEvent.objects.filter(subject_type=obj._meta.label, subject_id=str(obj.pk))[:10],
        }

    def again_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Mail a fresh link (POST)."""
        invitation = self._operable(request, object_id)
        if request.method == "POST":
            attempt(
                request,
                lambda: invitations.send_again(invitation_id=invitation.pk, actor=request.user),  # type: ignore[arg-type]  # logged in
                done="A fresh link is on its way; the former one does not work any more.",
            )
        return self.to_object(invitation)

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """End it: GET asks for the reason, POST does it."""
        invitation = self._operable(request, object_id)
        return revoke_page(self, request, invitation, back=self.url("change", invitation.pk))

    def _operable(self, request: HttpRequest, object_id: str) -> Invitation:
        invitation: Invitation = self.object_or_404(request, object_id)
        if not request.user.has_perm(invitations.OPERATE):
            raise PermissionDenied
        return invitation


def mail_badge(mail: OutgoingMail) -> SafeString:
    """A mail's state; one that waits after a failed attempt says so."""
    if mail.state == MailState.WAITING and mail.attempts:
        return badge(mail.state, "Failed, tried again soon", "warn")
    return badge(mail.state, mail.get_state_display(), _MAIL_TONES.get(MailState(mail.state), "plain"))
