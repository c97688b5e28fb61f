"""A strategy cycle as Markdown, from its report alone: the same report gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

UNKNOWN = "–"
_MONEY = ("cost_stockout", "cost_overstock", "total_cost")
_SHARE = ("wape", "bias", "coverage80", "coverage95", "fva", "stockout_miss_rate", "overstock_rate")
HEADS = {
    "wape": "WAPE", "bias": "bias", "rmsse": "RMSSE", "wrmsse": "wRMSSE", "mase": "MASE",
    "coverage80": "in the 80% band", "coverage95": "in the 95% band", "winkler80": "Winkler80", "scrps": "sCRPS",
    "fva": "FVA", "lost_sales_qty": "lost sales", "stockout_miss_rate": "orders short",
    "overstock_qty": "overstock", "overstock_rate": "overstock share", "cost_stockout": "cost of stockouts",
    "cost_overstock": "cost of overstock", "total_cost": "total cost",
}  # fmt: skip
_SWEEP = ("total_cost", "wape", "bias", "wrmsse", "winkler80", "coverage80", "stockout_miss_rate", "overstock_rate")


def to_markdown(report: Mapping[str, Any]) -> str:
    """The whole cycle as a document: the proposal, what it was judged on, every mode, every pair's sweep."""
    lines = ["# Strategy cycle: one model or a mixture", "", report["recommendation"]["sentence"], ""]
    lines += _proposal(report) + _ground(report) + _modes(report) + _every(report) + _sweeps(report) + _reading(report)
    return "\n".join(lines).rstrip() + "\n"


def cell(figure: Mapping[str, Any], name: str, currency: str, *, interval: bool = True) -> str:
    """A figure for people, with its 95% interval where it has one: "0.312 [0.290, 0.330]"."""
    if figure["value"] is None:
        return UNKNOWN
    text = _number(figure["value"], name)
    if interval and figure["low"] is not None:
        text += f" [{_number(figure['low'], name)}, {_number(figure['high'], name)}]"
    return f"{text} {currency}" if name in _MONEY else text


def _number(value: float, name: str) -> str:
    if name in _MONEY or name.endswith("_qty"):
        return f"{value:,.0f}"
    return f"{value * 100:.1f}%" if name in _SHARE else f"{value:.3f}"


def _proposal(report: Mapping[str, Any]) -> list[str]:
    decision = report["decision"]
    rows = [
        ("Mode", f"`{decision['mode']}`"),
        ("Spec", decision["spec_label"]),
        ("Point of the sweep", f"`{decision['point']}`"),
        ("SHA-256 of the spec", f"`{decision['spec_sha256']}`"),
        ("State", "proposed by the cycle; it serves only after training, gates and a reviewer's approval"),
    ]
    return ["## Proposal", "", *_table(("", ""), rows), ""]


def _ground(report: Mapping[str, Any]) -> list[str]:
    sweep, window, policy = report["sweep"], report["window"], report["sweep"]["policy"]
    step = {"D": "days", "W": "weeks"}[sweep["grain"]]
    rows = [
        ("Data", f"{window['train_start']} to {window['train_end']}, fingerprint `{window['fingerprint']}`"),
        ("Sealed", f"{window['holdout_start']} to {window['holdout_end']}: not read"),
        ("Origins", ", ".join(sweep["origins"]) + f"; {sweep['horizon']} {step} ahead of each"),
        ("Series", f"{sweep['series']} ({', '.join(f'{n} {name}' for name, n in sweep['classes'].items())})"),
        ("Orders", f"lead time {policy['lead_time_days']} + review period {policy['review_period_days']} days"),
        ("Intervals", f"{sweep['bootstrap']['resamples']} resamples of series, seed {sweep['bootstrap']['seed']}"),
    ]
    return ["## What it was judged on", "", *_table(("", ""), rows), ""]


def _modes(report: Mapping[str, Any]) -> list[str]:
    choice, currency = report["recommendation"], report["currency"]
    points = {point["key"]: point for point in report["sweep"]["points"]}
    rows = []
    for one in choice["contenders"]:
        against, point = one["against_best"], points[one["key"]]
        more = UNKNOWN
        if one["key"] == choice["best"]:
            more = "the least"
        elif against["change"] is not None:
            more = f"{against['change']:+.1%} [{against['low']:+.1%}, {against['high']:+.1%}]"
        figure = cell(point["figures"][choice["measure"]], choice["measure"], currency)
        proposed = " **proposed**" if one["key"] == choice["key"] else ""
        rows.append((f"`{one['key']}`{proposed}", point["label"], figure, more, "yes" if one["within_noise"] else "no"))
    measure = HEADS[choice["measure"]]
    heads = ("Mode", "Spec", measure.capitalize() if measure.islower() else measure, "More than the least", "In noise")
    rest = [
        f"`{point['key']}` may not be proposed: {point['why_not']}."
        for point in report["sweep"]["points"]
        if point["why_not"]
    ]
    return ["## Modes", "", *_table(heads, rows), "", *(rest and [*rest, ""])]


def _every(report: Mapping[str, Any]) -> list[str]:
    """Every score and cost of every mode."""
    points = {point["key"]: point for point in report["sweep"]["points"]}
    keys = list(report["sweep"]["modes"])
    rows = [
        (head, *(cell(points[key]["figures"][name], name, report["currency"]) for key in keys))
        for name, head in HEADS.items()
    ]
    why = sorted({
        f"{HEADS[name]}: {figure['reason']}"
        for key in keys
        for name, figure in points[key]["figures"].items()
        if figure["value"] is None
    })  # fmt: skip
    notes = [f"{UNKNOWN} {text}." for text in why]
    return [
        "## Every score and cost",
        "",
        *_table(("", *(f"`{k}`" for k in keys)), rows),
        "",
        *(notes and [*notes, ""]),
    ]


def _sweeps(report: Mapping[str, Any]) -> list[str]:
    points = {point["key"]: point for point in report["sweep"]["points"]}
    lines = ["## Sweep of every pair", ""]
    for pair in report["sweep"]["pairs"]:
        rows = []
        for tenth, key in enumerate(pair["points"]):
            figures = points[key]["figures"]
            share = 1.0 - tenth / 10
            cells = [cell(figures[name], name, report["currency"]) for name in _SWEEP]
            rows.append((f"{share:.1f} / {1 - share:.1f}", *cells))
        heads = (f"{pair['one']} / {pair['other']}", *(HEADS[name] for name in _SWEEP))
        lines += [f"### {pair['one']} and {pair['other']}", "", *_table(heads, rows), ""]
    return lines


def _reading(report: Mapping[str, Any]) -> list[str]:
    text = (
        "Each origin is forecast by models that were fitted before it. Its intervals and its orders are calibrated on "
        "the other origins, and fitted weights (`fitted:...`) come from the other origins, too. Brackets hold the "
        "central 95% of a bootstrap over series, the same draws for every point. A mode is within the noise where that "
        "interval of its difference from the least reaches zero; the simplest such mode is proposed."
    )
    lowest = report["recommendation"]["lowest"]
    found = f"The lowest point of the whole sweep is `{lowest}`; found by looking at these very origins, it flatters."
    return ["## How to read it", "", text, "", found]


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [_row(heads), "|" + " --- |" * len(heads)]
    return [*lines, *(_row(row) for row in rows)]


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"
