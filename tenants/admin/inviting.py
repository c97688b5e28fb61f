"""Inviting people to a tenant by mail, for its tenant admins: invite, list, send again, revoke."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.utils.safestring import SafeString

from ledger.admin.base import BaseAdmin, View, attempt
from ledger.admin.forms import PlainForm, ReasonForm
from ledger.errors import DomainError
from ledger.templatetags.forecourt import badge, words
from tenants.forms import one_line
from tenants.models import Invitation, InvitationState
from tenants.roles import Role
from tenants.services import invitations

ROLES_HELP = (
    "Tenant admin: people, sources, policy. Analyst: retrain, request. Reviewer: decide. Viewer: look. "
    "Make somebody else a reviewer than who asks for decisions; the audit chain keeps who gave which role."
)


class PersonToInviteForm(PlainForm):
    """Who is invited."""

    email = forms.EmailField(label="E-mail address", max_length=150, validators=[one_line])
    full_name = forms.CharField(label="Name", max_length=120, validators=[one_line])


class InvitationForm(PersonToInviteForm):
    """Who is invited, and as what."""

    roles = forms.MultipleChoiceField(
        choices=[(role.value, words(role.value)) for role in Role],
        widget=forms.CheckboxSelectMultiple,
        help_text=ROLES_HELP,
    )


class InvitingAdmin(BaseAdmin):
    """Own views of the people's admin that have to do with invitations."""

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("invite/", "invite", self.invite_view),
            ("invitations/", "invitations", self.invitations_view),
            ("invitations/<int:number>/again/", "invite_again", self.invite_again_view),
            ("invitations/<int:number>/revoke/", "invite_revoke", self.invite_revoke_view),
        ]

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        if not self.has_add_permission(request):
            return []
        return [("Invitations", self.url("invitations")), ("Invite by e-mail", self.url("invite"))]

    def invite_view(self, request: HttpRequest) -> HttpResponseBase:
        """Invite somebody, who chooses the password: GET shows the form, POST sends the mail."""
        self._require_inviter(request)
        form = InvitationForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                invited = invitations.invite(
                    email=form.cleaned_data["email"],
                    full_name=form.cleaned_data["full_name"],
                    roles=[Role(role) for role in form.cleaned_data["roles"]],
                    actor=request.user,  # type: ignore[arg-type]  # logged in here
                )
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, f"An invitation is on its way to {invited.email}.")
                return HttpResponseRedirect(self.url("invitations"))
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title="Invite a person",
            form=form,
            lead="They get a mail with a link to choose a password. Until then the account cannot be used.",
            submit="Send the invitation",
            back=self.url("changelist"),
        )

    def invitations_view(self, request: HttpRequest) -> HttpResponseBase:
        """Who was invited by whom, and what became of it."""
        self._require_inviter(request)
        page = Paginator(invitations.of_this_tenant(), 50).get_page(request.GET.get("page"))
        rows = [
            {
                "invitation": invitation,
                "badge": invitation_badge(invitation),
                "roles": ", ".join(words(role) for role in invitation.roles),
                "can_change": invitation.state == InvitationState.OPEN,
            }
            for invitation in page
        ]
        return self.render_page(
            request,
            "forecourt/invitations.html",
            title="Invitations",
            page=page,
            rows=rows,
            invite_url=self.url("invite"),
            people_url=self.url("changelist"),
        )

    def invite_again_view(self, request: HttpRequest, number: int) -> HttpResponseBase:
        """Mail a fresh link (POST)."""
        invitation = self._own_invitation(request, number)
        if request.method == "POST":
            attempt(
                request,
                lambda: invitations.send_again(invitation_id=invitation.pk, actor=request.user),  # type: ignore[arg-type]  # logged in
                done="A fresh link is on its way; the former one does not work any more.",
            )
        return HttpResponseRedirect(self.url("invitations"))

    def invite_revoke_view(self, request: HttpRequest, number: int) -> HttpResponseBase:
        """End an invitation: GET asks for the reason, POST does it."""
        return revoke_page(self, request, self._own_invitation(request, number), back=self.url("invitations"))

    def _require_inviter(self, request: HttpRequest) -> None:
        if not self.has_add_permission(request):
            raise PermissionDenied

    def _own_invitation(self, request: HttpRequest, number: int) -> Invitation:
        self._require_inviter(request)
        invitation = invitations.of_this_tenant().filter(pk=number).first()
        if invitation is None:
            raise Http404(f"Invitation {number} does not exist here.")
        return invitation


def revoke_page(admin: BaseAdmin, request: HttpRequest, invitation: Invitation, *, back: str) -> HttpResponseBase:
    """Revoke an invitation, on either site: GET asks for the reason, POST does it and goes ``back``."""
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        reason = form.cleaned_data["reason"]
        try:
            invitations.revoke(invitation_id=invitation.pk, reason=reason, actor=request.user)  # type: ignore[arg-type]  # logged in
        except DomainError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, "Revoked: the link does not work any more.")
            return HttpResponseRedirect(back)
    return admin.render_page(
        request,
        "forecourt/form_page.html",
        title=f"Revoke the invitation of {invitation.username}",
        form=form,
        lead="Its link stops working. The account stays without a password and cannot be used, until you invite again.",
        submit="Revoke",
        danger=True,
        back=back,
    )


def invitation_badge(invitation: Invitation) -> SafeString:
    """An invitation's state; an open one past its time is expired."""
    if invitation.state == InvitationState.OPEN:
        return badge("open", "Open", "info") if invitation.is_open else badge("expired", "Expired")
    return badge(
        invitation.state, invitation.get_state_display(), "good" if invitation.state == "accepted" else "plain"
    )
