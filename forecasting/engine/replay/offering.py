"""What a training puts on offer: the spec it proposes with its verdict in each lane, and refreshes of what serves."""

from __future__ import annotations

from concurrent.futures import Executor
from datetime import date, timedelta
from typing import Any

from forecasting.engine.fitted import FittedModel
from forecasting.engine.replay.config import FLOOR, Portfolio, ReplayConfig
from forecasting.engine.replay.judging import gate, guard, promise_of
from forecasting.engine.replay.knowledge import Knowledge, panel_sha256
from forecasting.engine.replay.lanes import GATES, GOVERNED, Lane
from forecasting.engine.replay.state import State
from forecasting.engine.replay.store import Store, model_key
from forecasting.engine.replay.training import Training, train_on
from forecasting.engine.types import ModelSpec

JUDGED_LANES = (GOVERNED, GATES)


def make_offer(
    state: State, knowledge: Knowledge, config: ReplayConfig, store: Store, *, executor: Executor | None = None
) -> dict[str, Any]:
    """Train as of the day, judge, and keep the models; everything the decision needs, as JSON values.

    The training is written down in `state.trainings`, with what it saw. Raises EngineError.
    """
    day = config.day(state.step)
    known = knowledge.panel(day)
    training = train_on(known, config, executor=executor)
    spec = training.proposed
    proposed = _kept(training, spec, state.step, store)
    gates, refreshes = {}, {}
    for name in JUDGED_LANES:
        lane = state.lanes[name]
        own = ModelSpec.from_json(lane.facts["spec"]) if lane.facts.get("spec") and not lane.facts["floor"] else None
        if own is None or own.sha256 != spec.sha256:
            seen = state.judged.setdefault(name, {})
            _, gates[name] = gate(training, own, seen, config)
            _note(seen, spec.sha256, day.isoformat(), config)
        if own is not None:
            holds, why = guard(training, lane.facts, own, _realised(state, name), config)
            refreshes[name] = {**_kept(training, own, state.step, store), "holds": holds, "why": why}
    data_sha256 = panel_sha256(known, knowledge.given.names)
    state.trainings.append({
        "day": day.isoformat(), "triggers": list(state.triggers), "window": training.window.to_json(),
        "series": len(known.ids), "rows": len(known.history), "data_sha256": data_sha256,
        "proposed": spec.label, "spec_sha256": spec.sha256,
        "origins": [one.isoformat() for one in training.backtest.origins],
    })  # fmt: skip
    floor = _kept(training, training.single(FLOOR), state.step, store, promise=False)
    naive = proposed["promise"]["wape_naive"]  # what the floor has of the same days
    floor["promise"] = {"wape": naive, "wape_naive": naive, "backtest_wape": None}
    if config.portfolio != Portfolio.OFF:
        _find_partner(state, training, store)
    return {
        **proposed, "reason": training.reason, "trained_until": day.isoformat(), "data_sha256": data_sha256,
        "gates": gates, "refreshes": refreshes, "floor": floor,
    }  # fmt: skip


def _kept(training: Training, spec: ModelSpec, step: int, store: Store, *, promise: bool = True) -> dict[str, Any]:
    """Keep the serving fit of a spec; its key and facts."""
    key = model_key(step, spec.sha256)
    model: FittedModel = training.serving(spec)
    store.keep_model(key, model)
    told = {"model": key, "spec": spec.to_json(), "sha": spec.sha256, "label": spec.label}
    return {**told, "promise": promise_of(training, spec)} if promise else told


def _find_partner(state: State, training: Training, store: Store) -> None:
    """The family that mixtures are tried with: the best alone that what was proposed first does not lead with. It stays
    the same over the replay, refitted at each training."""
    family = state.partner.get("family")
    if family is None:
        weights = training.proposed.weights["*"]
        lead = max(sorted(weights), key=lambda name: weights[name])
        family = training.best_single(but={lead})
    if family is None:
        return
    kept = _kept(training, training.single(family), state.step, store, promise=False)
    state.partner = {"family": family, "model": kept["model"], "label": kept["label"]}


def _note(seen: dict[str, list[str]], sha256: str, day: str, config: ReplayConfig) -> None:
    """Remember that a spec was judged; what was judged on other days by now is forgotten."""
    seen.setdefault(sha256, []).append(day)
    first = (date.fromisoformat(day) - timedelta(days=config.sealed_days)).isoformat()
    for key in list(seen):
        seen[key] = [one for one in seen[key] if one >= first]
        if not seen[key]:
            del seen[key]


def _realised(state: State, name: str) -> float | None:
    """The governed lane's error in service over the days watched; None where it is not known."""
    if name != GOVERNED or not state.watched:
        return None
    absolute, _, actual, _ = (sum(column) for column in zip(*state.watched, strict=True))
    return float(absolute / actual) if actual > 0 else None


def facts_of(offered: dict[str, Any], day: str, *, approved: dict[str, Any] | None = None, floor: bool = False,
             lane: Lane | None = None) -> dict[str, Any]:  # fmt: skip
    """A lane's facts of what serves from now on. approved: the promise that the approval was given on."""
    promise = offered["promise"]
    base = approved if approved is not None else promise
    since = lane.facts["since"] if lane is not None and lane.facts.get("sha") == offered["sha"] else day
    return {
        "spec": offered["spec"], "sha": offered["sha"], "label": offered["label"], "since": since, "fitted": day,
        "wape": promise["wape"], "wape_naive": promise["wape_naive"], "floor": floor,
        "approved_wape": base.get("approved_wape", base.get("wape")),
        "approved_backtest_wape": base.get("approved_backtest_wape", base.get("backtest_wape")),
    }  # fmt: skip
