"""The thresholds that promotions are judged by: every version to read, a change is a new version with a reason."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.utils.safestring import SafeString
from pydantic import BaseModel

from forecasting.admin.policy_labels import help_of, label_of
from forecasting.admin.readiness import readiness_page
from forecasting.errors import PolicyInvalid
from forecasting.models import GatePolicy
from forecasting.services.policy import PolicyBody, change_policy, preview_policy
from forecasting.services.policy_sense import PolicyPreview
from forecasting.services.readiness import review_readiness
from ledger.admin.base import ReadOnlyAdmin, View, attempt
from ledger.admin.forms import ReasonForm
from ledger.errors import DomainError
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import badge, moment, words
from tenants.roles import Role, roles_of

SECTIONS = {
    "gates": "Gates",
    "business": "Orders and costs",
    "refresh": "Guard of a refresh",
    "regression": "Alarm on errors in service",
    "readiness": "Readiness",
    "shadow": "Challengers in shadow",
}


class PolicyForm(ReasonForm):
    """One field per figure of the policy, named ``section.figure``; the service checks their limits."""

    def __init__(self, *args: Any, present: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, info in PolicyBody.model_fields.items():
            annotation = info.annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                for inner, detail in annotation.model_fields.items():
                    self.fields[f"{name}.{inner}"] = _field(inner, detail.annotation, present.get(name, {}).get(inner))
            else:
                self.fields[name] = _field(name, annotation, present.get(name))
        self.order_fields([name for name in self.fields if name != "reason"])

    def groups(self) -> list[tuple[str, list[forms.BoundField]]]:
        """The fields by section, for the page."""
        groups: dict[str, list[forms.BoundField]] = {title: [] for title in ("General", *SECTIONS.values())}
        for name in self.fields:
            if name != "reason":
                groups[SECTIONS.get(name.split(".")[0], "General")].append(self[name])
        return [(title, fields) for title, fields in groups.items() if fields]

    def body(self) -> dict[str, Any]:
        """The typed figures as a policy's body."""
        body: dict[str, Any] = {}
        for name, value in self.cleaned_data.items():
            if name == "reason":
                continue
            section, _, inner = name.partition(".")
            if inner:
                body.setdefault(section, {})[inner] = value
            else:
                body[name] = value
        return body


def _field(name: str, annotation: Any, present: Any) -> forms.Field:
    label, help_text = label_of(name), help_of(name)
    if get_origin(annotation) is Literal:
        choices = [(value, words(value)) for value in get_args(annotation)]
        return forms.ChoiceField(label=label, help_text=help_text, choices=choices, initial=present)
    if annotation is int:
        return forms.IntegerField(label=label, help_text=help_text, initial=present)
    return forms.FloatField(
        label=label, help_text=help_text, initial=present, widget=forms.NumberInput(attrs={"step": "any"})
    )


