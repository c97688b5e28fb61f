"""What the page of a strategy cycle shows, from its report: tables in words and the chart of one pair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forecasting.admin.charts import Chart
from forecasting.engine.strategy_choice import shares_text
from forecasting.services.strategy_report import cell
from ledger.templatetags.forecourt import words

BESIDE = "beside"
"""The chart's first choice: what the recommendation goes by, beside the best single."""
MEASURES = {
    "total_cost": "Total cost of the orders",
    "cost_stockout": "Cost of lost sales",
    "cost_overstock": "Cost of stock left over",
    "lost_sales_qty": "Units not sold for want of stock",
    "stockout_miss_rate": "Share of orders that fall short",
    "overstock_qty": "Units left over",
    "overstock_rate": "Share ordered too much",
    "wape": "Error (WAPE)",
    "bias": "Bias",
    "rmsse": "RMSSE",
    "wrmsse": "wRMSSE",
    "mase": "MASE",
    "coverage80": "Actuals inside the 80% band",
    "coverage95": "Actuals inside the 95% band",
    "winkler80": "Winkler score of the 80% band",
    "scrps": "sCRPS",
    "fva": "Value added over seasonal naive",
}
"""Every measure by what people call it, in the order of the page's choice."""
_SHARE = {"stockout_miss_rate", "overstock_rate", "wape", "bias", "coverage80", "coverage95", "fva"}
_MONEY = {"total_cost", "cost_stockout", "cost_overstock"}
_UNITS = {"lost_sales_qty", "overstock_qty"}
_SHOWN = {
    "total_cost": "Total cost", "wape": "Error (WAPE)", "stockout_miss_rate": "Orders short",
    "overstock_rate": "Overstock", "coverage80": "In 80% band",
}  # fmt: skip
FITTED = {"fitted:pair": "Fitted pair", "fitted:mixture": "Fitted mixture"}


def point_name(point: Mapping[str, Any]) -> str:
    """A point in words: "Lightgbm", "Lightgbm 0.7 and prophet 0.3"; weights by class are told class by class."""
    rows = {kind: shares_text(row) for kind, row in point["weights"].items()}
    if len(set(rows.values())) == 1:
        return words(next(iter(rows.values())))
    others = rows.pop("*")
    own = "; ".join(f"{kind}: {text}" for kind, text in sorted(rows.items()) if text != others)
    return words(f"{others}; {own}")


def page_of(report: Mapping[str, Any], pair: str, measure: str) -> dict[str, Any]:
    """Everything that the page shows of a report. pair ("one~other") and measure choose the chart; unknown ones are
    taken as not given."""
    points = {point["key"]: point for point in report["sweep"]["points"]}
    pairs = {f"{one['one']}~{one['other']}": one for one in report["sweep"]["pairs"]}
    pair = pair if pair in pairs else _first_pair(report, pairs)
    titles = {BESIDE: f"{MEASURES[report['recommendation']['measure']]}, beside the best single", **MEASURES}
    measure = measure if measure in titles else BESIDE
    if measure == BESIDE:
        chart, why = _beside_chart(report, pairs[pair], points), "the best single's is zero"
    else:
        chart, why = _chart(report, pairs[pair], points, measure), _why_undefined(pairs[pair], points, measure)
    return {
        "pair": pair,
        "measure": measure,
        "measure_title": titles[measure],
        "pairs": [(key, f"{words(one['one'])} with {one['other'].replace('_', ' ')}") for key, one in pairs.items()],
        "measures": list(titles.items()),
        "chart": chart,
        "why_undefined": why,
        "heads": list(_SHOWN.values()),
        "modes": _modes(report, points),
        "left_out": [
            *((words(name), "it declined every row") for name in report["sweep"]["absent"]),
            *((FITTED.get(key, point_name(one)), one["why_not"]) for key, one in points.items() if one["why_not"]),
        ],
        "steps": _steps(report, pairs[pair], points),
        "step_heads": list(MEASURES.values()),
        "lowest": _lowest(report, points),
        "unit": {"D": "days", "W": "weeks"}[report["sweep"]["grain"]],
    }


