"""A replay that has ended and a question of it, for the pages; nothing of it was walked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from forecasting.engine.replay.config import ReplayConfig
from forecasting.engine.replay.lanes import LANES, PERFECT, TITLES
from forecasting.engine.types import sha256_text
from forecasting.models import Replay, ReplayDay, ReplayDecision, ReplayState
from forecasting.tests.factories import AS_OF

GATES = [["total_cost", True, "total cost 90 ≤ 99"], ["wape", True, "wape 0.3 ≤ 0.4"]]


def make_replay_rows(person: User | None = None) -> Replay:
    """A finished replay of two days with its eve, files and a pending question."""
    config = ReplayConfig(AS_OF - timedelta(days=1), AS_OF)
    lanes = {name: _lane(name) for name in LANES}
    point = {"share": 1.0, "mape_nonzero": 0.2, "stockout_miss_rate": 0.05, "overstock_rate": 0.3, "cost": 9.0,
             "critical_failures": 0, "failing": [], "passed": True}  # fmt: skip
    same = {"lost_sales_qty": 3.0, "mean_stock": 2.0, "total_cost": 30.0}
    path = default_storage.save("replay/sample/replay_summary.md", ContentFile(b"# Replay\n"))
    replay = Replay.objects.create(
        state=ReplayState.RUNNING, config=config.to_json(), first_day=config.start, last_day=config.end, steps=2,
        created_by=person, created_by_name=person.username if person is not None else "system", reason="To see",
    )  # fmt: skip
    for step in (-1, 0, 1):
        day = config.day(step)
        ReplayDay.objects.create(replay=replay, step=step, day=day, line=_line(step, day.isoformat()))
    replay.state, replay.step, replay.sentence = ReplayState.FINISHED, 1, "It served 97% of the demand."
    replay.finished_at = timezone.now()
    replay.files = [{"name": "replay_summary.md", "path": path, "sha256": sha256_text("# Replay\n"), "bytes": 9}]
    replay.summary = {
        "config": config.to_json(), "trainings": 1, "first_day": str(config.start), "last_day": str(config.end),
        "sentence": replay.sentence, "lanes": lanes, "perfect_curve": [1.0, 2.0],
        "value": {name: {"cost": -5.0, "cost_share": -0.1, "lost_sales_qty": -2.0, "short_days": -1, "promotions": 1}
                  for name in LANES[1:]},
        "overrides": {"changed_lines": 1, "judged_lines": 1, "fva": 0.2, "with": same, "without": same, "reason": None},
        "strategy": {"reason": "The baseline keeps every limit.", "passed": True, "points": [], "baseline": point,
                     "limits": {name: point[name] for name in ("mape_nonzero", "stockout_miss_rate", "overstock_rate",
                                                               "critical_failures")}},
        "hitl_decisions": [{"day": str(config.eve), "kind": "promotion", "verdict": "approve", "code": "first_champion",
                            "by": "policy", "rule": "R4_first", "reason": "It beats seasonal naive", "edits": {}}],
    }  # fmt: skip
    replay.save()
    question = {
        "proposed": "single_lightgbm", "champion": None, "verdict": "eligible", "failing": [], "gates": GATES,
        "p_lower": 0.97, "cost_change": -0.1, "upper95": -0.02, "costs": {"proposed": 90.0, "champion": 100.0},
        "scores": {side: {"wape": 0.3, "coverage80": 0.8} for side in ("proposed", "champion")},
        "worst_store": {"store": "S1", "rise": 0.01}, "sealed": ["2026-03-01", "2026-03-28"],
    }  # fmt: skip
    ReplayDecision.objects.create(
        replay=replay, key=f"promotion:{config.eve}", kind="promotion", day=config.eve, question=question,
        question_sha256="a" * 64, asked_by=person, asked_by_name=replay.created_by_name,
    )  # fmt: skip
    return replay


def _lane(name: str) -> dict[str, Any]:
    same = {"title": TITLES[name], "service_level": 0.97, "lost_sales_qty": 3.0, "short_days": 2, "mean_stock": 2.0}
    return {**same, "cost_stockout": 10.0, "cost_overstock": 20.0, "total_cost": 30.0, "wape": 0.3, "promotions": 1}


def _line(step: int, day: str) -> dict[str, Any]:
    line: dict[str, Any] = {
        "day": day, "step": step, "triggers": ["first"] if step < 0 else [], "ahead": [40.0, 41.0],
        "orders": {"series": 4, "units": 100.0, "units_final": 90.0, "questioned": 1, "changed": 1, "by": "policy"},
        "serves": {name: "single_lightgbm" for name in LANES if name != PERFECT},
    }  # fmt: skip
    if step < 0:
        training = {"label": "single_lightgbm", "reason": "best alone", "trained_until": day, "data_sha256": "b" * 64}
        gate = {"verdict": "eligible", "failing": [], "p_lower": 0.97, "cost_change": -0.1}
        decided = {
            "outcome": "promoted",
            "verdict": "approve",
            "reason": "It beats naive",
            "by": "policy",
            "rule": "R4",
        }
        return {**line, "training": training, "gate": gate, "decision": decided}
    lane = {"lost": 1.0, "left": 20.0, "short": 1, "cost": 2.0, "total_cost": 2.0 + step}
    return {
        **line, "actual": 40.0, "known": {"rows": 4, "late": 0, "series": 4},
        "error": {"rows": 4, "wape": 0.3, "inside80": 3},
        "drift": {"error": {"severity": "", "reason": "within 1.25 times"}, "inputs": []},
        "lanes": {name: lane for name in LANES if name != PERFECT},
    }  # fmt: skip
