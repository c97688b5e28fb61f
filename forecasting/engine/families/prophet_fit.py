"""One series' Prophet, fitted with Prophet's own code and Stan model at a fraction of the usual cost.

What a plain loop does again for each series is done once: the seasonal and holiday columns of a day are the same for
all series, so they (and their text in Stan's input) are made once a process. Stan gets the same numbers as from
Prophet, so the parameters are the same to the last bit.
"""

from __future__ import annotations

import json
import logging
import subprocess
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forecasting.engine.families.prophet_curve import Curve, day_numbers

NEWTON_BELOW = 100
"""Prophet's own rule: with fewer observations it optimises by Newton's method, else by L-BFGS."""
ITERATIONS = 10_000


@dataclass(frozen=True)
class Calendar:
    """What the models of a fit share; hashable, so that a process makes its columns once.

    days: all their days, as days since 1970, sorted; holidays: (day, name), or None where the models have none;
    settings: JSON of further arguments of Prophet; weekly: whether the models have a week's season.
    """

    days: tuple[int, ...]
    holidays: tuple[tuple[int, str], ...] | None
    settings: str
    weekly: bool


@dataclass(frozen=True)
class Series:
    """One series to fit. ds, y: its known days, sorted; regressors: name -> values; yearly: whether it has a year's
    season; start: the JSON of an earlier model to begin from, or None."""

    ds: np.ndarray
    y: np.ndarray
    regressors: Mapping[str, np.ndarray]
    yearly: bool
    seed: int
    start: str | None = None


@dataclass(frozen=True)
class Made:
    """Prophet's JSON of a fitted model (without its history), or why there is none. warm: it began from the start."""

    model: str | None
    failed: str = ""
    warm: bool = False


class StanStopped(Exception):
    """Stan's optimiser ended without parameters."""


def quiet() -> None:
    """Prophet and cmdstanpy tell every fit; nobody reads it."""
    for name in ("cmdstanpy", "prophet", "prophet.plot"):
        logger = logging.getLogger(name)
        logger.disabled = True  # cmdstanpy sets its own level again when it is first used


def fit_batch(calendar: Calendar, batch: Sequence[Series]) -> list[Made]:
    """Fit some series. At module level and with plain arguments, for a process pool."""
    quiet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [_fit(_shared(calendar, one.yearly, tuple(one.regressors)), one) for one in batch]


def _fit(shared: _Shared, one: Series) -> Made:
    model = shared.model()
    frame = pd.DataFrame({"ds": one.ds, "y": one.y, **one.regressors})
    init = None if one.start is None else _init(one.start, shared, frame)
    try:
        model.fit(frame, seed=one.seed, **({} if init is None else {"init": init}))
    except StanStopped as stopped:
        return Made(None, str(stopped))
    from prophet.serialize import model_to_dict

    # The history is in the database, and a forecast does not need it: only its last day stays, so that the model loads.
    model.history = model.history[["ds", "y", "t", "y_scaled", "floor"]].tail(1).reset_index(drop=True)
    model.history_dates = model.history_dates.tail(1).reset_index(drop=True)
    model.fit_kwargs = {"seed": one.seed}
    return Made(json.dumps(model_to_dict(model)), warm=model.stan_backend.warm)


# --- what series share ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Shared:
    """Seasonal and holiday columns of every day, and what Prophet says of the columns."""

    calendar: Calendar
    yearly: bool
    columns: pd.DataFrame
    texts: list[str]
    priors: list[float]
    components: pd.DataFrame
    modes: dict[str, list[str]]
    holiday_names: pd.Series | None
    names: tuple[str, ...]

    def model(self) -> Any:
        """A fresh Prophet that takes the shared columns instead of making them again."""
        return _classes().shared(self)

    def rows(self, ds: pd.Series) -> np.ndarray:
        """Positions of days in the calendar."""
        return np.searchsorted(np.array(self.calendar.days), day_numbers(ds.to_numpy()))


def _arguments(calendar: Calendar, yearly: bool) -> dict[str, Any]:
    holidays = None
    if calendar.holidays is not None:
        days, names = zip(*calendar.holidays, strict=True)
        # The day before a holiday has its own effect: people stock up.
        holidays = pd.DataFrame({"ds": _days(days), "holiday": names, "lower_window": -1, "upper_window": 0})
    return {
        "uncertainty_samples": 0,
        "weekly_seasonality": calendar.weekly,
        "yearly_seasonality": yearly,
        "daily_seasonality": False,
        "holidays": holidays,
        **json.loads(calendar.settings),
    }


def _days(numbers: Sequence[int]) -> np.ndarray:
    return np.array(numbers, dtype="datetime64[D]").astype("datetime64[ns]")


@lru_cache(maxsize=4)
def _shared(calendar: Calendar, yearly: bool, names: tuple[str, ...]) -> _Shared:
    """Prophet's own columns for all days of the calendar, made by Prophet."""
    model = _classes().bare(**_arguments(calendar, yearly))
    for name in names:
        model.add_regressor(name)
    days = pd.DataFrame({"ds": _days(calendar.days), "y": np.arange(len(calendar.days), dtype="float64")})
    days[list(names)] = 0.0
    model.history = model.setup_dataframe(days, initialize_scales=True)
    model.set_auto_seasonalities()
    features, priors, components, modes = model.make_all_seasonality_features(model.history)
    own = features.drop(columns=list(names))
    texts = [",".join(map(repr, row)) for row in own.to_numpy(dtype="float64").tolist()]
    return _Shared(calendar, yearly, own, texts, priors, components, modes, model.train_holiday_names, names)


