"""Approvals: the inbox, and the page on which a person decides."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import HttpRequest, HttpResponseBase
from django.utils.safestring import SafeString

from forecasting.admin.review import judgement
from forecasting.models import PromotionRequest, RequestState
from forecasting.services.promotion import approve_promotion, reject_promotion, why_stale, withdraw_promotion
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import ReasonForm
from ledger.errors import DomainError
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import ago, badge, moment
from tenants.roles import Role, roles_of


@admin.register(PromotionRequest, site=tenant_site)
class PromotionRequestAdmin(ReadOnlyAdmin):
    """Requests to make a candidate champion; those that wait come first."""

    list_display = ["label", "state_badge", "verdict", "asked_by", "asked", "lapses", "decided"]
    list_filter = ["state", "channel"]
    search_fields = ["requested_by_name", "decided_by_name", "reason", "decision_reason", "candidate__spec__label"]
    search_help_text = "Person, reason or model"
    date_hierarchy = "requested_at"
    page_template = "forecourt/approval.html"
    empty_hint = "Nobody has asked for a promotion yet. A search that passes the gates asks by itself."

    def get_queryset(self, request: HttpRequest) -> QuerySet[PromotionRequest]:
        requests: QuerySet[PromotionRequest] = super().get_queryset(request)
        return requests.select_related(
            "candidate__spec", "champion__spec", "gate_report__policy", "gate_report__candidate"
        )

    def get_ordering(self, request: HttpRequest) -> Any:
        waiting = Case(When(state=RequestState.PENDING, then=Value(0)), default=Value(1), output_field=IntegerField())
        return [waiting, "-requested_at"]

    @display(description="Request")
    def label(self, request: PromotionRequest) -> str:
        against = request.champion.label if request.champion is not None else "no champion"
        return f"{request.candidate.label} in place of {against}"

    @display(description="State", ordering="state")
    def state_badge(self, request: PromotionRequest) -> SafeString:
        return badge(request.state)

    @display(description="Gates")
    def verdict(self, request: PromotionRequest) -> SafeString:
        return badge(request.gate_report.verdict)

    @display(description="Asked by", ordering="requested_by_name")
    def asked_by(self, request: PromotionRequest) -> str:
        return request.requested_by_name

    @display(description="Asked", ordering="requested_at")
    def asked(self, request: PromotionRequest) -> str:
        return moment(request.requested_at)

    @display(description="Lapses", ordering="expires_at")
    def lapses(self, request: PromotionRequest) -> str:
        return moment(request.expires_at) if request.state == RequestState.PENDING else "–"

    @display(description="Decided", ordering="decided_at")
    def decided(self, request: PromotionRequest) -> str:
        return f"{request.decided_by_name}, {ago(request.decided_at)}" if request.decided_at else "–"

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("<path:object_id>/decide/", "decide", self.decide_view),
            ("<path:object_id>/withdraw/", "withdraw", self.withdraw_view),
        ]

    def page_context(self, request: HttpRequest, obj: PromotionRequest) -> dict[str, Any]:
        roles = roles_of(request.user)
        own = request.user.pk == obj.requested_by_id
        stale = why_stale(obj)
        return {
            "promotion": obj,
            "stale": stale,
            "is_pending": obj.state == RequestState.PENDING,
            "may_decide": obj.state == RequestState.PENDING and Role.REVIEWER in roles and not own and stale is None,
            "why_not": _why_not(roles, own),
            "may_withdraw": obj.state == RequestState.PENDING and (own or Role.TENANT_ADMIN in roles),
            "form": ReasonForm(help_text="Say what convinced you, or what is missing. It is kept with the decision."),
            **judgement(obj.gate_report, request),
        }

    def decide_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Approve or reject (POST). What was typed stays on the page where the domain refuses."""
        promotion: PromotionRequest = self.object_or_404(request, object_id)
        decision = request.POST.get("decision")
        if request.method != "POST" or decision not in ("approve", "reject"):
            return self.to_object(promotion)
        form = ReasonForm(request.POST)
        if form.is_valid():
            act = approve_promotion if decision == "approve" else reject_promotion
            try:
                act(request_id=promotion.pk, actor=request.user, reason=form.cleaned_data["reason"])  # type: ignore[arg-type]  # logged in here
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, _outcome(promotion, decision))
                return self.to_object(promotion)
        again: PromotionRequest = self.object_or_404(request, object_id)  # a refusal may have lapsed it
        context = {**self.page_context(request, again), "form": form}
        return self.render_page(request, str(self.page_template), title=str(again), obj=again, status=409, **context)

    def withdraw_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Take a request back: GET asks for the reason, POST does it."""
        promotion: PromotionRequest = self.object_or_404(request, object_id)
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                withdraw_promotion(request_id=promotion.pk, actor=request.user, reason=form.cleaned_data["reason"])  # type: ignore[arg-type]  # logged in here
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, "Withdrawn. The champion stays; you can ask again.")
                return self.to_object(promotion)
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title="Withdraw the request",
            obj=promotion,
            form=form,
            lead=f"{promotion.candidate.label} will not be decided on. The champion stays.",
            submit="Withdraw it",
            danger=True,
            back=self.url("change", promotion.pk),
        )


def _outcome(promotion: PromotionRequest, decision: str) -> str:
    candidate = promotion.candidate.label
    if decision == "reject":
        return f"Rejected. {candidate} will not serve; the champion stays as it was."
    return f"Approved. {candidate} is champion now and its newest forecasts serve."


def _why_not(roles: frozenset[Role], own: bool) -> str:
    """Why this person cannot decide; empty where they can."""
    if own:
        return (
            "You asked for this promotion, so somebody else has to decide it: two people stand behind every model "
            "that serves. You can withdraw the request."
        )
    if Role.REVIEWER not in roles:
        return "Only a reviewer can decide. You can read everything that the reviewer reads."
    return ""
