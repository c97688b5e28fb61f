"""``/api/v1/promotion-requests/``: what waits for a decision, what was decided, and deciding."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

from django.db.models import Q, QuerySet
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from forecasting.api.bodies import PromotionCreateSerializer, ReasonSerializer, read_body
from forecasting.api.gates import GateResultSerializer
from forecasting.api.moments import read_moment
from forecasting.errors import RequestNotPending
from forecasting.models import Channel, ModelVersion, PromotionRequest, RequestState
from forecasting.models.gate import Verdict
from forecasting.services.promotion import (
    approve_promotion,
    reject_promotion,
    request_promotion,
    why_stale,
    withdraw_promotion,
)
from integrations.api.throttling import TokenRateThrottle
from ledger.api import paging
from ledger.api.base import ConditionalView, StrictView, page_of
from ledger.api.errors import NotHere
from ledger.api.params import Param, Query, one_of, page_size, whole_number
from tenants.roles import Role, require_role

View = TypeVar("View", bound=Callable[..., Any])
_NUMBER = whole_number(1, 2**31 - 1)
_CONFLICT = OpenApiResponse(description="It was decided, withdrawn or lapsed already; `code` and `detail` say which.")


class PromotionSerializer(serializers.Serializer[PromotionRequest]):
    """A request as lists show it."""

    id = serializers.IntegerField()
    state = serializers.ChoiceField(choices=RequestState.choices)
    candidate = serializers.IntegerField(source="candidate.number", help_text="Version that would become champion.")
    candidate_spec = serializers.CharField(source="candidate.spec.label")
    champion = serializers.IntegerField(
        source="champion.number", allow_null=True, default=None, help_text="Version it was judged against."
    )
    verdict = serializers.ChoiceField(choices=Verdict.choices, source="gate_report.verdict")
    gate_report = serializers.IntegerField(source="gate_report_id")
    policy = serializers.IntegerField(source="gate_report.policy.version", help_text="Version of the gate policy.")
    sentence = serializers.CharField(source="said", allow_null=True, help_text="The judgement in one sentence.")
    reason = serializers.CharField(help_text="Why it was asked.")
    requested_by = serializers.CharField(source="requested_by_name")
    requested_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(help_text="Undecided by then, it lapses.")
    decided_by = serializers.CharField(source="decided_by_name", help_text="Empty while it waits.")
    decided_at = serializers.DateTimeField(allow_null=True)
    decision_reason = serializers.CharField()


class PromotionDetailSerializer(PromotionSerializer):
    """A request with everything that a decision rests on."""

    stale = serializers.SerializerMethodField(
        help_text="Why it would lapse if it were decided now; null while the evidence holds, or once it is decided."
    )
    evidence_hash = serializers.CharField(
        help_text="SHA-256 of candidate, champion, policy and gate results that the request is bound to."
    )
    gates = GateResultSerializer(many=True, source="gate_report.results")
    evidence = serializers.DictField(source="gate_report.evidence")

    def get_stale(self, request: PromotionRequest) -> str | None:
        return why_stale(request)


class PromotionPageSerializer(serializers.Serializer[PromotionRequest]):
    """A page of requests, newest first."""

    next = serializers.URLField(allow_null=True)
    results = PromotionSerializer(many=True)


class DecisionRateThrottle(TokenRateThrottle):
    """Rate ``decision`` of the settings: what a person decides, no program has to do more often."""

    scope = "decision"

    def allow_request(self, request: Request, view: Any) -> bool:
        return request.method != "POST" or super().allow_request(request, view)


def requests_shown(*, whole: bool = False) -> QuerySet[Any]:
    """Live requests with what a list or (whole) one request shows, in one query."""
    from django.db.models.fields.json import KeyTextTransform

    rows = PromotionRequest.objects.filter(channel=Channel.LIVE).select_related(
        "candidate__spec", "champion__spec", "gate_report__policy", "gate_report__candidate"
    )
    big = [f"{side}__{name}" for side in ("candidate", "champion") for name in ("backtest", "evaluation", "notes")]
    if not whole:
        big += ["candidate__manifest", "champion__manifest", "gate_report__evidence", "gate_report__results"]
        big += ["gate_report__policy__body"]
    return rows.defer(*big).annotate(said=KeyTextTransform("sentence", "gate_report__evidence"))


class PromotionListView(ConditionalView):
    """Requests of this tenant, newest first."""

    throttle_classes = (TokenRateThrottle, DecisionRateThrottle)
    query = Query(
        Param(
            "state", "Only requests in this state.", one_of(lambda: RequestState.values),
            enum=lambda: RequestState.values,
        ),
        Param("candidate", "Only requests for this version.", _NUMBER, openapi_type=OpenApiTypes.INT),
        Param("requested_by", "Only requests in this person's name."),
        Param("decided_by", "Only requests that this person decided."),
        page_size(default=50, most=200),
        paging.CURSOR,
    )  # fmt: skip

    @extend_schema(
        operation_id="promotion_requests_list",
        tags=["promotion"],
        parameters=query.openapi(),
        responses=PromotionPageSerializer,
    )
    def get(self, request: Request) -> Response:
        """List promotion requests, newest first."""
        rows = requests_shown().order_by("-requested_at", "-id")
        for name, field in (("state", "state"), ("candidate", "candidate__number"),
                            ("requested_by", "requested_by_name"), ("decided_by", "decided_by_name")):  # fmt: skip
            if self.params[name] is not None:
                rows = rows.filter(**{field: self.params[name]})
        if self.params["cursor"]:
            at, pk = paging.decode(self.params["cursor"], readers=(read_moment, paging.integer), filters=self.filters())
            rows = rows.filter(Q(requested_at__lt=at) | Q(requested_at=at, id__lt=pk))
        return page_of(self, request, rows, key=("requested_at", "id"), serializer=PromotionSerializer)

    @extend_schema(
        operation_id="promotion_requests_create",
        tags=["promotion"],
        request=PromotionCreateSerializer,
        responses={
            201: OpenApiResponse(PromotionDetailSerializer, description="Asked. `Location` is the request."),
            409: OpenApiResponse(description="The version is not eligible, or another request waits."),
        },
    )
    def post(self, request: Request) -> Response:
        """Ask that an eligible version become champion. The token's owner asks; somebody else decides."""
        require_role(request.user, Role.ANALYST, Role.TENANT_ADMIN)
        asked = read_body(request, PromotionCreateSerializer)
        version = ModelVersion.objects.filter(number=asked["version"]).first()
        if version is None:
            raise NotHere(f"There is no version {asked['version']} in this tenant. /api/v1/models/ lists them.")
        made = request_promotion(candidate=version, actor=request.user, reason=asked["reason"])  # type: ignore[arg-type]  # an analyst by now
        address = request.build_absolute_uri(reverse("api-promotion", args=[made.pk]))
        return Response(_whole(made.pk), status=HTTPStatus.CREATED, headers={"Location": address})


