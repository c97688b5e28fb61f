"""The walk: day by day, with the clock set to each. Reveal, score, detect, train, judge, decide, serve, order.

Each day goes through phases, and a checkpoint stands after each; a phase that was cut short is done again from the
checkpoint before it, with the same outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np

from forecasting.engine.errors import EngineError
from forecasting.engine.replay.config import ReplayConfig
from forecasting.engine.replay.deciding import apply_offer, promotion_question
from forecasting.engine.replay.drift import error_drift, input_drift, reference
from forecasting.engine.replay.knowledge import Knowledge
from forecasting.engine.replay.lanes import GOVERNED, LANES, NAIVE, PERFECT, Economics
from forecasting.engine.replay.offering import make_offer
from forecasting.engine.replay.ordering import place_orders
from forecasting.engine.replay.review import Reviewer
from forecasting.engine.replay.state import DECIDE, DONE, ORDER, REVEAL, TRAIN, State, close_paths, tally_of
from forecasting.engine.replay.store import Store

Progress = Callable[[int, int, str], None]
GONE = "gone"


class Walk:
    """One replay under way. store: where it is kept; what it finds there of the same data it goes on from, and what is
    of others it drops."""

    def __init__(
        self,
        knowledge: Knowledge,
        config: ReplayConfig,
        store: Store,
        reviewer: Reviewer,
        *,
        executor: Executor | None = None,
    ) -> None:
        self.knowledge, self.config, self.store, self.reviewer = knowledge, config, store, reviewer
        self.executor = executor
        self._of = f"{config.sha256}:{knowledge.sha256}"
        found = store.newest()
        if found is not None and found[0].get("of") == self._of:
            self.state = State.of_parts(*found)
        else:
            if found is not None:  # of other data, as where an attribute or a delivery's day was changed meanwhile
                store.clear()
            self.state = State.begin(config, len(knowledge.sheet.ids))

    @property
    def done(self) -> bool:
        """Whether the last day is behind it."""
        return self.state.phase == DONE

    def run(self, progress: Progress | None = None, *, kept: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Walk to the end. kept: called with each day's line once it is kept. Raises Paused, EngineError."""
        while not self.done:
            step = self.state.step
            line = self.advance()
            if line is not None and kept is not None:
                kept(line)
            if progress is not None:
                progress(step + 1, self.config.steps + 1, self._message(line))

    def advance(self) -> dict[str, Any] | None:
        """Do the next phase; the day's line where this ended the day. Raises Paused, with everything as it was."""
        state = self.state
        line = None
        if state.phase == REVEAL:
            self._reveal()
        elif state.phase == TRAIN:
            self._train()
        elif state.phase == DECIDE:
            self._decide()
        elif state.phase == ORDER:
            line = self._order()
        state.number += 1
        text, arrays = state.to_parts()
        self.store.save(state.number, {**text, "of": self._of}, arrays)
        return line

    # --- phases ---
    def _reveal(self) -> None:
        """Let the day's rows come, book them, score what was forecast of them, and look for drift."""
        state, config, sheet = self.state, self.config, self.knowledge.sheet
        step = state.step
        came = sheet.values(step, step, at=step)[0]
        known = np.isfinite(came)
        late, late_rows = self._late(step)
        demand = np.nan_to_num(came) + late
        actual = np.where(sheet.closed[sheet.row(step)], np.nan, came)
        money = Economics(state.cu, state.co, state.cu, "")
        state.line = {
            "day": config.day(step).isoformat(),
            "step": step,
            "known": {"rows": int(known.sum()), "late": late_rows,
                      "series": int(sheet.exists[sheet.row(step)].sum())},
            "actual": round(float(np.nansum(came)), 4),
        }  # fmt: skip
        shown: dict[str, Any] = {}
        governed: dict[str, float] = {}
        naive: dict[str, float] = {}
        for name, lane in state.lanes.items():
            day = lane.live_through(demand, known, money, config.protection_steps)
            scored = lane.score(step, actual)
            if name == PERFECT:
                state.perfect_curve.append(round(lane.total_cost or 0.0, 4))
                continue  # it knows what is to come, so it must not be read before the end
            total = lane.total_cost
            shown[name] = {
                "lost": round(day["lost"], 4),
                "left": round(day["left_over"], 4),
                "short": int(day["short_days"]),
                "cost": None if total is None else round(day["cost_stockout"] + day["cost_overstock"], 4),
                "total_cost": None if total is None else round(total, 4),
            }
            governed, naive = (scored if name == GOVERNED else governed), (scored if name == NAIVE else naive)
        close_paths(state, step, config.protection_steps, np.nan_to_num(came), known)
        self._mixtures(step, actual)
        self._watch(governed, naive)
        state.line |= {"lanes": shown, "error": _error_of(governed), "serves": self._serves()}
        self._triggers(step)
        state.phase = TRAIN if state.triggers else ORDER

    def _triggers(self, step: int) -> None:
        state, config = self.state, self.config
        slipped = error_drift(state.watched, state.lanes[GOVERNED].facts, config)
        moved = input_drift(self.knowledge.sheet, step, state.reference, config)
        facts = state.lanes[GOVERNED].facts
        if slipped.severity == GONE and not facts.get("gone"):  # once for what serves
            facts["gone"] = True
            state.failures.append(f"{config.day(step)}: the model in service went astray ({slipped.reason})")
        state.input_drift = moved
        state.line["drift"] = {
            "error": {"severity": slipped.severity, "ratio": _rounded(slipped.ratio), "reason": slipped.reason},
            "inputs": moved,
        }
        asked = ["cadence"] if config.due(step) else []
        if step - state.trained_step >= config.in_steps(config.drift.rest_days):
            asked += ["error_drift"] if slipped.detected else []
            asked += ["input_drift"] if moved else []
        state.triggers = asked if step + 1 < config.steps else []  # nothing would be served any more
        state.line["triggers"] = list(state.triggers)

    def _train(self) -> None:
        """Train on what is known, judge what was proposed in each lane, keep the models that may serve."""
        state, config = self.state, self.config
        day = config.day(state.step)
        if state.step < 0:
            state.line = {"day": day.isoformat(), "step": -1, "triggers": list(state.triggers)}
        try:
            state.offer = make_offer(state, self.knowledge, config, self.store, executor=self.executor)
        except EngineError as error:
            if state.step < 0:
                raise
            state.failures.append(f"{day}: the training failed ({error})")
            state.line["training"] = {"failed": str(error)}
            state.phase = ORDER
            return
        state.trained_step = state.step
        state.reference = reference(self.knowledge.sheet, state.step, config)
        state.line["training"] = {
            name: state.offer[name] for name in ("label", "sha", "reason", "trained_until", "data_sha256")
        }
        state.line["gate"] = {name: state.offer["gates"].get(GOVERNED, {}).get(name)
                              for name in ("verdict", "failing", "p_lower", "cost_change")}  # fmt: skip
        state.phase = DECIDE

    def _decide(self) -> None:
        """Ask whoever decides, then let every lane serve what its rule says."""
        state = self.state
        question = promotion_question(state, self.config)
        decision = self.reviewer.decide(question) if question is not None else None
        apply_offer(state, self.config, question, decision)
        if state.line.get("decision", {}).get("promoted"):
            state.promoted_step = state.step
        state.line["serves"] = self._serves()
        wanted = {lane.model for lane in state.lanes.values()} | {state.partner.get("model", "")}
        self.store.drop_models(wanted - {""})
        state.offer = None
        state.phase = ORDER

    def _order(self) -> dict[str, Any]:
        """Forecast and order where it is due; keep the day's line; the next day begins."""
        state, config = self.state, self.config
        if config.orders_due(state.step):
            place_orders(state, self.knowledge, config, self.store, self.reviewer)
        line = dict(state.line)
        self.store.keep_line(state.step + 1, line)
        state.step += 1
        state.line, state.triggers = {}, []
        state.phase = REVEAL if state.step < config.steps else DONE
        return line

    # --- what phases share ---
    def _late(self, step: int) -> tuple[np.ndarray, int]:
        """Units of days before this one that came in on it, by series, and how many rows they were."""
        sheet = self.knowledge.sheet
        part = slice(sheet.row(0), sheet.row(step))
        came = sheet.arrives[part] == step
        return np.nan_to_num(np.where(came, sheet.y[part], 0.0)).sum(axis=0), int(came.sum())

    def _mixtures(self, step: int, actual: np.ndarray) -> None:
        """Percentage errors of the governed forecast mixed with its partner's, where something was sold."""
        state = self.state
        own, h = state.lanes[GOVERNED].forecast_of(step), step - state.partner_origin
        other = state.partner_ahead[h - 1] if state.partner and 1 <= h <= len(state.partner_ahead) else own
        for share in self.config.limits.shares:
            mixed = share * own + (1.0 - share) * np.where(np.isfinite(other), other, own)
            rows = np.isfinite(actual) & np.isfinite(mixed) & (actual > 0)
            sums = tally_of(state, f"mix{share:g}")
            sums["ape"] += float((np.abs(mixed - actual)[rows] / actual[rows]).sum())
            sums["ape_rows"] += float(rows.sum())

    def _watch(self, governed: dict[str, float], naive: dict[str, float]) -> None:
        if not governed["rows"]:
            return
        row = [governed["abs_error"], naive["abs_error"], governed["abs_actual"], governed["rows"]]
        self.state.watched = [*self.state.watched, row][-self.config.in_steps(self.config.watched_days) :]

    def _serves(self) -> dict[str, str]:
        return {name: self.state.lanes[name].facts.get("label", "") for name in LANES if name != PERFECT}

    def _message(self, line: dict[str, Any] | None) -> str:
        day = self.config.day(min(self.state.step, self.config.steps - 1))
        if line is None or "lanes" not in line:
            return f"{day}: {self.state.phase}"
        cost = line["lanes"][GOVERNED]["total_cost"]
        return f"{line['day']}: sold {line['actual']:,.0f}" + ("" if cost is None else f", cost so far {cost:,.0f}")


def _error_of(scored: dict[str, float]) -> dict[str, Any]:
    actual = scored["abs_actual"]
    return {
        "rows": int(scored["rows"]),
        "absolute": round(scored["abs_error"], 4),
        "signed": round(scored["error"], 4),
        "wape": round(scored["abs_error"] / actual, 6) if actual else None,
        "inside80": int(scored["inside80"]),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


__all__ = ["Walk"]
