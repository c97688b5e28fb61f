"""What a reviewer reads of a judgement: the gates in plain words, and the evidence as charts and tables."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from forecasting.admin.charts import Chart, pair_chart
from forecasting.admin.glossary import explained
from forecasting.models import GateReport
from ledger.templatetags.forecourt import UNKNOWN, money_text, num, pct, words
from ledger.templatetags.forecourt import day as day_text

SCOPES = {
    "business": "What it costs",
    "ds": "How well it forecasts",
    "evidence": "How sure we can be",
    "operations": "Whether the house is in order",
}
_SHARE, _MONEY, _UNITS, _PLAIN = "share", "money", "units", "plain"
# name: (question in plain words, how its figures read)
GATES: dict[str, tuple[str, str]] = {
    "total_cost": ("Does it lower the total cost of stock?", _MONEY),
    "cost_stockout": ("Do empty shelves cost no more?", _MONEY),
    "cost_overstock": ("Does stock that is left over cost no more?", _MONEY),
    "lost_sales": ("Are no more sales lost?", _UNITS),
    "stockout_rate": ("Do orders fall short no more often?", _SHARE),
    "overstock_rate": ("Is no larger share ordered too much?", _SHARE),
    "wape": ("Is its error in units no larger? (WAPE)", _SHARE),
    "wrmsse": ("Is its error no larger where the revenue is? (wRMSSE)", _PLAIN),
    "bias": ("Does it lean no further to one side? (bias)", _SHARE),
    "calibration": ("Does the truth fall into its 80% band about 80% of the time?", _SHARE),
    "beats_naive": ("Does it beat last week’s figures repeated? (value added)", _SHARE),
    "inputs": ("Were both judged on the same rows, with every score present?", _PLAIN),
    "partition": ("Was the holdout sealed and opened no more than allowed?", _PLAIN),
    "samples": ("Is there enough to judge by?", _PLAIN),
    "evidence": ("Is it lower cost by more than luck? (2,000 resamples)", _SHARE),
    "operations": ("Are no alarms open, and is the tenant ready?", _PLAIN),
}


_PARTS = {"lost_sales": "lost_sales_qty", "cost_stockout": "cost_stockout", "cost_overstock": "cost_overstock"}


def gate_groups(report: GateReport, currency: str, against: str) -> list[dict[str, Any]]:
    """The gates by scope, in the order that a business reader asks, failing ones first, each with readable figures."""
    spreads = report.evidence.get("bootstrap_parts") or {}
    groups = []
    for scope, title in SCOPES.items():
        rows = [_gate_row(result, currency, against) for result in report.results if result.get("scope") == scope]
        for row in rows:
            row["reason"] += _by_chance(spreads.get(_PARTS.get(row["name"], "")))
        rows.sort(key=lambda row: (row["passed"], row["order"]))
        if rows:
            groups.append({"title": title, "rows": rows, "failed": sum(not row["passed"] for row in rows)})
    other = [_gate_row(result, currency, against) for result in report.results if result.get("scope") not in SCOPES]
    if other:
        groups.append({"title": "Further", "rows": other, "failed": sum(not row["passed"] for row in other)})
    return sorted(groups, key=lambda group: not group["failed"])


def _gate_row(result: dict[str, Any], currency: str, against: str) -> dict[str, Any]:
    name = str(result.get("name", ""))
    question, kind = GATES.get(name, (name.replace("_", " ").capitalize(), _PLAIN))
    threshold = result.get("threshold")
    sides = {side: result.get(side) if name != "inputs" else None for side in ("champion", "candidate")}
    limit = _figure(threshold, kind, currency)
    if isinstance(threshold, int | float):
        limit = ("above " if name == "beats_naive" else "at most ") + limit
    return {
        "order": list(GATES).index(name) if name in GATES else len(GATES),
        "name": name,
        "question": question,
        "explained": explained(name),
        "champion": _figure(sides["champion"], kind, currency),
        "candidate": _figure(sides["candidate"], kind, currency),
        "threshold": limit,
        "passed": result.get("passed") is True,
        "missing": bool(result.get("missing")),
        "reason": _why(result, sides, kind, against),
    }


def _by_chance(spread: dict[str, Any] | None) -> str:
    """How far chance alone moves a part of the cost: what the gate's figure is to be read with."""
    if not spread or spread.get("low") is None or spread.get("high") is None:
        return ""
    text = f"; 95% of resamples between {spread['low']:+.1%} and {spread['high']:+.1%}"
    return f"{text}, so chance alone could turn it" if spread["low"] < 0 < spread["high"] else text


