"""What a feature of a model is called, what it belongs to, and what its value says: words for people, not names."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RECENT, SAME_DAY, WEEKDAY, SEASON = "recent_sales", "same_weekday", "weekday", "season"
HOLIDAY, PRICE, PROMOTION, PLACE = "holiday", "price", "promotion", "place_product"
GROUPS = {
    RECENT: "Recent sales",
    SAME_DAY: "Same weekday in the weeks before",
    WEEKDAY: "Day of the week",
    SEASON: "Time of the month and year",
    HOLIDAY: "Holidays",
    PRICE: "Price",
    PROMOTION: "Promotion",
    PLACE: "Store and product",
}
_ROLLING = re.compile(r"rolling_(mean|std)_lag(\d+)_window_size(\d+)")
_SEASONAL = re.compile(r"seasonal_rolling_mean_lag(\d+)_season_length(\d+)_window_size(\d+)")
_LAG = re.compile(r"lag(\d+)")
_LAGGED = re.compile(r"(.+)_lag(\d+)")
_SEASON_LABELS = {"monthday": "Day of the month", "week_of_month": "Week of the month", "yearly": "Time of year",
                  "year_sin": "Time of year (first wave)", "year_cos": "Time of year (second wave)"}  # fmt: skip
_HOLIDAY_LABELS = {"holiday": "A public holiday", "days_to_holiday": "Days until the next holiday",
                   "days_since_holiday": "Days since the last holiday"}  # fmt: skip
_OWN_LABELS = {
    "is_promotional": "On promotion",
    "is_holiday": "A holiday",
    "store_id": "Store",
    "product_id": "Product",
    "unit_price": "Price",
}
_NO_VALUE = "not known"


@dataclass(frozen=True)
class Words:
    """A feature in words. `group` is a key of `GROUPS`, or the feature's own name where it stands alone."""

    group: str
    label: str
    value: str

    @property
    def group_label(self) -> str:
        """The group's title."""
        return GROUPS.get(self.group, plain(self.group))


def plain(name: str) -> str:
    """A name as words: `is_open_late` becomes `Open late`."""
    if name in _OWN_LABELS:
        return _OWN_LABELS[name]
    text = name.removeprefix("is_").replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def regressor_group(name: str) -> str:
    """The group of a declared regressor: price, promotion, holidays, or one of its own."""
    low = name.lower()
    for part, group in (("price", PRICE), ("promo", PROMOTION), ("discount", PROMOTION), ("holiday", HOLIDAY)):
        if part in low:
            return group
    return name


def feature_words(
    name: str, value: float, *, grain: str, level: float, codes: Mapping[str, Sequence[str]], lead: int
) -> Words:
    """A feature of the global model. value: as the model saw it; sales are divided by `level` there (units).

    lead: steps after the last known day: a lag shorter than that is itself a forecast.
    """
    if name in codes:
        known = np.isfinite(value) and 0 <= int(value) < len(codes[name])
        return Words(PLACE, plain(name), codes[name][int(value)] if known else "new")
    sales = _sales_words(name, value * level, grain, lead)
    if sales is not None:
        return sales
    if name == "weekday":
        return Words(WEEKDAY, "Day of the week", calendar.day_name[int(value)] if np.isfinite(value) else _NO_VALUE)
    if name in _SEASON_LABELS:
        return Words(SEASON, _SEASON_LABELS[name], _number(value + (name == "week_of_month")))
    if name in _HOLIDAY_LABELS:
        return Words(HOLIDAY, _HOLIDAY_LABELS[name], yes_no(value) if name == "holiday" else _reach(value))
    return _regressor_words(name, value, grain)


def _sales_words(name: str, units: float, grain: str, lead: int) -> Words | None:
    step = "day" if grain == "D" else "week"
    text = f"{_number(units)} unit{'' if units == 1 else 's'}" if np.isfinite(units) else _NO_VALUE
    lag = _LAG.fullmatch(name)
    if lag:
        back = int(lag[1])
        same = grain == "D" and back % 7 == 0
        ago = f"{back // 7} week{'s' if back > 7 else ''}" if same else f"{back} {step}{'s' if back > 1 else ''}"
        text += ", itself forecast" if back < lead else ""
        return Words(SAME_DAY if same else RECENT, f"Sales {ago} before", text)
    seasonal = _SEASONAL.match(name)
    if seasonal:
        text += ", partly forecast" if int(seasonal[1]) < lead else ""
        return Words(SAME_DAY, f"Average of the same weekday over {seasonal[3]} weeks", text)
    rolling = _ROLLING.match(name)
    if rolling:
        text += ", partly forecast" if int(rolling[2]) < lead else ""
        what = "Average" if rolling[1] == "mean" else "Ups and downs"
        return Words(RECENT, f"{what} of the last {rolling[3]} {step}s", text)
    return None


def _regressor_words(name: str, value: float, grain: str) -> Words:
    if name == "unit_price":
        share = f"{value * 100:,.0f}% of its average" if np.isfinite(value) else _NO_VALUE
        return Words(PRICE, "Price", share)
    lagged = _LAGGED.fullmatch(name)
    if lagged:
        step = "days" if grain == "D" else "weeks"
        return Words(regressor_group(lagged[1]), f"{plain(lagged[1])}, {lagged[2]} {step} before", _number(value))
    text = yes_no(value) if name.startswith("is_") else _number(value)
    return Words(regressor_group(name), plain(name), text)


def yes_no(value: float) -> str:
    """A flag in words."""
    return _NO_VALUE if not np.isfinite(value) else "yes" if value else "no"


def _reach(value: float) -> str:
    return _NO_VALUE if not np.isfinite(value) else f"{value:.0f}" if value < 7 else "7 or more"


def _number(value: float) -> str:
    if not np.isfinite(value):
        return _NO_VALUE
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}"
