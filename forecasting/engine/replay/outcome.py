"""What a finished walk comes to: the summary, the partition manifest, the decisions, the strategy gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forecasting.engine.replay.config import Portfolio, ReplayConfig
from forecasting.engine.replay.judging import SOUND
from forecasting.engine.replay.knowledge import Knowledge
from forecasting.engine.replay.lanes import GOVERNED, LANES, NAIVE, PERFECT, TITLES, UNREVIEWED
from forecasting.engine.replay.state import State
from forecasting.engine.types import canonical_json, sha256_text

FORMAT = "forecourt-replay/1"
_LIMITED = ("mape_nonzero", "stockout_miss_rate", "overstock_rate", "critical_failures")


@dataclass(frozen=True)
class Outcome:
    """Everything that a replay leaves behind, as JSON values; the same replay gives the same bytes."""

    manifest: dict[str, Any]
    summary: dict[str, Any]
    strategy: dict[str, Any]
    decisions: list[dict[str, Any]]
    lines: list[dict[str, Any]]


def outcome_of(
    state: State, lines: Sequence[dict[str, Any]], knowledge: Knowledge, config: ReplayConfig, *, fingerprint: str = ""
) -> Outcome:
    """Of a finished walk. fingerprint: of the content that the database gave, where it comes from one."""
    manifest = manifest_of(state, knowledge, config, fingerprint)
    strategy = strategy_of(state, config)
    lanes = {name: _lane(state, name) for name in LANES}
    triggers = Counter(name for line in lines for name in line.get("triggers", []))
    given = Counter(f"{one['kind']}:{one['verdict']}:{one['code']}" for one in state.decisions)
    summary = {
        "format": FORMAT,
        "config": config.to_json(),
        "config_sha256": config.sha256,
        "days": config.holdout_days,
        "first_day": config.start.isoformat(),
        "last_day": config.end.isoformat(),
        "series": len(knowledge.sheet.ids),
        "late_rows": knowledge.late_rows,
        "trainings": len(state.trainings),
        "triggers": dict(sorted(triggers.items())),
        "decisions": dict(sorted(given.items())),
        "failures": list(state.failures),
        "lanes": lanes,
        "value": _value(lanes),
        "overrides": _overrides(state, lines, lanes),
        "strategy": strategy,
        "log_sha256": sha256_text("".join(canonical_json(line) + "\n" for line in lines)),
        "manifest_sha256": sha256_text(canonical_json(manifest)),
        "perfect_curve": list(state.perfect_curve),
    }
    return Outcome(manifest, {**summary, "sentence": sentence(summary)}, strategy, list(state.decisions), list(lines))


def manifest_of(state: State, knowledge: Knowledge, config: ReplayConfig, fingerprint: str) -> dict[str, Any]:
    """Which days were kept from whom: the partition of the replay, and of each training in it."""
    return {
        "format": FORMAT,
        "history_from": knowledge.whole.first_day.isoformat(),
        "known_on_the_eve_until": config.eve.isoformat(),
        "holdout_start": config.start.isoformat(),
        "holdout_end": config.end.isoformat(),
        "fingerprint": fingerprint,
        "series": len(knowledge.sheet.ids),
        "late_rows": knowledge.late_rows,
        "late_rows_rule": "a row that came in late is unknown before it came, then booked and learned; what stood in "
        "its place before is not kept",
        "plans_rule": "plans count as known ahead to the end of the horizon, as they stand now",
        "operations_rule": f"operations of past days are not kept and taken as sound: {canonical_json(SOUND)}",
        "perfect_rule": "perfect knowledge looks ahead by design; it is in no daily line",
        "trainings": list(state.trainings),
    }


def _lane(state: State, name: str) -> dict[str, Any]:
    lane, sums = state.lanes[name], state.tally.get(name, {})
    paths = sums.get("n", 0.0)
    return {
        "title": TITLES[name],
        **lane.outcome(),
        "stockout_miss_rate": _share(sums.get("missed", 0.0), paths),
        "overstock_rate": _share(sums.get("over", 0.0), sums.get("ordered", 0.0)),
        "orders_judged": int(paths),
    }


def _value(lanes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The governed world beside each other one: differences, and the cost as a share of the other's."""
    own, out = lanes[GOVERNED], {}
    for name, other in lanes.items():
        if name == GOVERNED:
            continue
        ours, theirs = own["total_cost"], other["total_cost"]
        known = ours is not None and theirs is not None
        out[name] = {
            "cost": round(ours - theirs, 4) if known else None,
            "cost_share": round(ours / theirs - 1.0, 6) if known and theirs > 0 else None,
            "lost_sales_qty": round(own["lost_sales_qty"] - other["lost_sales_qty"], 4),
            "short_days": own["short_days"] - other["short_days"],
            "promotions": own["promotions"] - other["promotions"],
        }
    return out