@admin.register(GatePolicy, site=tenant_site)
class GatePolicyAdmin(ReadOnlyAdmin):
    """Versions of the tenant's gate policy."""

    list_display = ["label", "in_force", "made", "by", "reason"]
    search_fields = ["reason", "created_by_name"]
    search_help_text = "Reason or person"
    page_template = "forecourt/policy.html"
    empty_hint = "The default thresholds are in force; version 1 is written with the first judgement."

    @display(description="Version", ordering="version")
    def label(self, policy: GatePolicy) -> str:
        return f"v{policy.version}"

    @display(description="In force")
    def in_force(self, policy: GatePolicy) -> SafeString:
        return badge("active", "In force") if policy.is_active else badge("superseded")

    @display(description="Made", ordering="created_at")
    def made(self, policy: GatePolicy) -> str:
        return moment(policy.created_at)

    @display(description="By", ordering="created_by_name")
    def by(self, policy: GatePolicy) -> str:
        return policy.created_by_name

    def own_views(self) -> list[tuple[str, str, View]]:
        return [("edit/", "edit", self.edit_view), ("readiness/", "readiness", self.readiness_view)]

    def readiness_view(self, request: HttpRequest) -> HttpResponseBase:
        """Where the tenant stands and what is missing; a POST assesses it now and keeps what is found."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            attempt(request, lambda: _assessed(request), done=str)
            return HttpResponseRedirect(self.url("readiness"))
        return self.render_page(request, "forecourt/readiness.html", title="Readiness", **readiness_page(request))

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [("Change the policy", self.url("edit"))] if Role.TENANT_ADMIN in roles_of(request.user) else []

    def page_context(self, request: HttpRequest, obj: GatePolicy) -> dict[str, Any]:
        before = GatePolicy.objects.filter(version__lt=obj.version).order_by("-version").first()
        return {
            "policy": obj,
            "before": before,
            "groups": _compared(obj.body, before.body if before is not None else None),
            "may_edit": obj.is_active and Role.TENANT_ADMIN in roles_of(request.user),
        }

    def edit_view(self, request: HttpRequest) -> HttpResponseBase:
        """Change the policy in two steps: see what a change does, then put exactly that in force (POST)."""
        if Role.TENANT_ADMIN not in roles_of(request.user):
            raise PermissionDenied
        active = GatePolicy.objects.filter(is_active=True).first()
        present = active.body if active is not None else PolicyBody().model_dump(mode="json")
        form = PolicyForm(request.POST or None, present={**PolicyBody().model_dump(mode="json"), **present})
        preview: PolicyPreview | None = None
        if request.method == "POST" and form.is_valid():
            try:
                preview = preview_policy(body=form.body())
                if preview.changes and request.POST.get("confirm") == preview.digest:
                    policy = change_policy(
                        body=form.body(),
                        actor=request.user,  # type: ignore[arg-type]  # logged in here
                        reason=form.cleaned_data["reason"],
                        expected=preview.from_version,
                    )
                    messages.success(request, _in_force(policy, preview))
                    return self.to_object(policy)
            except PolicyInvalid as error:
                for key, problem in error.problems.items():
                    form.add_error(key if key in form.fields else None, f"Not changed: {problem}.")
            except DomainError as error:
                form.add_error(None, str(error))
        if preview is not None and not preview.changes:
            messages.info(request, "Nothing is different from the policy in force.")
            preview = None
        return self.render_page(
            request,
            "forecourt/policy_form.html",
            title="Change the policy",
            form=form,
            preview=preview if form.is_valid() else None,
            changes=_changes_in_words(preview) if preview is not None else [],
            back=self.url("changelist"),
        )


def _assessed(request: HttpRequest) -> str:
    path = review_readiness(actor=request.user)  # type: ignore[arg-type]  # logged in here
    return f"It is {words(path[-1])} now." if path else "Nothing has changed."


def _in_force(policy: GatePolicy, preview: PolicyPreview) -> str:
    ended = ", ".join(one.label for one in preview.lapses)
    return f"Policy v{policy.version} is in force. " + (
        f"The request of {ended} lapsed; judge it again under the new policy." if ended else "No request was waiting."
    )


def _changes_in_words(preview: PolicyPreview) -> list[dict[str, Any]]:
    """The figures that differ, by their names on the form."""
    return [
        {"name": label_of(key.rpartition(".")[2]), "old": old, "new": new, "help": help_of(key.rpartition(".")[2])}
        for key, (old, new) in preview.changes.items()
    ]


def _compared(body: dict[str, Any], before: dict[str, Any] | None) -> list[tuple[str, list[dict[str, Any]]]]:
    """The figures by section, each with what it was in the version before where that differs."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for key, value in body.items():
        old = (before or {}).get(key)
        if isinstance(value, dict):
            rows = [_figure(k, v, (old or {}).get(k) if before is not None else None) for k, v in value.items()]
            groups.setdefault(SECTIONS.get(key, words(key)), []).extend(rows)
        else:
            groups.setdefault("General", []).append(_figure(key, value, old))
    return sorted(groups.items(), key=lambda item: item[0] != "General")


def _figure(name: str, value: Any, old: Any) -> dict[str, Any]:
    return {"name": label_of(name), "value": value, "old": old if old is not None and old != value else None}
