"""The model card of a version: what it was made of, how well it does, what it is for and where its limits are.

Every sentence is computed from what is stored of the version; what was not recorded says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from forecasting.engine.explain_words import feature_words
from forecasting.models import AccuracyRecord, GateReport, ModelArtifact, ModelVersion
from forecasting.services.model_card_limits import limits_of

CARD_VERSION = 1
SCORES = ("wape", "bias", "wrmsse", "mase", "coverage80", "coverage95", "winkler80", "scrps", "fva")
BASES = {"backtest": "Backtest (rolling origins before the holdout)", "holdout": "Sealed holdout",
         "realised": "Realised (on the actuals that came)"}  # fmt: skip
GROUPS = ("by_week", "by_class", "by_store", "by_level")


def model_card(version: ModelVersion) -> dict[str, Any]:
    """The card as plain JSON values. Reads the version's artifacts, newest judgement and newest realised accuracy."""
    report = version.gate_reports.select_related("champion", "policy").order_by("-created_at", "-pk").first()
    realised = version.accuracy.select_related("forecast_set").order_by("-actuals_until", "-computed_at").first()
    artifacts = list(version.artifacts.all())
    scores = scores_by_basis(version, realised)
    lineage = version.manifest.get("lineage") or {}
    return {
        "card_version": CARD_VERSION,
        "model": {
            "version": version.number,
            "spec": version.spec.label,
            "spec_sha256": version.spec.sha256,
            "status": version.status,
            "mode": version.mode,
            "run": str(version.run_id),
            "created_at": version.created_at.isoformat(),
            "created_by": version.created_by_name,
            "horizon": version.spec.body.get("horizon"),
            "grain": version.spec.body.get("grain"),
            "seed": version.spec.body.get("seed"),
            "weights": version.spec.body.get("weights") or {},
            "why": version.backtest.get("reason") or "",
        },
        "intended_use": intended_use(version, lineage),
        "data": lineage.get("data"),
        "classes": lineage.get("classes") or {},
        "partition": {
            "judged_fit": version.evaluation_window,
            "serving_fit": version.serving_window,
        },
        "features": list(features_of(version)),
        "scores": scores,
        "judgement": _judgement(report),
        "limits": limits_of(version, lineage=lineage, scores=scores, report=report),
        "lineage": {
            "recorded": bool(lineage),
            "contracts": lineage.get("contracts") or [],
            "batches": lineage.get("batches") or [],
            "earlier_batches": lineage.get("earlier_batches") or {},
            "code": lineage.get("code"),
            "libraries": (version.manifest.get("serving") or {}).get("libraries") or {},
            "follows": lineage.get("follows") or {},
            "reason": lineage.get("reason") or "",
        },
        "artifacts": [_file(one) for one in artifacts],
    }


def intended_use(version: ModelVersion, lineage: Mapping[str, Any]) -> str:
    """What the forecasts are of, how far ahead and for what."""
    body, data = version.spec.body, lineage.get("data") or {}
    step = "week" if body.get("grain") == "W" else "day"
    horizon = int(body.get("horizon") or 0)
    who = f"{data['series']:,} series of {_count(data['stores'], 'store')}" if data.get("series") else "each series"
    sources = ", ".join(sorted({row["source"] for row in lineage.get("contracts") or []}))
    text = (
        f"Expected demand in units a {step}, with 80% and 95% intervals, of {who}"
        f"{f' ({sources})' if sources else ''}, for {_count(horizon, step)} after the newest data; "
        "for deciding how much to order."
    )
    return f"{text} Demand is what would have sold: days on which the stock ran out are not learned as low demand."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def overall_of(report: Any) -> dict[str, Any]:
    """The overall scores of a stored score set, whether it stands alone or beside more."""
    inner = report.get("scores") if isinstance(report, dict) else None
    scores = inner if isinstance(inner, dict) and "overall" in inner else report
    return scores if isinstance(scores, dict) else {}


def scores_by_basis(version: ModelVersion, realised: AccuracyRecord | None) -> dict[str, Any]:
    """What is known of each basis, overall and by week ahead, class, store and level; None where it was not scored."""
    found: dict[str, Any] = {
        "backtest": _basis(overall_of(version.backtest), origins=version.backtest.get("origins")),
        "holdout": _basis(overall_of(version.evaluation), origins=version.evaluation.get("origins")),
        "realised": None,
    }
    if found["holdout"] is not None:
        found["holdout"]["business"] = version.evaluation.get("business") or {}
        found["holdout"]["rows_sha256"] = version.evaluation.get("rows_sha256")
    if realised is not None:
        found["realised"] = _basis(
            realised.scores,
            forecast_from=realised.forecast_set.origin_date.isoformat(),
            actuals_until=realised.actuals_until.isoformat(),
            wape_naive=realised.wape_naive,
        )
    return found


def _basis(scores: Mapping[str, Any], **facts: Any) -> dict[str, Any] | None:
    if not scores.get("overall"):
        return None
    groups = {name: scores[name] for name in GROUPS if scores.get(name)}
    return {"overall": scores["overall"], **groups, **{k: v for k, v in facts.items() if v not in (None, [])}}


def _judgement(report: GateReport | None) -> dict[str, Any] | None:
    if report is None:
        return None
    return {
        "verdict": report.verdict,
        "against": report.champion.label if report.champion is not None else "seasonal naive",
        "policy": report.policy.version,
        "judged_at": report.created_at.isoformat(),
        "sentence": report.evidence.get("sentence", ""),
        "failing": [row["name"] for row in report.results if not row.get("passed")],
        "sha256": report.sha256,
    }


def _file(one: ModelArtifact) -> dict[str, Any]:
    return {"role": one.role, "name": one.name, "bytes": one.bytes, "sha256": one.sha256}


# --- features ---------------------------------------------------------------------------------------------------------


def families_in(version: ModelVersion) -> dict[str, dict[str, Any]]:
    """What the serving fit's manifest tells of each family; of several segments, of the first that tells features."""
    serving = version.manifest.get("serving") or {}
    told: dict[str, dict[str, Any]] = {name: dict(body) for name, body in (serving.get("families") or {}).items()}
    for segment in serving.get("segments") or []:
        for name, body in (segment.get("families") or {}).items():
            if "features" in body and "features" not in told.get(name, {}):
                told[name] = {**told.get(name, {}), **body}
    return told


def features_of(version: ModelVersion) -> Iterator[dict[str, Any]]:
    """Each family with what it sees: feature names with their meaning, or its setting where it has no features."""
    body = version.spec.body
    for name in body.get("families") or []:
        told = families_in(version).get(name, {})
        features = [
            {"name": feature, **_words(feature, told, str(body.get("grain") or "D"))}
            for feature in told.get("features") or []
        ]
        setting = {k: told[k] for k in ("season_length", "seasons", "members", "series", "declined") if k in told}
        if isinstance(setting.get("declined"), list):
            setting["declined"] = len(setting["declined"])
        yield {
            "family": name,
            "trained_until": told.get("trained_until"),
            "features": features,
            "setting": setting,
        }


def _words(feature: str, told: Mapping[str, Any], grain: str) -> dict[str, str]:
    words = feature_words(feature, float("nan"), grain=grain, level=1.0, codes=told.get("codes") or {}, lead=0)
    return {"group": words.group_label, "meaning": words.label}