def _first_pair(report: Mapping[str, Any], pairs: Mapping[str, Any]) -> str:
    """The pair of the lowest point where it is one, else that of the two best singles that may be proposed."""
    choice = report["recommendation"]
    if choice["lowest"].startswith("pair:"):
        return next(key for key, one in pairs.items() if choice["lowest"] in one["points"])
    rows = [one for one in choice["contenders"] if one["key"].startswith("single:")]
    best = {one["key"].partition(":")[2] for one in sorted(rows, key=lambda one: one["value"])[:2]}
    return next((key for key in pairs if set(key.split("~")) == best), next(iter(pairs)))


def _beside_chart(report: Mapping[str, Any], pair: Mapping[str, Any], points: Mapping[str, Any]) -> Chart | None:
    """The change from the best single over the share of the pair's first family, with its paired interval."""
    choice = report["recommendation"]
    beside = choice["beside_single"]
    if not beside:
        return None
    changes = [beside[key] for key in pair["points"]]
    levels = [(name, role, _percent(beside[key]["change"])) for name, role, key in _levels(choice, points)]
    values = [_percent(one["change"]) for one in changes]
    known = all(one["low"] is not None for one in changes)
    bands = [[_percent(one[side]) for one in changes] for side in ("low", "high")] if known else []
    chart = _lines(pair, values, bands, levels)
    best = min(range(len(values)), key=lambda k: values[k])
    one, other = _pair_words(pair)
    return {
        **chart,
        "unit": "%",
        "yTitle": f"{MEASURES[choice['measure']]}, % more",
        "summary": (
            f"{MEASURES[choice['measure']]} of {one} with {other} beside the best single, by the share of {one}: "
            f"lowest at {1 - best / 10:.1f} with {values[best]:+.1f}%; {one} alone {values[0]:+.1f}%, {other} alone "
            f"{values[-1]:+.1f}%."
        ),
        "note": "Above the dashed line of the best single is worse. Where the band reaches that line, the difference "
        "is within the noise. The band is of the difference: the same series are drawn for both.",
    }


