"""Why a forecast is what it is: each family's own contributions for one series and one step.

They are taken from the very features that the forecast used. LightGBM: the booster's SHAP values, exact and additive in
its own score (Lundberg et al. 2020, "From local explanations to global understanding with explainable AI for trees").
Prophet: the terms of its sum. Intermittent: its rate and the weekday's part. Families that average past days have
nothing to take apart, and give nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from forecasting.engine.combine import combine
from forecasting.engine.errors import EngineError
from forecasting.engine.explain_lightgbm import Untruthful, recording, take_apart
from forecasting.engine.explain_words import HOLIDAY, SEASON, WEEKDAY, Words, plain, regressor_group, yes_no
from forecasting.engine.families import Fitted
from forecasting.engine.families.base import horizon_frame
from forecasting.engine.families.intermittent import FittedIntermittent
from forecasting.engine.families.lightgbm_fitted import FittedBoosters
from forecasting.engine.families.prophet import FittedProphet
from forecasting.engine.features import future_values, unsold
from forecasting.engine.fitted import FittedModel
from forecasting.engine.panel import Panel, classify

Scale = Literal["factor", "units"]
TOLERANCE = 1e-6


class NotExplainable(EngineError):
    """The parts of a forecast cannot be told apart truthfully, so they are not told at all."""


@dataclass(frozen=True)
class Contribution:
    """What one feature did. effect: in the member's scale (natural logarithm of the factor, or units)."""

    feature: str
    label: str
    value: str
    effect: float


@dataclass(frozen=True)
class Group:
    """Features that belong together, the strongest first; `effect` is their sum."""

    name: str
    label: str
    effect: float
    contributions: tuple[Contribution, ...]


