"""Tenants, for the platform's staff: make, look at, change, suspend and activate."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import PlainForm, ReasonForm
from ledger.errors import DomainError
from ledger.models import AuditEvent
from ledger.sites import platform_site
from ledger.templatetags.forecourt import ago, badge
from tenants.admin.fleet import customers
from tenants.admin.fleet_actions import fleet_act
from tenants.admin.inviting import PersonToInviteForm
from tenants.forms import one_line
from tenants.models import TENANT_TRANSITIONS, Domain, SchemaState, Tenant, TenantStatus, TenantTier
from tenants.models.tenant import SCHEMA_NAME, SERVING
from tenants.services import deletion, invitations, setting_up
from tenants.services.profile import change_profile
from tenants.services.provisioning import change_status


class ProfileForm(PlainForm):
    """What a tenant is called and how its pages read."""

    name = forms.CharField(max_length=120, validators=[one_line], help_text="As people call it.")
    tier = forms.ChoiceField(choices=TenantTier.choices)
    time_zone = forms.ChoiceField(
        choices=[(name, name) for name in sorted(zoneinfo.available_timezones())],
        initial="UTC",
        help_text="Dates and times on its pages are shown in it.",
    )
    currency = forms.RegexField(
        r"\A[A-Z]{3}\Z",
        max_length=3,
        initial="USD",
        help_text="ISO 4217 code, such as EUR.",
        error_messages={"invalid": "Use an ISO 4217 code of three capital letters, such as EUR."},
    )


class NewTenantForm(ProfileForm):
    """A tenant to be made."""

    schema_name = forms.CharField(
        label="Schema name",
        max_length=63,
        validators=[SCHEMA_NAME],
        help_text="Lower-case letters, digits and underscores. It names the schema and the host, and cannot change.",
    )
    status = forms.ChoiceField(
        choices=[choice for choice in TenantStatus.choices if choice[0] in SERVING],
        initial=TenantStatus.TRIAL,
    )
    field_order = ["name", "schema_name", "tier", "status", "time_zone", "currency"]


class EraseForm(PlainForm):
    """The schema's name, typed, and why."""

    confirmation = forms.CharField(
        label="Schema name", max_length=63, help_text="Type the name of its schema, to be sure that it is this one."
    )
    reason = forms.CharField(
        max_length=2000, widget=forms.Textarea(attrs={"rows": 3}), help_text="It stands in the certificate."
    )