def _levels(choice: Mapping[str, Any], points: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What a pair is set against: name, role in the chart and key of the best single and of the fitted mixture."""
    out = [(f"Best single: {point_name(points[choice['single']]).lower()}", "champion", choice["single"])]
    if choice["mixture"] is not None:
        out.append((f"{FITTED[choice['mixture']]} on the other origins", "past", choice["mixture"]))
    return out


def _percent(change: float) -> float:
    return round(change * 100, 3)


def _pair_words(pair: Mapping[str, Any]) -> tuple[str, str]:
    return pair["one"].replace("_", " "), pair["other"].replace("_", " ")


def _lines(
    pair: Mapping[str, Any], values: list[Any], bands: list[list[Any]], levels: list[tuple[str, str, Any]]
) -> Chart:
    """A line over the shares with its band, and dashed levels beside it."""
    one, other = _pair_words(pair)
    series: list[dict[str, Any]] = []
    if bands:
        series.append({"name": "95% interval", "role": "band", "low": bands[0], "high": bands[1]})
    series.append({"name": f"{words(one)} with {other}", "role": "forecast", "points": True, "values": values})
    series += [{"name": n, "role": role, "dashed": True, "values": [y] * len(values)} for n, role, y in levels]
    return {
        "type": "line",
        "fromZero": False,
        "labels": [f"{1 - k / 10:.1f}" for k in range(len(values))],
        "labelTitle": f"Share of {one}",
        "xTitle": f"Share of {one}; the rest is {other}",
        "series": series,
    }


def _chart(report: Mapping[str, Any], pair: Mapping[str, Any], points: Mapping[str, Any], measure: str) -> Chart | None:
    """A measure over the share of the pair's first family, beside the best single and the mixture that was fitted."""
    figures = [points[key]["figures"][measure] for key in pair["points"]]
    if all(figure["value"] is None for figure in figures):
        return None
    choice, currency = report["recommendation"], report["currency"]
    one, other = _pair_words(pair)
    values = [_plot(figure["value"], measure) for figure in figures]
    bands = [[_plot(figure[side], measure) for figure in figures] for side in ("low", "high")]
    known = any(value is not None for value in bands[0])
    levels = [
        (name, role, _plot(points[key]["figures"][measure]["value"], measure))
        for name, role, key in _levels(choice, points)
    ]
    best = min((k for k, figure in enumerate(figures) if figure["value"] is not None), key=lambda k: values[k] or 0.0)
    unit = "%" if measure in _SHARE else currency if measure in _MONEY else "units" if measure in _UNITS else ""
    return {
        **_lines(pair, values, bands if known else [], levels),
        "yTitle": f"{MEASURES[measure]}{', ' + unit if unit else ''}",
        "unit": unit,
        "summary": (
            f"{MEASURES[measure]} of {one} with {other}, by the share of {one}: lowest at {1 - best / 10:.1f} with "
            f"{cell(figures[best], measure, currency, interval=False)}; {one} alone "
            f"{cell(figures[0], measure, currency, interval=False)}, {other} alone "
            f"{cell(figures[-1], measure, currency, interval=False)}."
        ),
        "note": "The interval is of the series: how far the figure moves when other series of the same kind are drawn. "
        "It is much wider than the difference between two points, which move together.",
    }


def _plot(value: float | None, measure: str) -> float | None:
    if value is None:
        return None
    return round(value * 100, 3) if measure in _SHARE else round(value, 4)


def _why_undefined(pair: Mapping[str, Any], points: Mapping[str, Any], measure: str) -> str:
    figure = points[pair["points"][0]]["figures"][measure]
    return str(figure["reason"]) if figure["value"] is None else ""


def _modes(report: Mapping[str, Any], points: Mapping[str, Any]) -> list[dict[str, Any]]:
    choice, currency = report["recommendation"], report["currency"]
    rows = []
    for one in choice["contenders"]:
        point, against, between = points[one["key"]], one["against_best"], ""
        if one["key"] == choice["best"]:
            more = "the least"
        elif against["change"] is None:
            more = str(against["reason"])
        else:
            more = f"{against['change']:+.1%}".replace("-", "−")
            between = f"{against['low']:+.1%} to {against['high']:+.1%}".replace("-", "−")
        rows.append({
            "name": point_name(point),
            "kind": FITTED.get(one["key"], "One model"),
            "cells": _cells(point, _SHOWN, currency),
            "more": more,
            "between": between,
            "within_noise": one["within_noise"],
            "proposed": one["key"] == choice["key"],
        })  # fmt: skip
    return rows


def _cells(point: Mapping[str, Any], names: Any, currency: str) -> list[dict[str, str]]:
    """Figures with their intervals apart, so that a narrow column holds them."""
    out = []
    for name in names:
        figure = point["figures"][name]
        whole = cell(figure, name, currency)
        out.append({
            "text": cell(figure, name, currency, interval=False),
            "interval": whole[whole.index("[") + 1 : whole.index("]")].replace(", ", " to ") if "[" in whole else "",
            "title": str(figure["reason"] or ""),
        })  # fmt: skip
    return out


def _steps(report: Mapping[str, Any], pair: Mapping[str, Any], points: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "share": f"{1 - tenth / 10:.1f} / {tenth / 10:.1f}",
            "cells": _cells(points[key], MEASURES, report["currency"]),
        }
        for tenth, key in enumerate(pair["points"])
    ]


def _lowest(report: Mapping[str, Any], points: Mapping[str, Any]) -> str:
    """What the lowest point of the sweep is and what that is worth, in one sentence; empty where it is proposed."""
    choice = report["recommendation"]
    against = choice["lowest_against"]
    if against is None:
        return ""
    measure = MEASURES[choice["measure"]].lower() if choice["measure"] != "wape" else "error (WAPE)"
    text = f"The lowest {measure} of the whole sweep is that of {point_name(points[choice['lowest']]).lower()}"
    if against["change"] is not None:
        low, high = f"{against['low']:+.1%}".replace("-", "−"), f"{against['high']:+.1%}".replace("-", "−")
        text += f": {against['change']:+.1%} beside what is proposed (95%: {low} to {high})".replace("-", "−")
    return f"{text}. It was found by looking at these very origins, so it flatters."
