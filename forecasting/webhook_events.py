"""What webhooks are told of promotions: the catalogue's entries. Registered when the app is ready."""

from __future__ import annotations

from typing import Any

from integrations.webhook_events import EventType, register_event

_REQUEST = {
    "request": "Number of the request.",
    "candidate": "Number of the version that is to serve.",
    "candidate_model": "What kind of model it is.",
    "champion": "Number of the version that it was judged against; null where there was none.",
    "verdict": "What the gates said: eligible, blocked or insufficient_evidence.",
    "sentence": "The judgement in words.",
    "evidence_hash": "SHA-256 of all that the decision rests on.",
    "requested_by": "Number of the person in this tenant; null for the system.",
    "expires_at": "When it lapses, if nobody decides.",
    "path": "Path of the request's page on the tenant's host.",
}
_EXAMPLE: dict[str, Any] = {
    "request": 12,
    "candidate": 7,
    "candidate_model": "ensemble of lightgbm and lightgbm_direct",
    "champion": 6,
    "verdict": "eligible",
    "sentence": "v7 would cut expected stock cost by 4.1% (€1,240 a week) at the same stockout risk; evidence: strong.",
    "evidence_hash": "9f2c…",
    "requested_by": 3,
    "expires_at": "2026-03-08T09:30:00Z",
    "path": "/admin/forecasting/promotionrequest/12/change/",
}
_DECISION = {
    "decided_by": "Number of the person in this tenant; null for the system.",
    "code": "The short reason, where a person decided; else empty.",
    "reason": "The reason in words.",
}
_DECIDED: dict[str, Any] = {"decided_by": 4, "code": "lower_cost", "reason": "Cheaper, and the bands hold."}

EVENTS = (
    EventType(
        "promotion.requested",
        "A promotion is asked for",
        "A candidate passed the gates, and somebody (or the training chain) asks that it serve.",
        {**_REQUEST, "reason": "Why it is asked for."},
        {**_EXAMPLE, "reason": "Proposed by the training chain: every gate passed."},
    ),
    EventType(
        "promotion.approved",
        "A promotion is approved",
        "A reviewer approved; the candidate serves from this moment on.",
        {**_REQUEST, **_DECISION},
        {**_EXAMPLE, **_DECIDED},
    ),
    EventType(
        "promotion.rejected",
        "A promotion is rejected",
        "A reviewer said no; the champion stays.",
        {**_REQUEST, **_DECISION},
        {**_EXAMPLE, **_DECIDED, "code": "weak_evidence", "reason": "Four weeks without a holiday say too little."},
    ),
    EventType(
        "promotion.withdrawn",
        "A request is withdrawn",
        "Who asked took it back; the champion stays.",
        {**_REQUEST, **_DECISION},
        {**_EXAMPLE, **_DECIDED, "code": "", "decided_by": 3, "reason": "A better candidate is being trained."},
    ),
    EventType(
        "promotion.lapsed",
        "A request lapses",
        "Nobody decided in time, or what was judged is no longer what would be promoted; the champion stays.",
        {**_REQUEST, **_DECISION},
        {**_EXAMPLE, "code": "", "decided_by": None, "reason": "the gate policy is v3; it was judged under v2."},
    ),
    EventType(
        "champion.rolled_back",
        "A champion is rolled back",
        "An earlier champion serves again.",
        {
            "assignment": "Number of the assignment.",
            "version": "Number of the version that serves now.",
            "model": "What kind of model it is.",
            "displaced": "Number of the version that served until now; null where none did.",
            "by": "Number of the person in this tenant; null for the system.",
            "reason": "Why.",
            "from": "Since when it serves.",
            "path": "Path of the page of the version that serves now, on the tenant's host.",
        },
        {
            "assignment": 9,
            "version": 6,
            "model": "seasonal_average",
            "displaced": 7,
            "by": 4,
            "reason": "Forecasts of the new stores are far too low.",
            "from": "2026-03-09T06:12:00Z",
            "path": "/admin/forecasting/modelversion/31/change/",
        },
    ),
)


def register() -> None:
    """Put them into the catalogue."""
    for event in EVENTS:
        register_event(event)
