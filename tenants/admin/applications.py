"""Applications, for the platform's operators: look, correct, approve, reject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.utils.safestring import SafeString

from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import ReasonForm
from ledger.admin.runs import progress_of
from ledger.errors import DomainError
from ledger.jobs import job_title
from ledger.models import AuditEvent, Run
from ledger.sites import platform_site
from ledger.templatetags.forecourt import badge, moment
from tenants.admin.tenant import ProfileForm
from tenants.countries import COUNTRIES
from tenants.models import (
    APPLICATION_TRANSITIONS,
    ApplicationState,
    Invitation,
    MailKind,
    OutgoingMail,
    TenantApplication,
)
from tenants.services import applications
from tenants.services.addresses import label_of
from tenants.services.provisioning import host_of

_TONES = {
    ApplicationState.SUBMITTED: "plain",
    ApplicationState.CONFIRMED: "warn",
    ApplicationState.APPROVED: "info",
    ApplicationState.PROVISIONED: "good",
    ApplicationState.FAILED: "bad",
}


class CorrectionForm(ProfileForm):
    """What an operator may change of an application before it is approved."""

    address = forms.CharField(
        max_length=63, help_text="Lower-case letters, digits and hyphens. It names the host and the schema."
    )
    field_order = ["name", "address", "tier", "time_zone", "currency"]


@admin.register(TenantApplication, site=platform_site)
class ApplicationAdmin(ReadOnlyAdmin):
    """Every application, the newest first."""

    list_display = ["business_name", "host", "tier", "state_badge", "confirmed", "submitted", "decided_by_name"]
    list_filter = ["state", "tier", "country"]
    search_fields = ["business_name", "schema_name", "email", "contact_name"]
    search_help_text = "Business, address, name or e-mail"
    date_hierarchy = "submitted_at"
    page_template = "forecourt/application.html"
    empty_hint = "Businesses apply at /apply/ on this host; their applications stand here."

    @display(description="Address", ordering="schema_name")
    def host(self, application: TenantApplication) -> str:
        return host_of(application.schema_name)

    @display(description="State", ordering="state")
    def state_badge(self, application: TenantApplication) -> SafeString:
        return state_badge(application)

    @display(description="E-mail", boolean=True)
    def confirmed(self, application: TenantApplication) -> bool:
        return application.confirmed_at is not None

    @display(description="Submitted", ordering="submitted_at")
    def submitted(self, application: TenantApplication) -> str:
        return moment(application.submitted_at)

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("<path:object_id>/correct/", "correct", self.correct_view),
            ("<path:object_id>/approve/", "approve", self.approve_view),
            ("<path:object_id>/reject/", "reject", self.reject_view),
        ]

    def page_context(self, request: HttpRequest, obj: TenantApplication) -> dict[str, Any]:
        moves = APPLICATION_TRANSITIONS[obj.state]
        invitation = (
            Invitation.objects.filter(schema_name=obj.schema_name).order_by("pk").first() if obj.tenant else None
        )
        sent = OutgoingMail.objects.filter(kind__in=[MailKind.CONFIRM, MailKind.REJECTED], reference=obj.pk)
        may_decide = request.user.has_perm(applications.DECIDE)
        run = Run.objects.filter(pk=obj.run_id).first() if obj.run_id else None
        watches = run is not None and run.is_live and request.user.has_perm("ledger.view_run")
        return {
            "application": obj,
            "state_badge": state_badge(obj),
            "host": host_of(obj.schema_name),
            "country": COUNTRIES[obj.country].name if obj.country in COUNTRIES else "",
            "run": run,
            "run_title": run and job_title(run.kind),
            "progress": progress_of(run) if run is not None and watches else None,
            "mails": list(sent) + _mails_of(invitation),
            "invitation": invitation,
            "can_approve": may_decide
            and ApplicationState.APPROVED in moves
            and request.user.has_perm("tenants.add_tenant"),
            "can_reject": may_decide and ApplicationState.REJECTED in moves,
            "can_correct": may_decide and obj.state in applications.CORRECTABLE,
            "events": AuditEvent.objects.filter(subject_type=obj._meta.label, subject_id=str(obj.pk))[:10],
        }

    def correct_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Change address, name, tier, time zone or currency: GET shows the form, POST does it."""
        application = self._decidable(request, object_id)
        initial = {
            "name": application.business_name,
            "address": label_of(application.schema_name),
            "tier": application.tier,
            "time_zone": application.time_zone,
            "currency": application.currency,
        }
        form = CorrectionForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            wanted = form.cleaned_data
            try:
                applications.correct(
                    application_id=application.pk,
                    business_name=wanted["name"],
                    address=wanted["address"],
                    tier=wanted["tier"],
                    time_zone=wanted["time_zone"],
                    currency=wanted["currency"],
                    actor=request.user,  # type: ignore[arg-type]  # logged in here
                )
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Saved.")
                return self.to_object(application)
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"Correct the application of {application.business_name}",
            obj=application,
            form=form,
            lead="What is set up when you approve. The applicant sees the address in the invitation.",
            submit="Save",
            back=self.url("change", application.pk),
        )

    def approve_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Approve: GET says what happens and asks for the reason, POST does it."""
        application = self._decidable(request, object_id)
        again = application.state == ApplicationState.FAILED
        return self._decide(
            request,
            application,
            act=applications.approve,
            title=f"{'Try again for' if again else 'Approve'} {application.business_name}",
            lead=f"A job makes the tenant at {host_of(application.schema_name)} and invites {application.email} to it.",
            lines=[
                "The tenant gets a schema, a host, four roles and an audit chain. Its status is “trial”.",
                f"{application.contact_name or 'The contact'} becomes its first tenant admin after choosing a "
                "password by the mailed link. The address cannot change later; a tenant can be suspended, not deleted.",
            ],
            submit="Try again" if again else "Approve and set up",
            done="Approved. The tenant is being set up; this page shows how far it is.",
        )

    def reject_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Reject: GET asks for the reason, POST does it."""
        application = self._decidable(request, object_id)
        told = application.confirmed_at is not None
        return self._decide(
            request,
            application,
            act=applications.reject,
            title=f"Reject {application.business_name}",
            lead="The application ends and its address is free again.",
            lines=[
                "The applicant gets a mail with your reason."
                if told
                else "The e-mail address is not confirmed, so nobody gets a mail."
            ],
            submit="Reject",
            danger=True,
            help_text="The applicant reads it in the mail." if told else None,
            done="Rejected.",
        )

    def _decide(
        self,
        request: HttpRequest,
        application: TenantApplication,
        *,
        act: Callable[..., TenantApplication],
        done: str,
        help_text: str | None = None,
        **context: Any,
    ) -> HttpResponseBase:
        form = ReasonForm(request.POST or None, help_text=help_text)
        if request.method == "POST" and form.is_valid():
            try:
                act(application_id=application.pk, reason=form.cleaned_data["reason"], actor=request.user)
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, done)
                return self.to_object(application)
        back = self.url("change", application.pk)
        return self.render_page(request, "forecourt/form_page.html", obj=application, form=form, back=back, **context)

    def _decidable(self, request: HttpRequest, object_id: str) -> TenantApplication:
        application: TenantApplication = self.object_or_404(request, object_id)
        if not request.user.has_perm(applications.DECIDE):
            raise PermissionDenied
        return application


def state_badge(application: TenantApplication) -> SafeString:
    """Its state in words."""
    tone = _TONES.get(ApplicationState(application.state), "plain")
    return badge(application.state, application.get_state_display(), tone)


def _mails_of(invitation: Invitation | None) -> list[OutgoingMail]:
    if invitation is None:
        return []
    return list(OutgoingMail.objects.filter(kind=MailKind.INVITATION, reference=invitation.pk))
