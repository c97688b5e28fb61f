"""What the approval page shows beside the judgement: who may decide, what a decision does, what was said and done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.db.models import Subquery
from django.http import HttpRequest

from forecasting.models import DecisionCode, Demand, ForecastSet, PromotionRequest, RequestState
from forecasting.models.promotion import APPROVAL_CODES, REJECTION_CODES
from forecasting.selectors_review import Around
from forecasting.services.announcing import COMMENTED
from forecasting.services.discussion import COMMENT_CHARACTERS, COMMENTERS
from ledger.admin.forms import PlainForm, ReasonForm
from tenants.roles import Role


def _codes(codes: tuple[DecisionCode, ...]) -> list[tuple[str, str]]:
    return [(code.value, str(code.label)) for code in codes if code != DecisionCode.OTHER]


class DecisionForm(ReasonForm):
    """What a decision rests on most, and why in words."""

    code = forms.ChoiceField(
        label="It rests most on",
        choices=[
            ("To approve", _codes(APPROVAL_CODES)),
            ("To reject", _codes(REJECTION_CODES)),
            (DecisionCode.OTHER.value, DecisionCode.OTHER.label),
        ],
        initial=DecisionCode.OTHER.value,
        required=False,
    )
    field_order = ("code", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        said = "Say what convinced you, or what is missing. It is kept with the decision and sent to who asked."
        super().__init__(*args, help_text=said, **kwargs)


class CommentForm(PlainForm):
    """A remark."""

    text = forms.CharField(
        label="Your remark",
        max_length=COMMENT_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="A question or an observation. It stays with the request; the reviewers and who asked are told.",
        error_messages={"required": "Write something first."},
    )


def page_facts(request: HttpRequest, promotion: PromotionRequest, near: Around) -> dict[str, Any]:
    """Everything that belongs to the request itself."""
    reviewers = near.reviewers
    remarked = [one for one in reviewers if one.remarks]
    return {
        "decider": next((one for one in remarked if one.decided), None),
        "me_remarked": next((one for one in remarked if one.user_id == request.user.pk and not one.decided), None),
        "remarked": [one for one in remarked if not one.decided],
        "reviewers": [one for one in reviewers if not one.decided],
        "outcome": _outcome(promotion),
        "what_would_serve": _what_would_serve(promotion) if promotion.state == RequestState.PENDING else None,
        "comments": [event for event in near.timeline if event.event == COMMENTED],  # as the chain keeps them
        "may_comment": bool(near.roles & frozenset(COMMENTERS)),
        "timeline": near.timeline,
    }


def _what_would_serve(promotion: PromotionRequest) -> dict[str, Any] | None:
    """The candidate's newest forecasts: they serve from the moment of approval on."""
    newest_day = Demand.objects.order_by("-date").values("date")[:1]
    sets = ForecastSet.objects.filter(version=promotion.candidate_id).annotate(newest_day=Subquery(newest_day))
    made = sets.order_by("-origin_date", "-pk").first()
    if made is None:
        return None
    newest = made.newest_day
    return {
        "set": made,
        "first": made.origin_date + timedelta(days=1),
        "behind": (newest - made.origin_date).days if newest is not None else 0,
    }


def _outcome(promotion: PromotionRequest) -> dict[str, Any] | None:
    """What came of an approval: since when it served, and whether it still does."""
    if promotion.state != RequestState.APPROVED:
        return None
    assignment = promotion.assignments.first()
    return {"assignment": assignment, "serves": assignment is not None and assignment.to_at is None}


def why_not(roles: frozenset[Role], *, own: bool) -> str:
    """Why this person cannot decide; empty where they can."""
    if own:
        return (
            "You asked for this promotion, so somebody else has to decide it: two people stand behind every model "
            "that serves. You can withdraw the request."
        )
    if Role.REVIEWER not in roles:
        return (
            "Only a reviewer can decide. You can read everything that the reviewer reads. "
            "If you should be one, ask a tenant admin for the role."
        )
    return ""
