"""A fitted Prophet read from its JSON and evaluated directly: trend, seasons, holidays and regressors of some days.

The same terms as `Prophet.predict` without its tables, some fifty times as fast. Source of the formulas: Taylor and
Letham (2018), "Forecasting at scale", and prophet/forecaster.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Curve:
    """Parameters of one model, in Prophet's scaled units.

    start, t_scale: seconds; the model's time is (day - start) / t_scale. delta: change of the rate at each of
    `changes`. beta: of each column; multiplied, added: which columns multiply the trend or are added to it (0 or 1).
    seasons: (period in days, Fourier order). holidays: (name, day offset) of each column -> the days it is 1.
    regressors: (name, mean, deviation) of each. components: names of the terms, sorted.
    """

    growth: str
    start: float
    t_scale: float
    y_scale: float
    floor: float
    k: float
    m: float
    sigma: float
    delta: np.ndarray
    changes: np.ndarray
    beta: np.ndarray
    multiplied: np.ndarray
    added: np.ndarray
    seasons: tuple[tuple[float, int], ...]
    holidays: tuple[tuple[int, ...], ...]
    regressors: tuple[tuple[str, float, float], ...]
    components: list[str]

    @classmethod
    def parse(cls, text: str) -> Curve:
        """Read Prophet's JSON. Raises ValueError for a growth other than linear and flat, and for sampled models."""
        body = json.loads(text)
        if body["growth"] not in {"linear", "flat"} or body["mcmc_samples"] or body["uncertainty_samples"]:
            raise ValueError("only a linear or flat trend without samples is evaluated directly")
        params = body["params"]
        table = json.loads(body["train_component_cols"])["data"]
        names, props = body["extra_regressors"]
        _, seasons = body["seasonalities"]
        return cls(
            growth=body["growth"],
            start=float(body["start"]),
            t_scale=float(body["t_scale"]),
            y_scale=float(body["y_scale"]),
            floor=float(body["y_min"]) if body["scaling"] == "minmax" else 0.0,
            k=float(np.ravel(params["k"])[0]),
            m=float(np.ravel(params["m"])[0]),
            sigma=float(np.ravel(params["sigma_obs"])[0]),
            delta=np.ravel(params["delta"]).astype("float64"),
            changes=np.asarray(body["changepoints_t"], dtype="float64"),
            beta=np.ravel(params["beta"]).astype("float64"),
            multiplied=np.array([row["multiplicative_terms"] for row in table], dtype="float64"),
            added=np.array([row["additive_terms"] for row in table], dtype="float64"),
            seasons=tuple(
                (float(seasons[name]["period"]), int(seasons[name]["fourier_order"]))
                for name in body["seasonalities"][0]
            ),
            holidays=_holiday_columns(body["holidays"]),
            regressors=tuple((name, float(props[name]["mu"]), float(props[name]["std"])) for name in names),
            components=sorted({name for row in table for name in row if name != "col"}),
        )

    def shared_columns(self, days: np.ndarray) -> np.ndarray:
        """Seasonal and holiday columns at days since 1970 (float64): days × columns, the same for all models with the
        same seasons and holidays."""
        columns = []
        for period, order in self.seasons:
            for i in range(order):
                angle = (i + 1) / period * (np.pi * 2 * days)
                columns += [np.sin(angle), np.cos(angle)]
        columns += [np.isin(days, when).astype("float64") for when in self.holidays]
        return np.stack(columns, axis=1) if columns else np.zeros((len(days), 0))

    def at(self, days: np.ndarray, shared: np.ndarray, regressors: Mapping[str, np.ndarray]) -> np.ndarray:
        """yhat in units at days since 1970, given their `shared_columns` and the regressors' values."""
        own = [(np.asarray(regressors[name], dtype="float64") - mu) / std for name, mu, std in self.regressors]
        x = np.column_stack([shared, *own]) if own else shared
        if not x.shape[1]:
            x = np.zeros((len(days), len(self.beta)))  # Prophet's placeholder, where a model has no columns
        share = x @ (self.beta * self.multiplied)
        units = x @ (self.beta * self.added) * self.y_scale
        return np.asarray(self.trend(days) * (1.0 + share) + units)

    def trend(self, days: np.ndarray) -> np.ndarray:
        """Piecewise linear trend in units: rate k + Σ delta, offset kept continuous at each change."""
        t = (days * DAY_SECONDS - self.start) / self.t_scale
        if self.growth == "flat":
            line = np.full(len(t), self.m)
        else:
            passed = (self.changes[None, :] <= t[:, None]) * self.delta
            line = (passed.sum(axis=1) + self.k) * t + (passed * -self.changes).sum(axis=1) + self.m
        return np.asarray(line * self.y_scale + self.floor)


def _holiday_columns(text: str | None) -> tuple[tuple[int, ...], ...]:
    """The days (since 1970) of each holiday column, in Prophet's order: sorted by name and signed offset, as text."""
    if text is None:
        return ()
    days: dict[str, list[int]] = {}
    for row in json.loads(text)["data"]:
        first, last = int(row.get("lower_window") or 0), int(row.get("upper_window") or 0)
        day = int(np.datetime64(row["ds"][:10], "D").astype("int64"))
        for offset in range(first, last + 1):
            key = f"{row['holiday']}_delim_{'+' if offset >= 0 else '-'}{abs(offset)}"
            days.setdefault(key, []).append(day + offset)
    return tuple(tuple(days[key]) for key in sorted(days))


def day_numbers(ds: Any) -> np.ndarray:
    """Days since 1970 of datetimes, as float64."""
    return np.asarray(ds, dtype="datetime64[D]").astype("int64").astype("float64")
