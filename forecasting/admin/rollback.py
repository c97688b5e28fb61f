"""The rollback page: which earlier version serves again, what that means, and why."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase

from forecasting import selectors
from forecasting.models import ChampionAssignment, Channel, ModelVersion
from forecasting.services.rollback import (
    ROLES,
    Rollback,
    RollbackPlan,
    plan_rollback,
    rollback_champion,
    rollback_targets,
)
from ledger.admin.base import BaseAdmin
from ledger.admin.forms import ReasonForm
from ledger.errors import DomainError
from ledger.templatetags.forecourt import day, moment
from tenants.roles import roles_of

_MOST = 12
"""How many earlier versions are offered; older ones by command."""


class RollbackForm(ReasonForm):
    """Which earlier time in service, and why. ``expected``: what the person saw as serving."""

    to = forms.TypedChoiceField(coerce=int, widget=forms.RadioSelect, label="What is to serve again")
    expected = forms.IntegerField(widget=forms.HiddenInput, required=False)
    field_order = ["to", "reason", "expected"]

    def __init__(self, *args: Any, plans: list[RollbackPlan], asked: int | None, **kwargs: Any) -> None:
        help_text = "What is wrong with what serves? Kept with the assignment, and sent to who is told."
        super().__init__(*args, help_text=help_text, **kwargs)
        choices = {plan.target.pk: _choice(plan) for plan in plans}
        if asked is not None and kwargs.get("data", args[0] if args else None):
            choices.setdefault(asked, f"Assignment {asked}")  # the service says why it cannot be put back now
        self.fields["to"].choices = list(choices.items())  # type: ignore[attr-defined]  # a ChoiceField


def may_roll_back(request: HttpRequest) -> bool:
    """Whether this person's role lets them roll back."""
    return bool(roles_of(request.user) & set(ROLES))


def target_of(request: HttpRequest, version: ModelVersion) -> ChampionAssignment | None:
    """The assignment that a button on the version's page would put back; None where there is nothing to press."""
    if not may_roll_back(request) or selectors.current_champion() is None:
        return None
    return next((one for one in rollback_targets() if one.version_id == version.pk), None)


def rollback_view(admin: BaseAdmin, request: HttpRequest) -> HttpResponseBase:
    """GET shows what may be put back (``?to=`` chooses), POST does it; it serves when the answer comes."""
    if not may_roll_back(request):
        raise PermissionDenied
    chosen = _asked(request)
    current = selectors.current_champion()
    plans = _plans() if current is not None else []
    initial = {
        "to": chosen if chosen is not None else (plans[0].target.pk if plans else None),
        "expected": current.pk if current is not None else None,
    }
    form = RollbackForm(request.POST or None, plans=plans, asked=chosen, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            done = rollback_champion(
                actor=request.user,  # type: ignore[arg-type]  # logged in here
                assignment_id=form.cleaned_data["to"],
                expected=form.cleaned_data["expected"],
                reason=form.cleaned_data["reason"],
            )
        except DomainError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _told(done))
            return admin.to_object(done.assignment)
    return admin.render_page(
        request,
        "forecourt/rollback.html",
        title="Roll back",
        form=form,
        champion=current,
        plans=plans,
        submit="Roll back",
        danger=True,
        back=admin.url("changelist"),
        status=409 if form.non_field_errors() else 200,
    )


def _asked(request: HttpRequest) -> int | None:
    """The assignment that the address or the form names; 404 where this tenant has none of that id."""
    text = request.POST.get("to") or request.GET.get("to", "")
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        return None
    if not ChampionAssignment.objects.filter(pk=int(text), channel=Channel.LIVE).exists():
        raise Http404(f"There is no assignment {text} here.")
    return int(text)


def _plans() -> list[RollbackPlan]:
    """What each offered target would mean; one that was refused meanwhile is left out."""
    plans = []
    for target in rollback_targets()[:_MOST]:
        try:
            plans.append(plan_rollback(assignment_id=target.pk, channel=Channel.LIVE))
        except DomainError:
            continue
    return plans


def _choice(plan: RollbackPlan) -> str:
    target = plan.target
    until = moment(target.to_at) if target.to_at else "now"
    return f"{plan.version}, served {moment(target.from_at)} to {until}"


def _told(done: Rollback) -> str:
    behind = done.plan.behind_days
    newer = f" They are {behind} days behind the newest data; newer ones are being made." if behind else ""
    return (
        f"{done.assignment.version} serves again, {done.seconds.total:.1f} s after you pressed the button: "
        f"{done.files} files verified, fit loaded, "
        f"forecasts from {day(done.forecast_set.origin_date)} published.{newer}"
    )
