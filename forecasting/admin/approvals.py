"""Approvals: the inbox, and the page on which a person decides."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import Case, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.utils.safestring import SafeString

from forecasting.admin.approval_page import CommentForm, DecisionForm, page_facts, why_not
from forecasting.admin.replay_decisions import waiting_in_replays
from forecasting.admin.review import judgement
from forecasting.errors_promotion import DecisionCodeUnknown
from forecasting.models import DecisionCode, GateReport, PromotionRequest, RequestState
from forecasting.selectors_review import around
from forecasting.selectors_shadow import shadow_view, standing_of
from forecasting.services.decision_clock import not_before
from forecasting.services.discussion import comment_on_request, set_mail_preference, wants_mails
from forecasting.services.promotion import approve_promotion, reject_promotion, why_stale, withdraw_promotion
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import ReasonForm
from ledger.errors import DomainError
from ledger.models import AuditEvent
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import ago, badge, moment
from tenants.roles import Role, roles_of

_LISTED = ("state", "channel", "requested_by", "requested_by_name", "requested_at", "expires_at", "decided_by_name",
           "decided_at")  # fmt: skip
_UNUSED = tuple(
    f"{version}__{field}" for version in ("candidate", "champion", "gate_report__candidate")
    for field in ("backtest", "evaluation")
)  # fmt: skip
_TURNS = {
    "mine": ("You decide", "warn"),
    "asked": ("You asked; somebody else decides", "info"),
    "others": ("A reviewer decides", "plain"),
}


@admin.register(PromotionRequest, site=tenant_site)
class PromotionRequestAdmin(ReadOnlyAdmin):
    """Requests to make a candidate champion; those that wait come first, the longest waiting on top."""

    list_display = ["label", "state_badge", "whose_turn", "asked_by", "waits", "lapses", "decided"]
    list_filter = ["state", "channel"]
    search_fields = ["requested_by_name", "decided_by_name", "reason", "decision_reason", "candidate__spec__label"]
    search_help_text = "Person, reason or model"
    date_hierarchy = "requested_at"
    page_template = "forecourt/approval.html"
    change_list_template = "forecourt/approvals.html"
    empty_hint = (
        "Nobody has asked for a promotion yet. A search that passes the gates asks by itself; an analyst starts one "
        "with “Retrain now” on the front page, or asks on the page of a version that passed."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[PromotionRequest]:
        requests: QuerySet[PromotionRequest] = super().get_queryset(request)
        if request.resolver_match and request.resolver_match.url_name == "forecasting_promotionrequest_changelist":
            return self._listed(requests, request)
        related = ("candidate__spec", "champion__spec", "gate_report__policy", "gate_report__candidate")
        judged = GateReport.objects.filter(candidate=OuterRef("candidate")).order_by("-created_at", "-pk").values("pk")
        return (
            requests.select_related(*related)
            .defer(*_UNUSED)
            .annotate(
                newest_report_id=Subquery(judged[:1]),
                newest_event_at=Subquery(AuditEvent.objects.order_by("-sequence").values("at")[:1]),
            )
        )

    def _listed(self, requests: QuerySet[PromotionRequest], request: HttpRequest) -> QuerySet[PromotionRequest]:
        """For the list: names only, and whose turn it is."""
        pending, own = Q(state=RequestState.PENDING), Q(requested_by_id=request.user.pk)
        decides = Role.REVIEWER in roles_of(request.user)
        turn = Case(
            When(pending & own, then=Value("asked")),
            When(pending, then=Value("mine" if decides else "others")),
            default=Value(""),
        )
        named = ("candidate__number", "candidate__spec__label", "champion__number", "champion__spec__label")
        return requests.select_related("candidate__spec", "champion__spec").annotate(turn=turn).only(*_LISTED, *named)

    def get_ordering(self, request: HttpRequest) -> Any:
        pending = Q(state=RequestState.PENDING)
        waiting = Case(When(pending, then=Value(0)), default=Value(1), output_field=IntegerField())
        return [waiting, Case(When(pending, then=F("requested_at"))), "-requested_at"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """The inbox: what waits in replays stands above the requests, marked as such."""
        return super().changelist_view(request, {"replay_questions": waiting_in_replays(), **(extra_context or {})})

    def list_actions(self, request: HttpRequest) -> list[tuple[str, str]]:
        return [("My mails", self.url("mails"))]

    @display(description="Request")
    def label(self, request: PromotionRequest) -> str:
        against = request.champion.label if request.champion is not None else "no champion"
        return f"{request.candidate.label} in place of {against}"

    @display(description="State", ordering="state")
    def state_badge(self, request: PromotionRequest) -> SafeString:
        return badge(request.state)

    @display(description="Whose turn")
    def whose_turn(self, request: PromotionRequest) -> SafeString | str:
        told = _TURNS.get(getattr(request, "turn", ""))
        return badge("pending", *told) if told is not None else "–"

    @display(description="Asked by", ordering="requested_by_name")
    def asked_by(self, request: PromotionRequest) -> str:
        return request.requested_by_name

    @display(description="Asked", ordering="requested_at")
    def waits(self, request: PromotionRequest) -> str:
        return ago(request.requested_at) if request.state == RequestState.PENDING else moment(request.requested_at)

    @display(description="Lapses", ordering="expires_at")
    def lapses(self, request: PromotionRequest) -> str:
        if request.state != RequestState.PENDING:
            return "–"
        return f"{moment(request.expires_at)} ({ago(request.expires_at)})"

    @display(description="Decided", ordering="decided_at")
    def decided(self, request: PromotionRequest) -> str:
        return f"{request.decided_by_name}, {ago(request.decided_at)}" if request.decided_at else "–"

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("<path:object_id>/decide/", "decide", self.decide_view),
            ("<path:object_id>/withdraw/", "withdraw", self.withdraw_view),
            ("<path:object_id>/comment/", "comment", self.comment_view),
            ("mails/", "mails", self.mails_view),
        ]

    def page_context(self, request: HttpRequest, obj: PromotionRequest) -> dict[str, Any]:
        near = around(obj, viewer_id=request.user.pk)
        roles, own = near.roles, request.user.pk == obj.requested_by_id
        stale = why_stale(obj, now=not_before(getattr(obj, "newest_event_at", None)))
        report = obj.gate_report
        return {
            "promotion": obj,
            "stale": stale,
            "is_pending": obj.state == RequestState.PENDING,
            "may_decide": obj.state == RequestState.PENDING and Role.REVIEWER in roles and not own and stale is None,
            "why_not": why_not(roles, own=own),
            "may_withdraw": obj.state == RequestState.PENDING and (own or Role.TENANT_ADMIN in roles),
            "form": DecisionForm(),
            "comment_form": CommentForm(),
            "openings": report.evidence.get("holdout", {}) if isinstance(report.evidence, dict) else {},
            "shadow": shadow_view(standing_of(obj.candidate, obj.champion), obj),
            **page_facts(request, obj, near),
            **judgement(report, request),
        }

    def decide_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Approve or reject (POST). What was typed stays on the page where the domain refuses."""
        promotion: PromotionRequest = self.object_or_404(request, object_id)
        decision = request.POST.get("decision")
        if request.method != "POST" or decision not in ("approve", "reject"):
            return self.to_object(promotion)
        form = DecisionForm(request.POST)
        if form.is_valid():
            act = approve_promotion if decision == "approve" else reject_promotion
            code = form.cleaned_data["code"] or DecisionCode.OTHER.value
            try:
                act(request_id=promotion.pk, actor=request.user, reason=form.cleaned_data["reason"], code=code)  # type: ignore[arg-type]  # logged in here
            except DecisionCodeUnknown:
                form.add_error("code", f"This is no reason to {decision}. Choose another one.")
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, _outcome(promotion, decision))
                return self.to_object(promotion)
        return self._again(request, object_id, form=form)

    def comment_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Add a remark (POST). What was typed stays on the page where it is refused."""
        promotion: PromotionRequest = self.object_or_404(request, object_id)
        if request.method != "POST":
            return self.to_object(promotion)
        form = CommentForm(request.POST)
        if form.is_valid():
            try:
                comment_on_request(request_id=promotion.pk, actor=request.user, text=form.cleaned_data["text"])  # type: ignore[arg-type]  # logged in here
            except DomainError as error:
                form.add_error("text", str(error))
            else:
                messages.success(request, "Your remark is kept; the reviewers and who asked are told.")
                return self.to_object(promotion)
        return self._again(request, object_id, comment_form=form)

    def _again(self, request: HttpRequest, object_id: str, **forms: Any) -> HttpResponseBase:
        """The page as it is now, with what was typed; a refusal may have lapsed the request."""
        now: PromotionRequest = self.object_or_404(request, object_id)
        context = {**self.page_context(request, now), **forms}
        return self.render_page(request, str(self.page_template), title=str(now), obj=now, status=409, **context)

    def mails_view(self, request: HttpRequest) -> HttpResponseBase:
        """Whether the person wants mails about promotions (GET shows, POST changes)."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST" and request.POST.get("wanted") in ("yes", "no"):
            wanted = request.POST["wanted"] == "yes"
            set_mail_preference(actor=request.user, wanted=wanted)  # type: ignore[arg-type]  # logged in here
            messages.success(request, "You get mails again." if wanted else "You get no more mails about promotions.")
            return HttpResponseRedirect(self.url("changelist"))
        return self.render_page(
            request, "forecourt/approval_mails.html", title="Mails about promotions",
            wanted=wants_mails(request.user), address=request.user.email,  # type: ignore[arg-type,union-attr]  # logged in here
        )  # fmt: skip

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
        return f"Rejected. {candidate} will not serve; the champion stays as it was. Who asked is told."
    return f"Approved. {candidate} is champion now and its newest forecasts serve. Who asked is told."