def _overrides(
    state: State, lines: Sequence[Mapping[str, Any]], lanes: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What the reviewer's changes of orders were worth. fva: forecast value added, 1 - error of the changed levels by
    error of the proposed ones, on the lines that were changed and whose demand is known."""
    before, after = state.tally.get("touched.proposed", {}), state.tally.get("touched.governed", {})
    wrong, left = before.get("level_error", 0.0), after.get("level_error", 0.0)
    figures = ("lost_sales_qty", "mean_stock", "cost_stockout", "cost_overstock", "total_cost")
    judged = int(before.get("n", 0))
    why = "what was proposed met the demand exactly, so there is no error to take a share of" if judged else None
    return {
        "changed_lines": sum(line.get("orders", {}).get("changed", 0) for line in lines),
        "judged_lines": judged,
        "fva": round(1.0 - left / wrong, 6) if wrong else None,
        "with": {name: lanes[GOVERNED][name] for name in figures},
        "without": {name: lanes[UNREVIEWED][name] for name in figures},
        "reason": None if wrong else why or "no changed line could be judged",
    }


# --- the strategy gate ------------------------------------------------------------------------------------------------


def strategy_of(state: State, config: ReplayConfig) -> dict[str, Any]:
    """The baseline against the limits; where it fails (or always, if asked), its mixtures with the partner family."""
    limits = {name: getattr(config.limits, name) for name in _LIMITED}
    baseline = _point(state, 1.0, limits)
    tried = config.portfolio == Portfolio.ON or (config.portfolio == Portfolio.AUTO and not baseline["passed"])
    points = [_point(state, share, limits) for share in config.limits.shares] if tried and state.partner else []
    passing = [one for one in points if one["passed"]]
    if baseline["passed"] and config.portfolio != Portfolio.ON:
        mode, share, why = "single", 1.0, "The baseline keeps every limit; mixtures were not needed."
    elif not points:
        why = "Mixtures were switched off." if config.portfolio == Portfolio.OFF else "There is no other family to mix."
        mode, share = "single", 1.0
        why = f"{'The baseline keeps every limit. ' if baseline['passed'] else 'The baseline fails. '}{why}"
    elif passing:
        best = min(passing, key=lambda one: (one["cost"] is None, one["cost"] or 0.0, -one["share"]))
        share = best["share"]
        mode = "single" if share == 1.0 else "ensemble"
        told = "costs least" if best["cost"] is not None else "lies nearest to it; costs are not known"
        why = f"Of the mixtures that keep every limit, {share:.0%} of the baseline {told}."
    else:
        mode, share, why = "single", 1.0, "No mixture keeps every limit, so the baseline stays, and the gate says no."
    return {
        "limits": limits,
        "portfolio": config.portfolio.value,
        "partner": state.partner.get("family"),
        "baseline": baseline,
        "tried": bool(points),
        "points": points,
        "mode": mode,
        "share": share,
        "passed": bool(passing) if points else baseline["passed"],
        "reason": why,
    }


def _point(state: State, share: float, limits: Mapping[str, Any]) -> dict[str, Any]:
    sums = state.tally.get(f"mix{share:g}", {})
    figures = {
        "mape_nonzero": _share(sums.get("ape", 0.0), sums.get("ape_rows", 0.0)),
        "stockout_miss_rate": _share(sums.get("missed", 0.0), sums.get("n", 0.0)),
        "overstock_rate": _share(sums.get("over", 0.0), sums.get("ordered", 0.0)),
        "critical_failures": len(state.failures),
    }
    failing = [name for name, value in figures.items() if value is None or value > limits[name]]
    lane = state.lanes[GOVERNED]
    cost = sums.get("cost_stockout", 0.0) + sums.get("cost_overstock", 0.0) if lane.total_cost is not None else None
    return {"share": share, **figures, "cost": None if cost is None else round(cost, 4), "failing": failing,
            "passed": not failing}  # fmt: skip


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 6) if whole else None


def sentence(summary: Mapping[str, Any]) -> str:
    """One sentence for people."""
    own, perfect = summary["lanes"][GOVERNED], summary["lanes"][PERFECT]
    days, served = summary["days"], own["service_level"]
    level = "–" if served is None else f"{served:.1%}"
    start = f"Over {days} days the governance served {level} of the demand with {own['promotions']} promotion(s)"
    change = summary["value"][NAIVE]["cost_share"]
    if change is None:
        return f"{start}; what that cost is not known, because prices or costs are missing."
    unit = summary["config"]["currency"]
    amounts = f"{own['total_cost']:,.0f}{' ' + unit if unit else ''}"
    beside = f"{abs(change):.1%} {'less' if change < 0 else 'more'} than seasonal naive"
    left = own["total_cost"] - perfect["total_cost"]
    return f"{start} and cost {amounts}, {beside}; perfect knowledge would have saved another {left:,.0f}."