@admin.register(Tenant, site=platform_site)
class TenantAdmin(ReadOnlyAdmin):
    """Every customer."""

    list_display = ["name", "schema_name", "tier", "status_badge", "readiness_badge", "champion_name", "last_forecast"]
    list_filter = ["tier", "status"]
    search_fields = ["name", "schema_name"]
    search_help_text = "Name or schema"
    page_template = "forecourt/tenant.html"
    empty_hint = "Add the first tenant: it gets a schema, a host and four roles of its own."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        return customers()

    @display(description="Status", ordering="status")
    def status_badge(self, tenant: Tenant) -> SafeString:
        return badge(tenant.status)

    @display(description="Readiness")
    def readiness_badge(self, tenant: Any) -> SafeString:
        return badge(tenant.readiness or "cold_start")

    @display(description="Champion")
    def champion_name(self, tenant: Any) -> str:
        return tenant.champion or "–"

    @display(description="Last forecast")
    def last_forecast(self, tenant: Any) -> str:
        return ago(tenant.last_forecast_at)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("tenants.add_tenant"))

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("fleet/", "fleet", fleet_act),
            ("<path:object_id>/status/", "status", self.status_view),
            ("<path:object_id>/profile/", "profile", self.profile_view),
            ("<path:object_id>/invite/", "invite", self.invite_view),
            ("<path:object_id>/erase/", "erase", self.erase_view),
        ]

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return {
            "tenant_row": obj,
            "domains": Domain.objects.filter(tenant=obj).order_by("-is_primary", "domain"),
            "moves": [(TenantStatus(state), _VERBS[state]) for state in sorted(TENANT_TRANSITIONS[obj.status])],
            "may_invite": request.user.has_perm("tenants.add_invitation"),
            "may_change": request.user.has_perm("tenants.change_tenant"),
            "may_erase": request.user.has_perm("tenants.delete_tenant") and obj.status != TenantStatus.DELETING,
            "schema_state": SchemaState.objects.filter(schema_name=obj.schema_name).first(),
            "events": AuditEvent.objects.filter(subject_type="tenants.Tenant", subject_id=str(obj.pk))[:10],
            "port": f":{request.get_port()}" if request.get_port() not in ("80", "443") else "",
        }

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Make a tenant: GET shows the form, POST has a job make it, whose page shows how far it is."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewTenantForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                run = setting_up.ask(**form.cleaned_data, actor=request.user)  # type: ignore[arg-type]  # logged in here
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, f"{form.cleaned_data['name']} is being made.")
                if request.user.has_perm("ledger.view_run"):
                    return HttpResponseRedirect(reverse("admin:ledger_run_change", args=[run.pk]))
                return HttpResponseRedirect(self.url("changelist"))
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title="Add a tenant",
            form=form,
            lead="A tenant gets a schema of its own, a host, four roles and an audit chain.",
            lines=[
                "A job makes it within some seconds; its page shows how far it is. It is all or nothing: if it fails, "
                "nothing is left behind, and the run keeps what you typed in and can be resumed."
            ],
            submit="Make the tenant",
            back=self.url("changelist"),
        )

    def status_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Suspend or activate: GET asks for the reason, POST does it."""
        tenant = self._changeable(request, object_id)
        status = request.GET.get("to", "")
        if status not in TENANT_TRANSITIONS[tenant.status]:
            messages.error(
                request, f"{tenant.name} is {tenant.get_status_display().lower()}; choose one of the offered changes."
            )
            return self.to_object(tenant)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                change_status(
                    schema_name=tenant.schema_name,
                    status=status,
                    reason=form.cleaned_data["reason"],
                    actor=request.user,  # type: ignore[arg-type]  # logged in here
                )
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, f"{tenant.name} is {status} now.")
                return self.to_object(tenant)
        suspending = status == TenantStatus.SUSPENDED
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"{_VERBS[status]} {tenant.name}",
            obj=tenant,
            form=form,
            lead="Its hosts will answer 403 with a plain page, and none of its jobs will run."
            if suspending
            else "Its hosts will answer and its jobs will run.",
            lines=["Nothing is deleted; it can be activated again at any time."] if suspending else [],
            submit=f"{_VERBS[status]} {tenant.name}",
            danger=suspending,
            back=self.url("change", tenant.pk),
        )

    def profile_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Change name, tier, time zone and currency."""
        tenant = self._changeable(request, object_id)
        initial = {field: getattr(tenant, field) for field in ("name", "tier", "time_zone", "currency")}
        form = ProfileForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            try:
                change_profile(
                    schema_name=tenant.schema_name,
                    **form.cleaned_data,
                    actor=request.user,  # type: ignore[arg-type]  # logged in here
                )
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Saved.")
                return self.to_object(tenant)
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"Change {tenant.name}",
            obj=tenant,
            form=form,
            submit="Save",
            back=self.url("change", tenant.pk),
        )

    def invite_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Invite a tenant admin where there is none: GET shows the form, POST sends the mail."""
        tenant = self.object_or_404(request, object_id)
        if not request.user.has_perm("tenants.add_invitation"):
            raise PermissionDenied
        form = PersonToInviteForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                invited = invitations.invite_admin(
                    schema_name=tenant.schema_name,
                    **form.cleaned_data,
                    actor=request.user,  # type: ignore[arg-type]  # logged in here
                )
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, f"An invitation is on its way to {invited.email}.")
                return self.to_object(tenant)
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"Invite a tenant admin to {tenant.name}",
            obj=tenant,
            form=form,
            lead="For a tenant without an active tenant admin: a new one, or one whose admins cannot sign in any more.",
            lines=["They get a mail with a link to choose a password, and let further people in themselves."],
            submit="Send the invitation",
            back=self.url("change", tenant.pk),
        )

    def erase_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Delete for good: GET says what will happen and asks for the schema's name, POST has a job do it."""
        tenant = self.object_or_404(request, object_id)
        if not request.user.has_perm("tenants.delete_tenant"):
            raise PermissionDenied
        form = EraseForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                run = deletion.ask(
                    schema_name=tenant.schema_name,
                    **form.cleaned_data,
                    actor=request.user,  # type: ignore[arg-type]  # logged in here
                )
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, f"{tenant.name} is being deleted.")
                if request.user.has_perm("ledger.view_run"):
                    return HttpResponseRedirect(reverse("admin:ledger_run_change", args=[run.pk]))
                return HttpResponseRedirect(self.url("changelist"))
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"Delete {tenant.name}",
            obj=tenant,
            form=form,
            lead=f"Everything of {tenant.schema_name} is erased: its tables, files, people, audit chain and hosts.",
            lines=[
                "From now on its hosts answer 403; queued jobs are cancelled, and running ones are asked to end.",
                "Before anything is erased it is exported into a folder on the server, from which it can be restored.",
                "A certificate keeps which tables with how many rows and how many files were erased, by whom and why.",
            ],
            submit=f"Delete {tenant.name} for good",
            danger=True,
            back=self.url("change", tenant.pk),
        )

    def _changeable(self, request: HttpRequest, object_id: str) -> Any:
        tenant = self.object_or_404(request, object_id)
        if not request.user.has_perm("tenants.change_tenant"):
            raise PermissionDenied
        return tenant


_VERBS: dict[str, str] = {
    TenantStatus.ACTIVE: "Activate",
    TenantStatus.SUSPENDED: "Suspend",
    TenantStatus.TRIAL: "Put on trial",
}