def _why(result: dict[str, Any], sides: dict[str, Any], kind: str, against: str) -> str:
    """How far the candidate is from the champion, where both are figures; else the judge's own words."""
    before, after = sides["champion"], sides["candidate"]
    plain = isinstance(before, int | float) and isinstance(after, int | float)
    if not plain or result.get("missing") or result.get("name") in ("calibration", "beats_naive"):
        return str(result.get("reason", "")).replace("_", " ")
    change = after - before
    if abs(change) < 1e-9:
        text = f"the same as {against}"
    elif kind == _SHARE:
        text = f"{abs(change) * 100:.1f} points {'lower' if change < 0 else 'higher'} than {against}"
    elif before:
        text = f"{abs(change / before):.1%} {'lower' if change < 0 else 'higher'} than {against}"
    else:
        text = f"{against} has none"
    return text if result.get("passed") is True else f"{text}: past the limit"


def _figure(value: Any, kind: str, currency: str) -> str:
    if value is None or isinstance(value, bool):
        return UNKNOWN
    if isinstance(value, str):
        return value.replace("_", " ")
    if kind == _SHARE:
        return pct(value)
    if kind == _MONEY:
        return money_text(value, currency)
    return num(value) if kind == _UNITS or float(value).is_integer() else num(value, 3)


def judgement(report: GateReport, request: HttpRequest) -> dict[str, Any]:
    """Everything that the pages show of a judgement."""
    evidence = report.evidence if isinstance(report.evidence, dict) else {}
    tenant = getattr(request, "tenant", None)
    currency = str(evidence.get("currency") or getattr(tenant, "currency", "USD"))
    labels = evidence.get("labels", {})
    names = (_name(labels.get("champion"), "Champion"), _name(labels.get("candidate"), "Candidate"))
    groups = gate_groups(report, currency, names[0] if names[0] != "Seasonal naive" else "seasonal naive")
    return {
        "report": report,
        "names": names,
        "sentence": evidence.get("sentence") or f"{names[1]} was judged: {report.get_verdict_display().lower()}.",
        "groups": groups,
        "gates_total": sum(len(group["rows"]) for group in groups),
        "gates_failed": sum(group["failed"] for group in groups),
        "holdout": evidence.get("holdout", {}),
        "bootstrap": evidence.get("bootstrap", {}),
        "business": _business(evidence.get("business", {}), currency),
        "confidence": evidence.get("business", {}).get("confidence", ""),
        "weeks_chart": _weeks(evidence.get("weeks", []), names),
        "stores_chart": _stores(evidence.get("stores", []), names, currency),
        "stores_left_out": evidence.get("stores_left_out", 0),
        "calibration_chart": _calibration(evidence.get("calibration", []), names),
        "differences": [_difference(k, one, names) for k, one in enumerate(evidence.get("differences", [])[:10])],
        "rolling": _rolling(evidence.get("rolling_origin", {})),
        "realised": evidence.get("realised", []),
    }


def _name(label: Any, otherwise: str) -> str:
    """A side's name as a heading: v7 stays v7, seasonal naive becomes Seasonal naive."""
    text = str(label or otherwise)
    return text if text[:1] == "v" and text[1:].isdigit() else words(text)


def _value(scores: Any, *path: str) -> float | None:
    for key in path:
        scores = scores.get(key) if isinstance(scores, dict) else None
    if isinstance(scores, dict):
        scores = scores.get("value")
    return float(scores) if isinstance(scores, int | float) else None


def _percent(value: float | None) -> float | None:
    return None if value is None else round(value * 100, 2)


def _weeks(weeks: list[dict[str, Any]], names: tuple[str, str]) -> Chart | None:
    if not weeks:
        return None
    champion = [_percent(_value(week, "champion", "wape")) for week in weeks]
    candidate = [_percent(_value(week, "candidate", "wape")) for week in weeks]
    better = sum(c is not None and b is not None and c < b for c, b in zip(candidate, champion, strict=True))
    return pair_chart(
        [f"Week of {day_text(week.get('start')).rpartition(' ')[0]}" for week in weeks],
        champion,
        candidate,
        names,
        unit="%",
        yTitle="Error (WAPE), %",
        labelTitle="Week of the holdout",
        summary=f"Error by week of the holdout: {names[1]} has the smaller error in {better} of {len(weeks)} weeks.",
        note="Lower is better. These weeks were sealed: neither model has seen them.",
    )


