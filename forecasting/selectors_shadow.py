"""Reads of what challengers did in shadow: for the gate's evidence, a request, the pages of version and approval."""

from __future__ import annotations

from typing import Any

from forecasting.engine.bootstrap import Evidence
from forecasting.engine.shadow import change_text
from forecasting.models import ModelVersion, PromotionRequest, ShadowStanding, ShadowWindow

_SHOWN = 12
_LIGHT = ("series_ids", "actual", "champion_error", "challenger_error", "champion_cost", "challenger_cost", "sets")
_FIGURES = (("total_cost", "cost"), ("wape", "wape"), ("wrmsse", "wrmsse"), ("coverage80", "coverage80"))


def standing_of(candidate: ModelVersion, champion: ModelVersion | None) -> ShadowStanding | None:
    """The candidate's standing in the shadow of the champion's spec; None where they never forecast side by side."""
    if champion is None:
        return None
    found = ShadowStanding.objects.select_related("challenger", "champion_spec")
    return found.filter(challenger=candidate, champion_spec_id=champion.spec_id).first()


def cited(candidate: ModelVersion, champion: ModelVersion | None) -> dict[str, Any]:
    """What a judgement and a request cite of it, as plain JSON: the sentence, the figures and every window. These are
    of forecasts that were made before their days came; no figure of a backtest or a holdout is among them."""
    standing = standing_of(candidate, champion)
    if standing is None:
        return {"sentence": "", "weeks": 0, "reason": "it never forecast beside this champion"}
    return {
        "sentence": standing.sentence,
        "weeks": standing.weeks,
        "won": standing.won,
        "lost": standing.lost,
        "tied": standing.tied,
        "first_day": standing.first_day.isoformat() if standing.first_day else None,
        "last_day": standing.last_day.isoformat() if standing.last_day else None,
        "differences": standing.differences,
        "windows": [
            {
                "start": row.start.isoformat(),
                "end": row.end.isoformat(),
                "winner": row.winner,
                "basis": row.basis,
                **{side: _figures(row, side) for side in ("champion", "challenger")},
            }
            for row in _windows(standing)
        ],
    }


def shadow_view(standing: ShadowStanding | None, request: PromotionRequest | None = None) -> dict[str, Any]:
    """What ``forecourt/shadow.html`` draws as ``shadow``; empty where there is nothing to draw.

    request: an approval page's own, whose citation stands above what has grown since.
    """
    if standing is None:
        return {}
    said = request.shadow.get("sentence", "") if request is not None else ""
    return {
        "standing": standing,
        "sentence": _sentence(standing.sentence),
        "cited": _sentence(said) if said and said != standing.sentence else "",
        "against": standing.champion_spec.label,
        "label": standing.challenger.label,
        "rows": [_row(row) for row in _windows(standing)],
    }


def shadow_of_request(request: PromotionRequest) -> dict[str, Any]:
    """The view for an approval page."""
    return shadow_view(standing_of(request.candidate, request.champion), request)


def shadows_of_version(version: ModelVersion) -> list[dict[str, Any]]:
    """The views for a version's page: one for each spec in whose shadow it stood, the newest first."""
    rows = ShadowStanding.objects.select_related("challenger", "champion_spec").filter(challenger=version)
    return [shadow_view(one) for one in rows.order_by("-updated_at")[:3]]


def _windows(standing: ShadowStanding) -> list[ShadowWindow]:
    return list(standing.windows.defer(*_LIGHT).order_by("-start")[:_SHOWN])


def _figures(row: ShadowWindow, side: str) -> dict[str, Any]:
    scores = row.scores.get(side, {})
    return {short: (scores.get(name) or {}).get("value") for name, short in _FIGURES}


def _row(row: ShadowWindow) -> dict[str, Any]:
    difference = row.differences.get(row.basis)
    evidence = Evidence(**difference) if difference else None
    return {
        "window": row,
        "champion": _figures(row, "champion"),
        "challenger": _figures(row, "challenger"),
        "change": change_text(evidence) if evidence is not None and evidence.change is not None else "–",
        "why": (evidence.reason or "") if evidence is not None else "",
    }


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "." if text else ""
