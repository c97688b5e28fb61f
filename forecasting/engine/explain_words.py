"""What a feature of a model is called, what it belongs to, and what its value says: words for people, not names."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RECENT, SAME_DAY, WEEKDAY, SEASON = "recent_sales", "same_weekday", "weekday", "season"
HOLIDAY, PRICE, PROMOTION, PLACE, AHEAD = ("holiday", "price", "promotion", "place_product", "ahead")
GROUPS = {
    RECENT: "Recent sales",
    SAME_DAY: "Same weekday in the weeks before",
    WEEKDAY: "Day of the week",
    SEASON: "Time of the month and year",
    HOLIDAY: "Holidays",
    PRICE: "Price",
    PROMOTION: "Promotion",
    PLACE: "Store and product",
    AHEAD: "How far ahead",
}
_ROLLING = re.compile(r"rolling_(mean|std)_lag(\d+)_window_size(\d+)")
_SEASONAL = re.compile(r"seasonal_rolling_mean_lag(\d+)_season_length(\d+)_window_size(\d+)")
_LAG = re.compile(r"lag(\d+)")
_LAGGED = re.compile(r"(.+)_lag(\d+)")
_MEAN = re.compile(r"sales_mean_(\d+)")
_SPREAD = re.compile(r"sales_spread_(\d+)")
_TREND = re.compile(r"sales_trend_(\d+)_(\d+)")
_ZEROS = re.compile(r"sales_zero_share_(\d+)")
_SAME_WEEKDAY = re.compile(r"sales_same_weekday_(\d+)")
_DERIVED = re.compile(r"(.+)_(since|until|share|relative|at_origin)")
EVENT_MOST = 28
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
    sales = _sales_words(name, value * level, grain, lead) or _history_words(name, value, level, grain)
    if sales is not None:
        return sales
    if name == "steps_ahead":
        return Words(AHEAD, "Days ahead" if grain == "D" else "Weeks ahead", _number(value))
    if name == "closed_share":
        return Words(WEEKDAY, "Closed on the same weekday before", _share(value))
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
    if name == "price_against_category":
        return Words(PRICE, "Price against its category", _share(value))
    derived = _DERIVED.fullmatch(name)
    if derived:
        return _derived_words(derived[1], derived[2], value, grain)
    lagged = _LAGGED.fullmatch(name)
    if lagged:
        step = "days" if grain == "D" else "weeks"
        group = regressor_group(lagged[1])
        text = f"{value * 100:,.0f}% of its average" if group == PRICE and np.isfinite(value) else _number(value)
        return Words(group, f"{plain(lagged[1])}, {lagged[2]} {step} before", text)
    text = yes_no(value) if name.startswith("is_") else _number(value)
    return Words(regressor_group(name), plain(name), text)


def _history_words(name: str, value: float, level: float, grain: str) -> Words | None:
    """A feature of the sales up to the origin, made of the history alone."""
    step = "day" if grain == "D" else "week"
    units = f"{_number(value * level)} unit{'' if value * level == 1 else 's'}" if np.isfinite(value) else _NO_VALUE
    for pattern, group, label in (
        (_MEAN, RECENT, "Average of the last {0} {step}s"),
        (_SPREAD, RECENT, "Ups and downs of the last {0} {step}s"),
        (_SAME_WEEKDAY, SAME_DAY, "Average of the same weekday over {0} weeks"),
    ):
        found = pattern.fullmatch(name)
        if found:
            alone = group == SAME_DAY and found[1] == "1"
            return Words(group, "Sales on the last same weekday" if alone else label.format(found[1], step=step), units)
    trend, zeros = _TREND.fullmatch(name), _ZEROS.fullmatch(name)
    if trend:
        return Words(RECENT, f"Last {trend[1]} {step}s against the last {trend[2]}", _share(value))
    if zeros:
        return Words(RECENT, f"Share of the last {zeros[1]} {step}s without a sale", _share(value))
    if name == "sales_last":
        return Words(RECENT, "Last sales known", units)
    if name == "sales_steps_since":
        return Words(RECENT, f"{step.capitalize()}s since the last sale", _number(value))
    if name == "sales_level":
        return Words(RECENT, f"Usual sales a {step}", _number(level))
    if name == "sales_year_ratio":
        return Words(SEASON, "The same weeks a year before, against those before them", _share(value))
    return None


def _derived_words(name: str, kind: str, value: float, grain: str) -> Words:
    """A feature made of a declared regressor: how long since or until, how often, against what it was."""
    step, own, group = (("days" if grain == "D" else "weeks"), plain(name), regressor_group(name))
    far = f"{EVENT_MOST} or more, or not known" if value >= EVENT_MOST else _number(value)
    if kind == "since":
        return Words(group, f"{own}: {step} since the last time", far)
    if kind == "until":
        return Words(group, f"{own}: {step} until the next time", far)
    if kind == "share":
        return Words(group, f"{own}: share of the four weeks before", _share(value))
    if kind == "at_origin" and group != PRICE:
        return Words(group, f"{own}, last known", _number(value))
    usual = f"{value * 100:,.0f}% of its average" if np.isfinite(value) else _NO_VALUE
    return Words(group, own if kind == "relative" else f"{own}, last known", usual)


def _share(value: float) -> str:
    return f"{value * 100:,.0f}%" if np.isfinite(value) else _NO_VALUE


def yes_no(value: float) -> str:
    """A flag in words."""
    return _NO_VALUE if not np.isfinite(value) else "yes" if value else "no"


def _reach(value: float) -> str:
    return _NO_VALUE if not np.isfinite(value) else f"{value:.0f}" if value < 7 else "7 or more"


def _number(value: float) -> str:
    if not np.isfinite(value):
        return _NO_VALUE
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}" if abs(value) < 10 else f"{value:,.1f}"
