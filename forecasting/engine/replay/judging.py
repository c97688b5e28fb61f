"""The gate inside the walk: the proposed spec against what a lane serves, on days that were sealed from both."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pandas as pd

from forecasting.engine.gates import CHAMPION, NAIVE, GateInputs, GateReport, Side, judge
from forecasting.engine.replay.config import FLOOR, ReplayConfig
from forecasting.engine.replay.training import Training
from forecasting.engine.train import Assessment, cost_evidence
from forecasting.engine.types import ModelSpec

SOUND = {"slo_critical": 0, "open_sev1": 0, "readiness": "production_tier_candidate"}
"""Operations of past days are not kept; a replay takes them as sound, and its manifest says so."""
_SHOWN = ("wape", "bias", "fva", "coverage80")


def promise_of(training: Training, spec: ModelSpec) -> dict[str, Any]:
    """What a fit of this spec is held to: its errors on the sealed days and on the rolling origins."""
    assessment, frame = training.assessment(spec)
    rows = frame.loc[~frame["censored"] & frame["y"].notna() & frame["naive"].notna()]
    actual = float(rows["y"].abs().sum())
    naive = float((rows["naive"] - rows["y"]).abs().sum()) / actual if actual > 0 else None
    backtest = training.evaluation(spec).scores.get("wape").value
    return {"wape": assessment.scores.get("wape").value, "wape_naive": naive, "backtest_wape": backtest}


def gate(
    training: Training, champion: ModelSpec | None, judged_specs: Mapping[str, Any], config: ReplayConfig
) -> tuple[GateReport, dict[str, Any]]:
    """The verdict on the proposed spec, and what a reviewer is shown. champion: None where the floor serves.

    judged_specs: spec hash -> days on which specs were judged before, so that luck of the many is paid for.
    """
    rival = champion if champion is not None else training.single(FLOOR)
    ours, _ = training.assessment(training.proposed)
    theirs, _ = training.assessment(rival)
    spread = cost_evidence(theirs, ours, seed=config.gates.bootstrap_seed, resamples=config.gates.bootstrap_resamples)
    report = judge(
        GateInputs(
            candidate=Side.of(ours, manifest_valid=True),
            champion=Side.of(theirs, manifest_valid=True if champion is not None else None),
            evidence=spread,
            champion_kind=CHAMPION if champion is not None else NAIVE,
            holdout_sealed=training.window.train_end < (training.window.holdout_start or training.day),
            holdout_accesses=1,
            reasons_given=True,
            holdout_candidates=_candidates(training, judged_specs, config),
            series_origins=ours.series_origins,
            holdout_days=ours.holdout_days,
            **SOUND,  # type: ignore[arg-type]  # names and kinds are those of the fields
        ),
        config.gates,
    )
    shown = {
        "proposed": training.proposed.label,
        "champion": champion.label if champion is not None else None,
        "verdict": report.verdict,
        "failing": list(report.failing),
        "gates": [[r.name, bool(r.passed), r.reason] for r in report.results],
        "p_lower": spread.p_lower,
        "cost_change": spread.change,
        "upper95": spread.upper95,
        "scores": {side: {name: one.scores.get(name).value for name in _SHOWN}
                   for side, one in (("proposed", ours), ("champion", theirs))},
        "costs": {side: one.business.total_cost.value for side, one in (("proposed", ours), ("champion", theirs))},
        "worst_store": _worst_store(ours, theirs, training),
        "sealed": [str(training.window.holdout_start), str(training.window.holdout_end)],
        "rows_sha256": ours.rows_sha256,
    }  # fmt: skip
    return report, shown


def guard(training: Training, lane_facts: Mapping[str, Any], spec: ModelSpec, realised: float | None,
          config: ReplayConfig) -> tuple[bool, str]:  # fmt: skip
    """Whether a refresh of the lane's spec may serve: its errors within what was approved. Fails closed."""
    now, before = training.evaluation(spec).scores.get("wape").value, lane_facts.get("approved_backtest_wape")
    if now is None or before is None:
        return False, "the error of the rolling origins is not known"
    limit = before * config.max_backtest_wape_ratio
    if now > limit:
        return False, f"backtest WAPE {now:.4f} > {limit:.4f}, what was approved × {config.max_backtest_wape_ratio:g}"
    promised = lane_facts.get("approved_wape")
    if realised is not None and promised is not None and realised > promised * config.max_realised_wape_ratio:
        most = promised * config.max_realised_wape_ratio
        return (
            False,
            f"realised WAPE {realised:.4f} > {most:.4f}, what was approved × {config.max_realised_wape_ratio:g}",
        )
    return True, f"backtest WAPE {now:.4f} ≤ {limit:.4f}"


def _candidates(training: Training, judged: Mapping[str, Any], config: ReplayConfig) -> int:
    """Specs judged on about these days: their sealed days share at least half with these; this one included."""
    half = timedelta(days=config.sealed_days // 2)
    near = {sha for sha, days in judged.items() for day in days if training.day - pd.Timestamp(day).date() <= half}
    return len(near | {training.proposed.sha256})


def _worst_store(ours: Assessment, theirs: Assessment, training: Training) -> dict[str, Any] | None:
    """The store whose cost would rise most, as a share of what it costs now."""
    mine, other = ours.business.series_cost, theirs.business.series_cost
    static = training.known.static
    if mine is None or other is None or "store_id" not in static.columns:
        return None
    stores = static.set_index("unique_id")["store_id"].astype(str)
    before = other.groupby(stores.reindex(other.index)).sum()
    after = mine.groupby(stores.reindex(mine.index)).sum().reindex(before.index)
    rise = ((after - before) / before.where(before > 0)).dropna()
    if not len(rise):
        return None
    worst = sorted(((-float(value), str(name)) for name, value in rise.items()))[0]
    return {"store": worst[1], "rise": round(-worst[0], 6)}
