"""Orders of a day in every lane: forecasts become levels, levels become packs, and a person may change the odd ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.errors import EngineError
from forecasting.engine.panel import Panel
from forecasting.engine.replay.config import ReplayConfig
from forecasting.engine.replay.knowledge import Knowledge, Sheet
from forecasting.engine.replay.lanes import GOVERNED, LANES, PERFECT, UNREVIEWED, Economics
from forecasting.engine.replay.orders import Ahead, Line, conspicuous, economics_of, levels_of, packs
from forecasting.engine.replay.review import APPROVE, ORDERS, Decision, Question, Reviewer
from forecasting.engine.replay.state import Path, State
from forecasting.engine.replay.store import Store
from forecasting.engine.replay.training import Memo, remembering

SHOWN_AHEAD = 28


def place_orders(state: State, knowledge: Knowledge, config: ReplayConfig, store: Store, reviewer: Reviewer) -> None:
    """Forecast with what serves in each lane and order. Before the reviewer has answered (Paused) nothing changes."""
    sheet, step, span = knowledge.sheet, state.step, config.protection_steps
    known = knowledge.panel(config.day(step))
    listed = np.isin(sheet.ids, known.ids)
    money = economics_of(known, sheet.ids, config.business)
    memo: Memo = {}
    made: dict[str, tuple[Ahead, np.ndarray]] = {}
    failures = []
    for key in dict.fromkeys(state.lanes[name].model for name in LANES if name != PERFECT):
        try:
            made[key] = _forecast(store, key, known, sheet, config, memo, money)
        except EngineError as error:
            failures.append(f"{config.day(step)}: no forecast could be made ({error})")
    lane = state.lanes[GOVERNED]
    own = made.get(lane.model)
    level = own[1] if own is not None else np.full(len(sheet.ids), np.nan)
    proposed = packs(level, lane.position, config.orders.pack_size)
    lines = conspicuous(level, proposed, lane.position, sheet, step, config)
    decision, question = None, None
    if lines:
        names = knowledge.names(sheet.ids)
        question = _question(config, step, lines, names, proposed)
        decision = reviewer.decide(question)  # may raise Paused: nothing was changed yet
    final, touched = _edited(proposed, lines, decision, knowledge, config)
    state.failures += failures
    state.cu, state.co = money.cu, money.co
    levels = _order_all(state, made, listed, money, config, final, sheet)
    _open_path(state, levels, {"proposed": level, "governed": level + (final - proposed)}, touched, money,
               _mixed(state, own, store, known, sheet, config, memo, money), span, config)  # fmt: skip
    state.line["orders"] = _told(level, proposed, final, lines, decision)
    if own is not None:
        total = np.nansum(own[0].yhat, axis=1)[:SHOWN_AHEAD]
        state.line["ahead"] = [round(float(value), 3) for value in total]
    if question is not None and decision is not None:
        state.decisions.append({**decision.to_json(), "kind": question.kind, "day": question.day.isoformat(),
                                "question": question.body})  # fmt: skip


def _forecast(
    store: Store, key: str, known: Panel, sheet: Sheet, config: ReplayConfig, memo: Memo, money: Economics
) -> tuple[Ahead, np.ndarray]:
    """Forecasts of a model as matrices, and its order-up-to levels."""
    model = store.model(key)
    frame = remembering(model, memo).forecast(known, config.horizon)
    ahead = _matrices(frame, sheet.ids, config.horizon)
    return ahead, levels_of(ahead.yhat, sheet.ids, model.calibration, money, config.protection_steps)


def _matrices(frame: pd.DataFrame, ids: np.ndarray, horizon: int) -> Ahead:
    at = (frame["h"].to_numpy() - 1, np.searchsorted(ids, frame["unique_id"].to_numpy()))

    def table(name: str) -> np.ndarray:
        out = np.full((horizon, len(ids)), np.nan)
        out[at] = frame[name].to_numpy(dtype="float64")
        return out

    return Ahead(table("yhat"), table("lo80"), table("hi80"))


def _order_all(
    state: State,
    made: dict[str, tuple[Ahead, np.ndarray]],
    listed: np.ndarray,
    money: Economics,
    config: ReplayConfig,
    final: np.ndarray,
    sheet: Sheet,
) -> dict[str, np.ndarray]:
    """Let each lane take its new forecasts and order by them; the level of each."""
    levels = {}
    for name, lane in state.lanes.items():
        if name == PERFECT:
            level = _coming(sheet, state.step, config.protection_steps, listed)
        elif lane.model in made:
            ahead, level = made[lane.model]
            lane.ahead, lane.low, lane.high, lane.origin = ahead.yhat, ahead.low, ahead.high, state.step
        else:
            continue
        quantity = final if name == GOVERNED else packs(level, lane.position, config.orders.pack_size)
        lane.price(money.confidence)
        lane.place(level, quantity, listed)
        levels[name] = level
    return levels


def _coming(sheet: Sheet, step: int, span: int, listed: np.ndarray) -> np.ndarray:
    """What will be asked for until the next order arrives: the yardstick that nobody can have."""
    part = slice(sheet.row(step + 1), sheet.row(step + span) + 1)
    return np.where(listed, np.nan_to_num(np.where(sheet.exists[part], sheet.y[part], 0.0)).sum(axis=0), np.nan)


def _question(config: ReplayConfig, step: int, lines: list[Line], names: list[str], proposed: np.ndarray) -> Question:
    body = {
        "lines": [line.to_json(names[line.series]) for line in lines],
        "orders": int(np.count_nonzero(np.nan_to_num(proposed) > 0)),
        "units": round(float(np.nansum(proposed)), 3),
        "lasts_days": config.protection_steps * config.step_days,
    }
    return Question(ORDERS, config.day(step), body)


def _edited(
    proposed: np.ndarray, lines: list[Line], decision: Decision | None, knowledge: Knowledge, config: ReplayConfig
) -> tuple[np.ndarray, np.ndarray]:
    """What is ordered in the end, in whole packs, and which lines the reviewer changed."""
    final = proposed.copy()
    if decision is None or decision.verdict == APPROVE:
        return final, np.zeros(len(final), dtype=bool)
    names = knowledge.names(knowledge.sheet.ids)
    for line in lines:
        wanted = decision.edits.get(names[line.series], None if decision.verdict != "reject" else 0.0)
        if wanted is not None:
            final[line.series] = np.ceil(round(wanted / config.orders.pack_size, 9)) * config.orders.pack_size
    return final, np.nan_to_num(final) != np.nan_to_num(proposed)


def _mixed(
    state: State,
    own: tuple[Ahead, np.ndarray] | None,
    store: Store,
    known: Panel,
    sheet: Sheet,
    config: ReplayConfig,
    memo: Memo,
    money: Economics,
) -> dict[str, np.ndarray]:
    """Levels of the governed forecast mixed with its partner's, by share; also keeps the partner's forecasts."""
    if own is None:
        return {}
    other = own[0].yhat
    if state.partner:
        model = store.model(state.partner["model"])
        frame = remembering(model, memo).forecast(known, config.horizon)
        other = _matrices(frame, sheet.ids, config.horizon).yhat
        state.partner_ahead, state.partner_origin = other, state.step
    calibration = store.model(state.lanes[GOVERNED].model).calibration
    out = {}
    for share in config.limits.shares:
        mixed = share * own[0].yhat + (1.0 - share) * np.where(np.isfinite(other), other, own[0].yhat)
        out[f"mix{share:g}"] = levels_of(mixed, sheet.ids, calibration, money, config.protection_steps)
    return out


def _open_path(
    state: State,
    levels: dict[str, np.ndarray],
    reviewed: dict[str, np.ndarray],
    touched: np.ndarray,
    money: Economics,
    mixed: dict[str, np.ndarray],
    span: int,
    config: ReplayConfig,
) -> None:
    """Follow these orders until what they had to last has come, where that lies inside of the replay."""
    if state.step + span >= config.steps:
        return
    rest = {name: level for name, level in levels.items() if name not in (GOVERNED, UNREVIEWED)}
    every = {**reviewed, **rest, **mixed}
    size = len(touched)
    state.paths.append(
        Path(state.step, list(every), np.vstack(list(every.values())), touched, money.cu, money.co, np.zeros(size),
             np.zeros(size, dtype=bool))
    )  # fmt: skip


def _told(
    level: np.ndarray, proposed: np.ndarray, final: np.ndarray, lines: list[Line], decision: Decision | None
) -> dict[str, Any]:
    out: dict[str, Any] = {
        "series": int(np.isfinite(level).sum()),
        "units": round(float(np.nansum(proposed)), 3),
        "units_final": round(float(np.nansum(final)), 3),
        "questioned": len(lines),
        "changed": int(np.count_nonzero(np.nan_to_num(final) != np.nan_to_num(proposed))),
    }
    if decision is not None:
        out |= {"verdict": decision.verdict, "code": decision.code, "rule": decision.rule, "by": decision.by}
    return out