def _stores(stores: list[dict[str, Any]], names: tuple[str, str], currency: str) -> Chart | None:
    if not stores:
        return None
    money = any(_value(one, "candidate", "cost_per_week") is not None for one in stores)
    score, factor = ("cost_per_week", 1.0) if money else ("wape", 100.0)
    sides = [
        [None if (v := _value(one, side, score)) is None else round(v * factor, 2) for one in stores]
        for side in ("champion", "candidate")
    ]
    title = f"Stock cost a week, {currency}" if money else "Error (WAPE), %"
    better = sum(c is not None and b is not None and c < b for b, c in zip(*sides, strict=True))
    return pair_chart(
        [str(one.get("store", "")) for one in stores],
        sides[0],
        sides[1],
        names,
        unit=currency if money else "%",
        yTitle=title,
        labelTitle="Store",
        summary=f"{title}, by store: {names[1]} is lower in {better} of {len(stores)} stores.",
        note="Lower is better." if money else "Cost by store is not known (no prices); the error is shown instead.",
    )


def _calibration(levels: list[dict[str, Any]], names: tuple[str, str]) -> Chart | None:
    if not levels:
        return None
    chart = pair_chart(
        [f"{float(level.get('nominal', 0)):.0%} band" for level in levels],
        [_percent(_value(level, "champion")) for level in levels],
        [_percent(_value(level, "candidate")) for level in levels],
        names,
        unit="%",
        yTitle="Actuals inside the band, %",
        labelTitle="Band",
        summary="Share of actuals inside the 80% and the 95% band; nearer to the band’s name is better.",
        note="An honest 80% band holds about 80% of what came: more means too wide, fewer means too sure.",
    )
    chart["series"].insert(
        0,
        {"name": "Promised", "role": "past", "values": [_percent(float(level.get("nominal", 0))) for level in levels]},
    )
    return chart


def _difference(k: int, one: dict[str, Any], names: tuple[str, str]) -> dict[str, Any]:
    title = f"{one.get('store', '')} · {one.get('product', '')}"
    chart: Chart = {
        "type": "line",
        "labels": [day_text(day) for day in one.get("dates", [])],
        "labelTitle": "Day",
        "unit": "units",
        "series": [
            {"name": "Sold", "role": "actual", "values": one.get("actual", [])},
            {"name": names[0], "role": "champion", "dashed": True, "values": one.get("champion", [])},
            {"name": names[1], "role": "candidate", "values": one.get("candidate", [])},
        ],
        "summary": f"{title}: what sold, and what {names[0]} and {names[1]} had forecast.",
    }
    return {"id": f"difference-{k}", "title": title, "series": one.get("series"), "chart": chart}


_BUSINESS = (
    ("total_cost", "Total cost a week", _MONEY),
    ("cost_stockout", "of it: lost margin on empty shelves", _MONEY),
    ("cost_overstock", "of it: stock left over", _MONEY),
    ("lost_sales_qty", "Units not sold a week", _UNITS),
    ("stockout_miss_rate", "Share of orders that fall short", _SHARE),
)


def _business(business: dict[str, Any], currency: str) -> list[dict[str, str]]:
    """The money sums a week, champion and candidate."""
    rows = []
    for name, title, kind in _BUSINESS:
        sides = []
        for side in ("champion", "candidate"):
            score = business.get(side, {}).get(name, {})
            value = score.get("value") if kind == _SHARE else score.get("per_week")
            sides.append(value if isinstance(value, int | float) else None)
        if any(value is not None for value in sides):
            before, after = sides
            change = after - before if before is not None and after is not None else None
            rows.append({
                "title": title,
                "champion": _figure(sides[0], kind, currency),
                "candidate": _figure(sides[1], kind, currency),
                "change": _signed(change, kind, currency),
            })  # fmt: skip
    return rows


def _signed(change: Any, kind: str, currency: str) -> str:
    if change is None:
        return UNKNOWN
    if kind == _SHARE:
        return f"{change * 100:+.1f} points"
    text = _figure(abs(change), kind, currency)
    return f"{'+' if change > 0 else '−' if change < 0 else ''}{text}"


def _rolling(rolling: dict[str, Any]) -> list[dict[str, str]]:
    rows = []
    for name, title in (("wape", "Error (WAPE)"), ("bias", "Bias"), ("coverage80", "Inside the 80% band")):
        sides = [_value(rolling, side, name) for side in ("champion", "candidate")]
        if any(value is not None for value in sides):
            rows.append({"title": title, "champion": pct(sides[0]), "candidate": pct(sides[1])})
    return rows