def _whole(pk: int) -> dict[str, Any]:
    body: dict[str, Any] = PromotionDetailSerializer(_found(pk)).data
    return body


def _found(pk: int) -> Any:
    found = requests_shown(whole=True).filter(pk=pk).first()
    if found is None:
        raise NotHere(f"There is no promotion request {pk} in this tenant. /api/v1/promotion-requests/ lists them.")
    return found


class PromotionDetailView(ConditionalView):
    """One request."""

    @extend_schema(
        operation_id="promotion_requests_retrieve",
        tags=["promotion"],
        responses={(200, "application/json"): PromotionDetailSerializer},
    )
    def get(self, request: Request, request_id: int) -> Response:
        """Show a promotion request with its gates, its evidence and whether that still holds."""
        return Response(_whole(request_id))


class DecisionView(StrictView):
    """What the three decisions share. Roles, four eyes, lapse and locks are the service's."""

    throttle_classes = (TokenRateThrottle, DecisionRateThrottle)
    ends_in: ClassVar[str]
    act: ClassVar[Callable[..., Any]]

    def decide(self, request: Request, request_id: int) -> Response:
        """Do it once; the same person doing the same again is answered with what stands."""
        _found(request_id)
        reason = read_body(request, ReasonSerializer)["reason"]
        headers = {"Cache-Control": "no-store"}
        try:
            type(self).act(request_id=request_id, actor=request.user, reason=reason)
        except RequestNotPending:
            stands = _found(request_id)
            if stands.state != self.ends_in or stands.decided_by_id != request.user.pk:
                raise
            headers["Idempotency-Replayed"] = "true"
        return Response(_whole(request_id), headers=headers)


def _decision(name: str, words: str) -> Callable[[View], View]:
    """The description of a decision."""
    described: Callable[[View], View] = extend_schema(
        operation_id=f"promotion_requests_{name}",
        tags=["promotion"],
        request=ReasonSerializer,
        responses={
            200: OpenApiResponse(
                PromotionDetailSerializer,
                description=f"{words} The same person doing the same again is answered with what stands, and "
                "`Idempotency-Replayed: true`.",
            ),
            409: _CONFLICT,
        },
    )
    return described


class ApproveView(DecisionView):
    """Approve."""

    ends_in = RequestState.APPROVED
    act = staticmethod(approve_promotion)

    @_decision("approve", "Approved: the candidate is champion and its newest forecasts serve.")
    def post(self, request: Request, request_id: int) -> Response:
        """Approve: the candidate becomes champion at once. A reviewer other than who asked."""
        return self.decide(request, request_id)


class RejectView(DecisionView):
    """Reject."""

    ends_in = RequestState.REJECTED
    act = staticmethod(reject_promotion)

    @_decision("reject", "Rejected: the champion stays.")
    def post(self, request: Request, request_id: int) -> Response:
        """Reject: the champion stays. A reviewer other than who asked."""
        return self.decide(request, request_id)


class WithdrawView(DecisionView):
    """Withdraw."""

    ends_in = RequestState.WITHDRAWN
    act = staticmethod(withdraw_promotion)

    @_decision("withdraw", "Withdrawn: it will not be decided.")
    def post(self, request: Request, request_id: int) -> Response:
        """Take a request back. Who asked, or a tenant admin."""
        return self.decide(request, request_id)
