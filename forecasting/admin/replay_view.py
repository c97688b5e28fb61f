"""What the pages of a replay show, from its days and its summary."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from django.utils.safestring import mark_safe

from forecasting.engine.replay.charts import cost_svg, happened, timeline_svg
from forecasting.engine.replay.lanes import GOVERNED, LANES, TITLES
from forecasting.engine.replay.report import step_word
from forecasting.models import Replay, ReplayDay, ReplayDecision, ReplayDecisionState
from ledger.admin.runs import progress_of
from ledger.models import Run
from ledger.templatetags.forecourt import day as day_text

HAPPENED = {
    "cadence": "due by the calendar", "error_drift": "error drifted", "input_drift": "inputs drifted",
    "refused": "gate said no", "rejected": "reviewer said no", "promoted": "promoted", "refreshed": "refreshed",
    "orders": "orders changed", "first": "first training",
}  # fmt: skip
SHOWN_DAYS = 28


def replay_facts(replay: Replay, address: Callable[[int], str]) -> dict[str, Any]:
    """The page of a replay: progress while it lives, its worlds, charts and days."""
    lines = list(replay.days.values_list("line", flat=True))
    run = Run.objects.filter(pk=replay.run_id).first() if replay.run_id is not None else None
    summary = replay.summary or {"config": replay.config, "trainings": sum("training" in one for one in lines),
                                 "first_day": str(replay.first_day), "last_day": str(replay.last_day)}  # fmt: skip
    last = lines[-1] if lines else None
    return {
        "unit": step_word(replay.config),
        "run": run,
        "progress": progress_of(run) if run is not None and run.is_live else None,
        "run_title": "Replay",
        "waiting": ReplayDecision.objects.filter(replay=replay, state=ReplayDecisionState.PENDING).first(),
        "last": last,
        "last_lanes": _accounts(last) if last is not None else [],
        "lanes": _in_order((replay.summary or {}).get("lanes", {})),
        "value": [
            {"title": TITLES[name], **one} for name, one in _in_order((replay.summary or {}).get("value", {}))
        ],
        "overrides": (replay.summary or {}).get("overrides"),
        "strategy": (replay.summary or {}).get("strategy"),
        # Made by our own code of escaped words and numbers.
        "cost_chart": mark_safe(cost_svg(summary, lines, inline=True)) if lines else "",  # noqa: S308
        "timeline": mark_safe(timeline_svg(summary, lines, inline=True, address=address)) if lines else "",  # noqa: S308
        "days": [_row(one, address) for one in lines],
        "decisions": [
            {**one, "page": address(_step_of(replay, one["day"]))}
            for one in (replay.summary or {}).get("hitl_decisions", [])
        ],
        "files": replay.files,
    }  # fmt: skip


def day_facts(replay: Replay, known: ReplayDay) -> dict[str, Any]:
    """The page of a day. Only days up to it are read."""
    past = list(replay.days.filter(step__lte=known.step, step__gt=known.step - SHOWN_DAYS))
    line = known.line
    return {
        "unit": step_word(replay.config),
        "line": line,
        "day": known.day,
        "is_eve": known.step < 0,
        "before": replay.days.filter(step=known.step - 1).first(),
        "after": replay.days.filter(step=known.step + 1).first(),
        "lanes": _accounts(line),
        "serves": [(TITLES[name], label) for name, label in _in_order(line.get("serves", {}))],
        "triggers": [HAPPENED.get(name, name) for name in line.get("triggers", [])],
        "chart": _chart(replay, past, known),
        "questions": list(ReplayDecision.objects.filter(replay=replay, day=known.day)),
    }


def _accounts(line: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"title": TITLES[name], **one} for name, one in _in_order(line.get("lanes", {}))]


def _in_order(worlds: dict[str, Any]) -> list[tuple[str, Any]]:
    """The worlds in the order that they are told of; the database keeps none."""
    return [(name, worlds[name]) for name in LANES if name in worlds]


def _row(line: dict[str, Any], address: Callable[[int], str]) -> dict[str, Any]:
    own = line.get("lanes", {}).get(GOVERNED, {})
    return {
        "day": line["day"],
        "page": address(line["step"]),
        "actual": line.get("actual"),
        "wape": line.get("error", {}).get("wape"),
        "lost": own.get("lost"),
        "cost": own.get("cost"),
        "happened": ", ".join(HAPPENED[name] for name in happened(line)),
    }


def _chart(replay: Replay, past: list[ReplayDay], known: ReplayDay) -> dict[str, Any] | None:
    """What had sold, and what was forecast ahead at the last order, all series together."""
    sold = {one.day.isoformat(): one.line["actual"] for one in past if "actual" in one.line}
    ordered = next((one for one in reversed(past) if "ahead" in one.line), None)
    ahead: dict[str, float] = {}
    if ordered is not None:
        step = 7 if replay.config["grain"] == "W" else 1
        for k, value in enumerate(ordered.line["ahead"], start=1):
            ahead[(ordered.day + timedelta(days=k * step)).isoformat()] = value
    days = sorted({*sold, *ahead})
    if not days:
        return None
    return {
        "type": "line",
        "labels": [day_text(one) for one in days],
        "labelTitle": "Day",
        "series": [
            {"name": "Sold", "role": "actual", "values": [sold.get(one) for one in days]},
            {"name": "Forecast", "role": "forecast", "values": [ahead.get(one) for one in days]},
        ],
        "unit": "units",
        "yTitle": "Units",
        "summary": f"Units sold up to {day_text(known.day)}, and what was forecast when orders were last placed.",
        "note": "Nothing of later days is shown here.",
    }


def _step_of(replay: Replay, day: str) -> int:
    """The step that ends on a day; -1 is the eve."""
    step_days = 7 if replay.config["grain"] == "W" else 1
    return (date.fromisoformat(day) - replay.first_day + timedelta(days=1)).days // step_days - 1