@dataclass(frozen=True)
class _Classes:
    bare: Any
    shared: Any


@cache
def _classes() -> _Classes:
    """Prophet without an optimiser, and Prophet with the shared columns and the lean one. In a function, because the
    library is imported late."""
    from prophet import Prophet

    class BareProphet(Prophet):
        def _load_stan_backend(self, stan_backend: str | None) -> None:
            self.stan_backend = None

    class SharedProphet(Prophet):
        def __init__(self, shared: _Shared) -> None:
            self.shared = shared
            super().__init__(**_arguments(shared.calendar, shared.yearly))
            for name in shared.names:
                self.add_regressor(name)

        def _load_stan_backend(self, stan_backend: str | None) -> None:
            self.stan_backend: Any = _LeanStan(len(self.shared.columns.columns))

        def make_all_seasonality_features(self, df: pd.DataFrame) -> Any:
            shared = self.shared
            at = shared.rows(df["ds"])
            self.stan_backend.texts = [shared.texts[i] for i in at]
            features = shared.columns.iloc[at].reset_index(drop=True)
            features = pd.concat([features, *(df[[name]] for name in shared.names)], axis=1)
            if shared.holiday_names is not None:
                self.train_holiday_names = shared.holiday_names.copy()
            return features, list(shared.priors), shared.components.copy(), deepcopy(shared.modes)

    return _Classes(BareProphet, SharedProphet)


# --- Stan -------------------------------------------------------------------------------------------------------------


@cache
def _program() -> str:
    """The compiled Stan model that Prophet brings along."""
    from prophet.models import CmdStanPyBackend

    return str(CmdStanPyBackend().model.exe_file)


class _LeanStan:
    """Prophet's Stan program, run as cmdstanpy runs it, with the shared columns' text ready made.

    shared: how many columns are shared, the first ones. texts: those of each row. warm: whether the last fit began from
    what it was given.
    """

    stan_fit = None

    def __init__(self, shared: int) -> None:
        self.shared, self.texts, self.warm = shared, list[str](), False

    def fit(self, stan_init: dict[str, Any], stan_data: dict[str, Any], *, seed: int, init: Any = None) -> Any:
        """Optimised parameters by name, each 1 × n. Raises StanStopped when no method ends well."""
        self.warm = init is not None and all(np.shape(init[name]) == np.shape(stan_init[name]) for name in stan_init)
        begin = {name: np.asarray(value).tolist() for name, value in (init if self.warm else stan_init).items()}
        with tempfile.TemporaryDirectory(prefix="prophet-") as folder:
            place = Path(folder)
            (place / "data.json").write_text(self._data(stan_data), encoding="ascii")
            (place / "init.json").write_text(json.dumps(begin), encoding="ascii")
            for method in ("newton",) if stan_data["T"] < NEWTON_BELOW else ("lbfgs", "newton"):
                found = _optimise(place, method, seed)
                if found is not None:
                    return found
        raise StanStopped("the optimiser found no end")

    def _data(self, data: dict[str, Any]) -> str:
        more = data["X"].iloc[:, self.shared :].to_numpy(dtype="float64").tolist()
        pairs = zip(self.texts, more, strict=True)
        rows = ["[" + ",".join(filter(None, (text, *map(repr, own)))) + "]" for text, own in pairs]
        rest = {name: _plain_value(value) for name, value in data.items() if name != "X"}
        return json.dumps(rest)[:-1] + ', "X": [' + ",".join(rows) + "]}"


def _plain_value(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | pd.Series) else value


def _optimise(place: Path, method: str, seed: int) -> OrderedDict[str, np.ndarray] | None:
    out = place / f"{method}.csv"
    files = [f"file={place / 'data.json'}", f"init={place / 'init.json'}", "output", f"file={out}", "refresh=0"]
    how = ["method=optimize", f"algorithm={method}", f"iter={ITERATIONS}"]
    command = [_program(), "random", f"seed={seed}", "data", *files, *how]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603  # a program of the library, no shell
    if done.returncode or not out.is_file():
        return None
    lines = [line for line in out.read_text(encoding="ascii").splitlines() if line and not line.startswith("#")]
    if len(lines) < 2:
        return None
    from prophet.models import CmdStanPyBackend

    values = np.array([float(text) for text in lines[-1].split(",")])
    params = CmdStanPyBackend.stan_to_dict_numpy(lines[0].split(","), values)
    return OrderedDict((name, value.reshape(1, -1)) for name, value in params.items())


# --- warm start -------------------------------------------------------------------------------------------------------


def _init(text: str, shared: _Shared, frame: pd.DataFrame) -> dict[str, Any] | None:
    """The parameters of an earlier model in the units of the new one; None where the two have not the same columns.

    Prophet scales the time by the length of the history and demand by its maximum: both have changed since.
    """
    old = Curve.parse(text)
    same = old.components == sorted(shared.components.columns) and len(old.beta) == len(shared.priors)
    if old.growth != "linear" or not same:
        return None
    span = float((frame["ds"].max() - frame["ds"].min()).total_seconds())
    by_demand = old.y_scale / (float(frame["y"].abs().max()) or 1.0)
    by_rate = by_demand * span / old.t_scale
    return {
        "k": old.k * by_rate,
        "m": old.m * by_demand,
        "delta": old.delta * by_rate,
        "beta": old.beta,
        "sigma_obs": old.sigma * by_demand,
    }
