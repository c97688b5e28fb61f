"""Drift: of the error in service (the rule of the live champion) and of the inputs (population stability index)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from forecasting.engine.regression import InService, Promise, Regression, detect_regression
from forecasting.engine.replay.config import ReplayConfig
from forecasting.engine.replay.knowledge import Sheet

_LEAST_SHARE = 1e-4
_DECIMALS = 9


def error_drift(watched: list[list[float]], facts: Mapping[str, Any], config: ReplayConfig) -> Regression:
    """Hold what came since the model serves against what it was promised with.

    watched: of each step in service, sums of absolute errors, of naive's, of actuals, and the count of rows.
    """
    recent = watched[-config.in_steps(config.watched_days) :]
    sums = [float(sum(column)) for column in zip(*recent, strict=True)] if recent else [0.0] * 4
    days = len(recent) * config.step_days
    seen = InService(sums[0], sums[1], sums[2], days, int(sums[3]))
    return detect_regression(seen, Promise(facts.get("wape"), facts.get("wape_naive")), config.regression)


def reference(sheet: Sheet, step: int, config: ReplayConfig) -> dict[str, Any]:
    """How the inputs were distributed before the last weeks, as a training saw them: of each column the edges of its
    deciles, the share in each, the share not known."""
    rules = config.drift
    last = step - config.in_steps(rules.window_days)
    first = last - config.in_steps(rules.reference_days) + 1
    out = {}
    for column in ("y", *sorted(sheet.inputs)):
        values = _scaled(sheet, first, last, step, column, config)
        known = values[np.isfinite(values)]
        if len(known) < rules.min_values:
            continue
        edges = np.unique(np.quantile(known, np.arange(0.1, 1.0, 0.1)))
        out[column] = {"edges": edges.tolist(), "shares": _shares(known, edges).tolist(),
                       "unknown": _unknown(sheet, first, last, step, column)}  # fmt: skip
    return out


def input_drift(sheet: Sheet, step: int, before: Mapping[str, Any], config: ReplayConfig) -> list[dict[str, Any]]:
    """The columns whose last weeks are not distributed as `before`: column, psi, unknown (rise of the share).

    psi is None where too few values are known for one; that so many are unknown is told all the same. Too few series
    and steps at all give no verdict.
    """
    rules, found = config.drift, []
    first = step - config.in_steps(rules.window_days) + 1
    for column, known in sorted(before.items()):
        values = _scaled(sheet, first, step, step, column, config)
        recent = values[np.isfinite(values)]
        psi = _psi(recent, known) if len(recent) >= rules.min_values else None
        if psi is None and _there(sheet, first, step) < rules.min_values:
            continue
        rise = _unknown(sheet, first, step, step, column) - float(known["unknown"])
        if (psi is not None and psi > rules.max_psi) or rise > rules.max_unknown_rise:
            told = None if psi is None else round(psi, 4)
            found.append({"column": column, "psi": told, "unknown": round(rise, 4)})
    return found


def _psi(recent: np.ndarray, before: Mapping[str, Any]) -> float:
    """Population stability index of the values against the reference's deciles."""
    now = np.maximum(_shares(recent, np.asarray(before["edges"])), _LEAST_SHARE)
    then = np.maximum(np.asarray(before["shares"]), _LEAST_SHARE)
    return float(((now - then) * np.log(now / then)).sum())


def _scaled(sheet: Sheet, first: int, last: int, at: int, column: str, config: ReplayConfig) -> np.ndarray:
    """Values by their series' own mean over the half year before the last weeks, so that large series do not lead."""
    rules = config.drift
    end = at - config.in_steps(rules.window_days)
    base = sheet.values(end - config.in_steps(rules.reference_days) + 1, end, at=at, column=column)
    counts = np.isfinite(base).sum(axis=0)
    mean = np.divide(np.nansum(base, axis=0), counts, out=np.full(base.shape[1], np.nan), where=counts > 0)
    values = sheet.values(first, last, at=at, column=column)
    scaled = np.divide(values, mean, out=np.full(values.shape, np.nan), where=mean > 0)
    # A mean over more days may differ in its last bit; a value that stays may not change its decile by that.
    return np.asarray(np.round(scaled, _DECIMALS))


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return np.asarray(counts / max(len(values), 1))


def _unknown(sheet: Sheet, first: int, last: int, at: int, column: str) -> float:
    """Share of the values that are not known, among the steps that a series has begun by."""
    there = _there(sheet, first, last)
    known = int(np.isfinite(sheet.values(first, last, at=at, column=column)).sum())
    return 1.0 - known / there if there else 0.0


def _there(sheet: Sheet, first: int, last: int) -> int:
    """Values that could be known: of each step, the series that have begun by it."""
    return int(sheet.exists[max(sheet.row(first), 0) : max(sheet.row(last) + 1, 0)].sum())