@dataclass(frozen=True)
class Member:
    """One family's part in a forecast.

    weight: its share after those that declined were left out. yhat: what it forecast, units. scale "factor": effects
    are logarithms, raw = base × exp(their sum); "units": raw = base + their sum; None: it has nothing to take apart.
    base and raw are in units; raw is what the model said before it was kept within what the history makes plausible,
    and `note` says where that made a difference.
    """

    family: str
    weight: float
    yhat: float
    scale: Scale | None = None
    base: float | None = None
    raw: float | None = None
    groups: tuple[Group, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Explanation:
    """A forecast of one series taken apart. path: the whole recomputed path in units; yhat: its step `h` (from 1);
    declined: each family that was chosen for it and made no forecast, with its reason."""

    series: int
    day: date
    h: int
    yhat: float
    path: tuple[float, ...]
    members: tuple[Member, ...]
    note: str = ""
    declined: tuple[tuple[str, str], ...] = ()


def explain(fitted: FittedModel, panel: Panel, series: int, h: int, horizon: int | None = None) -> Explanation:
    """Forecast one series again, as `FittedModel.forecast` does, and take step `h` of `horizon` (default the spec's)
    apart. Nothing is refitted.

    panel: the history up to the forecast's origin; the series alone is enough, or all where `fitted.reconciles`.
    Raises NotExplainable, MissingRegressor.
    """
    steps = horizon or fitted.spec.horizon
    if not 1 <= h <= steps:
        raise NotExplainable(f"The forecast has steps 1 to {steps}; there is no step {h}.")
    own = panel.subset([series])
    if not len(own.history):
        raise NotExplainable(f"Series {series} has no history up to the day that the forecast starts from.")
    fitted = fitted.narrow(fitted.cut([series])[0])
    watched = {name: _Watched(_recording(part)) for name, part in fitted.parts.items()}
    made = replace(fitted.with_parts(watched), hierarchy=None).forecast(own, steps)
    row = made.iloc[h - 1]
    values = {name: part.at(h, steps) for name, part in watched.items()}
    shares = _shares(fitted, own, series, values)
    members = [_member(name, share, values[name], watched[name].part, own, h, steps) for name, share in shares.items()]
    mixed = sum(one.weight * one.yhat for one in members)
    note = ""
    if not _close(mixed, float(row["yhat"])):
        note = f"The families together said {mixed:,.1f}; it was kept within what the history makes plausible."
    if fitted.reconciles:
        whole = fitted.forecast(panel, steps)
        made = whole.loc[whole["unique_id"] == series].reset_index(drop=True)
        note = " ".join(filter(None, (note, _agreed(float(row["yhat"]), float(made["yhat"].iloc[h - 1])))))
        row = made.iloc[h - 1]
    return Explanation(
        series=series,
        day=row["ds"].date(),
        h=h,
        yhat=float(row["yhat"]),
        path=tuple(float(y) for y in made["yhat"]),
        members=tuple(members),
        note=note,
        declined=_declined(fitted, series, str(row["flags"])),
    )


def _declined(fitted: FittedModel, series: int, flags: str) -> tuple[tuple[str, str], ...]:
    """Families and reasons behind the flags "declined:<family>" of a series."""
    rows = fitted.declined
    known = rows.loc[rows["unique_id"] == series].set_index("family")["reason"].to_dict()
    names = [flag.removeprefix("declined:") for flag in flags.split(",") if flag.startswith("declined:")]
    return tuple((name, str(known.get(name, "it came after the model was fitted"))) for name in names)


def _agreed(before: float, after: float) -> str:
    return (
        f"The reasons below give {before:,.1f}; that the forecasts of the total, the stores and the categories have to "
        f"agree with those of the series makes it {after:,.1f}."
    )


# --- listening to a forecast ------------------------------------------------------------------------------------------


class _Watched:
    """A fitted family whose last forecast is kept."""

    def __init__(self, part: Fitted) -> None:
        self.part = part
        self.family, self.trained_until, self.declined = part.family, part.trained_until, part.declined
        self._made = pd.DataFrame()

    def predict(self, panel: Panel, horizon: int) -> pd.DataFrame:
        self._made = self.part.predict(panel, horizon)
        return self._made

    def describe(self) -> dict[str, Any]:
        return self.part.describe()

    def save(self, directory: Path) -> list[str]:
        return self.part.save(directory)

    def at(self, h: int, steps: int) -> float:
        """Its forecast of step `h`; NaN where it declined."""
        return float(self._made["yhat"].to_numpy()[h - 1]) if len(self._made) == steps else float("nan")


def _recording(part: Fitted) -> Fitted:
    return recording(part) if isinstance(part, FittedBoosters) else part


def _shares(fitted: FittedModel, panel: Panel, series: int, values: dict[str, float]) -> dict[str, float]:
    """Who made the forecast and with which weight: `combine` is linear, so one family's 1 among 0s is its weight."""
    known = fitted.classes.get(series)
    classes = classify(panel) if known is None else pd.Series({series: known}, dtype=object)
    out = {}
    for name in values:
        units = {other: np.nan if np.isnan(value) else float(other == name) for other, value in values.items()}
        frame = pd.DataFrame({"unique_id": [series], **{other: [unit] for other, unit in units.items()}})
        share = float(combine(frame, fitted.spec.weights, classes)["yhat"].iloc[0])
        if share > 0:
            out[name] = share
    return dict(sorted(out.items(), key=lambda pair: (-pair[1], pair[0])))


def _member(name: str, weight: float, yhat: float, part: Fitted, panel: Panel, h: int, steps: int) -> Member:
    if isinstance(part, FittedBoosters):
        return _lightgbm_member(weight, yhat, part, panel, h, steps)
    if isinstance(part, FittedProphet):
        return _prophet_member(weight, yhat, part, panel, h, steps)
    if isinstance(part, FittedIntermittent):
        return _intermittent_member(weight, yhat, part, panel, h, steps)
    return Member(name, weight, yhat)


# --- lightgbm ---------------------------------------------------------------------------------------------------------


def _lightgbm_member(weight: float, yhat: float, part: FittedBoosters, panel: Panel, h: int, steps: int) -> Member:
    if unsold(panel):
        return Member(part.family, weight, yhat, note="It has not sold for half a year, so the forecast is 0.")
    try:
        taken = take_apart(part, h, steps)
    except Untruthful as error:
        raise NotExplainable(str(error)) from error
    if taken.closed and yhat == 0.0:
        return Member(part.family, weight, yhat, note="It has been closed on this weekday, so the forecast is 0.")
    groups, note = _grouped(taken.found), _cut(taken.raw, yhat)
    return Member(part.family, weight, yhat, taken.scale, taken.base, taken.raw, groups, note)


# --- prophet ----------------------------------------------------------------------------------------------------------


def _prophet_member(weight: float, yhat: float, part: FittedProphet, panel: Panel, h: int, steps: int) -> Member:
    regressors = part.state["regressors"]
    ahead = future_values(panel, steps) if regressors else horizon_frame(panel, steps)
    model, terms = _prophet_terms(part.models[int(panel.ids[0])], ahead[["ds", *regressors]].reset_index(drop=True))
    row = terms.iloc[h - 1]
    trend, multiplied = (float(row["trend"]), set(model.component_modes["multiplicative"]))
    names: dict[str, Words] = {}
    if "weekly" in model.seasonalities:
        names["weekly"] = Words(WEEKDAY, "Day of the week", f"{row['ds']:%A}")
    if "yearly" in model.seasonalities:
        names["yearly"] = Words(SEASON, "Time of year", f"{row['ds'].day} {row['ds']:%B}")
    for name in model.train_holiday_names if model.train_holiday_names is not None else ():
        if float(row[name]) != 0.0:
            names[str(name)] = Words(HOLIDAY, str(name), "")
    for name in regressors:
        value = float(ahead[name].iloc[h - 1])
        text = yes_no(value) if name.startswith("is_") else f"{value:,.2f}"
        names[name] = Words(regressor_group(name), plain(name), text)
    found = [(words, name, float(row[name]) * (trend if name in multiplied else 1.0)) for name, words in names.items()]
    raw = float(row["yhat"])
    if not _close(trend + sum(effect for _, _, effect in found), raw):
        raise NotExplainable("The model's terms do not add up to its answer.")
    return Member(part.family, weight, yhat, "units", trend, raw, _grouped(found), _cut(raw, yhat))


def _prophet_terms(text: str, frame: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
    """A stored model and all terms of its forecast at the rows of `frame`."""
    from prophet.serialize import model_from_json

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = model_from_json(text)
        terms: pd.DataFrame = model.predict(frame)
    return model, terms


# --- intermittent -----------------------------------------------------------------------------------------------------


def _intermittent_member(
    weight: float, yhat: float, part: FittedIntermittent, panel: Panel, h: int, steps: int
) -> Member:
    row = part.taken_apart(panel, steps).iloc[h - 1]
    rate, raw = float(row["rate"]), float(row["rate"] * row["factor"])
    found = [(Words(WEEKDAY, "Day of the week", f"{row['ds']:%A}"), "weekday", raw - rate)]
    return Member(part.family, weight, yhat, "units", rate, raw, _grouped(found), _cut(raw, yhat))


# --- what they share --------------------------------------------------------------------------------------------------


def _grouped(found: list[tuple[Words, str, float]]) -> tuple[Group, ...]:
    """Contributions by group, the strongest first; those that did nothing are left out."""
    by_group: dict[str, tuple[str, list[Contribution]]] = {}
    for words, name, effect in found:
        one = Contribution(name, words.label, words.value, float(effect))
        by_group.setdefault(words.group, (words.group_label, []))[1].append(one)
    groups = []
    for name, (label, parts) in by_group.items():
        parts = sorted((one for one in parts if one.effect != 0.0), key=lambda one: (-abs(one.effect), one.feature))
        if parts:
            groups.append(Group(name, label, sum(one.effect for one in parts), tuple(parts)))
    return tuple(sorted(groups, key=lambda group: (-abs(group.effect), group.name)))


def _cut(raw: float, yhat: float) -> str:
    if _close(raw, yhat):
        return ""
    return f"The model itself said {raw:,.1f}; it was kept within what the history makes plausible."


def _close(one: float, other: float) -> bool:
    return bool(np.isclose(one, other, rtol=TOLERANCE, atol=TOLERANCE))
