"""Questions of interactive replays: what waits for a reviewer, and the page on which a person answers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import HttpRequest, HttpResponseBase
from django.utils.safestring import SafeString

from forecasting.admin.review import GATES
from forecasting.errors_replay import OrderEditWrong
from forecasting.models import DecisionCode, OrderCode, ReplayDecision, ReplayDecisionState
from forecasting.models.promotion import APPROVAL_CODES, REJECTION_CODES
from forecasting.models.replay import ReplayQuestion
from forecasting.services.replay_decisions import decide_in_replay
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import ReasonForm
from ledger.errors import DomainError
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import ago, badge, day
from tenants.roles import Role, roles_of

TONES = {"pending": "warn", "approved": "good", "edited": "good", "rejected": "bad", "lapsed": "plain"}
WHY = {
    "above_history": "Far above the most that was sold in as many days",
    "below_history": "Far below the least that was sold in as many days",
    "no_sale_lately": "Nothing was sold for weeks",
}
_VERDICTS = {
    "approve": ReplayDecisionState.APPROVED,
    "edit": ReplayDecisionState.EDITED,
    "reject": ReplayDecisionState.REJECTED,
}


class AnswerForm(ReasonForm):
    """What the answer rests on most, and why in words."""

    code = forms.ChoiceField(label="It rests most on", choices=[])
    field_order = ("code", "reason")

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, help_text="Kept with the replay, and shown beside what came of it.", **kwargs)
        field = self.fields["code"]
        field.choices = _codes(kind)  # type: ignore[attr-defined]  # a ChoiceField
        field.initial = DecisionCode.OTHER.value if kind == ReplayQuestion.PROMOTION else OrderCode.OTHER.value


def _codes(kind: str) -> list[Any]:
    if kind == ReplayQuestion.ORDERS:
        return [(code.value, code.label) for code in OrderCode]
    named = ((title, [(c.value, c.label) for c in codes if c != DecisionCode.OTHER])
             for title, codes in (("To approve", APPROVAL_CODES), ("To reject", REJECTION_CODES)))  # fmt: skip
    return [*named, (DecisionCode.OTHER.value, DecisionCode.OTHER.label)]


@admin.register(ReplayDecision, site=tenant_site)
class ReplayDecisionAdmin(ReadOnlyAdmin):
    """Every question of a replay to a person; those that wait come first."""

    list_display = ["label", "state_badge", "asked_in", "asked", "decided"]
    list_filter = ["state", "kind"]
    search_fields = ["reason", "decided_by_name", "asked_by_name"]
    search_help_text = "Person or reason"
    date_hierarchy = "asked_at"
    page_template = "forecourt/replay_decision.html"
    empty_hint = "No replay has asked anybody yet. One does where people decide in it; then its question waits here."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReplayDecision]:
        questions: QuerySet[ReplayDecision] = super().get_queryset(request)
        return questions.select_related("replay").defer("replay__summary", "replay__files", "replay__recorded")

    def get_ordering(self, request: HttpRequest) -> Any:
        waiting = Case(When(state="pending", then=Value(0)), default=Value(1), output_field=IntegerField())
        return [waiting, "-asked_at"]

    @display(description="Question")
    def label(self, question: ReplayDecision) -> str:
        return f"{question.get_kind_display()} on {day(question.day)}"

    @display(description="State", ordering="state")
    def state_badge(self, question: ReplayDecision) -> SafeString:
        return badge(question.state, question.get_state_display(), TONES[question.state])

    @display(description="Of")
    def asked_in(self, question: ReplayDecision) -> str:
        return str(question.replay)

    @display(description="Asked", ordering="asked_at")
    def asked(self, question: ReplayDecision) -> str:
        return f"{question.asked_by_name}, {ago(question.asked_at)}"

    @display(description="Decided", ordering="decided_at")
    def decided(self, question: ReplayDecision) -> str:
        return f"{question.decided_by_name}, {ago(question.decided_at)}" if question.decided_at else "–"

    def own_views(self) -> list[tuple[str, str, View]]:
        return [("<path:object_id>/decide/", "decide", self.decide_view)]

    def page_context(self, request: HttpRequest, obj: ReplayDecision) -> dict[str, Any]:
        own = request.user.pk == obj.asked_by_id
        pending = obj.state == ReplayDecisionState.PENDING
        reviewer = Role.REVIEWER in roles_of(request.user)
        question = obj.question
        return {
            "asked": obj,
            "question": question,
            "tone": TONES[obj.state],
            "is_orders": obj.kind == ReplayQuestion.ORDERS,
            "is_pending": pending,
            "may_decide": pending and reviewer and not own,
            "why_not": _why_not(own=own, reviewer=reviewer) if pending else "",
            "gates": [
                {"question": GATES.get(name, (name, ""))[0], "passed": passed, "reason": reason}
                for name, passed, reason in question.get("gates", [])
            ],
            "lines": [
                {**line, "told": WHY[line["why"]], "field": f"line-{place}",
                 "final": obj.edits.get(line["series"], line["proposed"])}
                for place, line in enumerate(question.get("lines", []))
            ],
            "form": AnswerForm(kind=obj.kind),
        }  # fmt: skip

    def decide_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Answer (POST). What was typed stays on the page where the domain refuses."""
        asked: ReplayDecision = self.object_or_404(request, object_id)
        verdict = _VERDICTS.get(request.POST.get("decision", ""))
        if request.method != "POST" or verdict is None:
            return self.to_object(asked)
        form = AnswerForm(request.POST, kind=asked.kind)
        if form.is_valid():
            try:
                decide_in_replay(
                    decision_id=asked.pk,
                    actor=request.user,  # type: ignore[arg-type]  # logged in here
                    verdict=verdict,
                    code=form.cleaned_data["code"],
                    reason=form.cleaned_data["reason"],
                    edits=_edits(request, asked) if verdict == ReplayDecisionState.EDITED else None,
                )
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Decided. The replay goes on from this day; nothing that serves has changed.")
                return self.to_object(asked)
        now: ReplayDecision = self.object_or_404(request, object_id)
        context = {**self.page_context(request, now), "form": form}
        for line in context["lines"]:
            line["final"] = request.POST.get(line["field"], line["final"])
        return self.render_page(request, str(self.page_template), title=str(now), obj=now, status=409, **context)


def _edits(request: HttpRequest, asked: ReplayDecision) -> dict[str, float]:
    """The lines whose amount was changed. Raises OrderEditWrong where one is no number."""
    edits = {}
    for place, line in enumerate(asked.question["lines"]):
        text = request.POST.get(f"line-{place}", "").strip()
        if not text:
            continue
        try:
            amount = float(text)
        except ValueError:
            raise OrderEditWrong(line["series"], f"cannot be {text[:20]!r}: give a number of units") from None
        if amount != line["proposed"]:
            edits[line["series"]] = amount
    return edits


def _why_not(*, own: bool, reviewer: bool) -> str:
    if own:
        return "You started this replay, so another reviewer decides in it: two people, as with a live promotion."
    return "" if reviewer else "Only a reviewer decides. You can read everything that the reviewer reads."


def waiting_in_replays() -> list[ReplayDecision]:
    """What the inbox shows of replays: every question that waits, the longest waiting first."""
    waiting = ReplayDecision.objects.filter(state=ReplayDecisionState.PENDING).select_related("replay")
    return list(waiting.defer("question", "replay__summary", "replay__files").order_by("asked_at"))
