"""The page that holds two versions against each other."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from forecasting import selectors
from forecasting.admin.charts import Chart, rounded
from forecasting.admin.review import GATES
from forecasting.admin.totals_view import sold_by_day
from forecasting.models import ForecastNodePath, ForecastSet, Level, ModelVersion
from forecasting.models.registry import TrainingMode
from forecasting.services.comparing import SHARES, Comparison, ScoreRow, compare_versions
from ledger.templatetags.forecourt import UNKNOWN, num, pct, words
from ledger.templatetags.forecourt import day as day_text

_DIGITS = 9


def compare_page(request: HttpRequest) -> dict[str, Any]:
    """Context of the page. ``a`` and ``b`` are numbers of versions; without them the champion (or the one before the
    newest) stands against the newest."""
    known = ModelVersion.objects.exclude(mode=TrainingMode.DRILL).select_related("spec")
    choices = list(known.defer("manifest", "backtest", "evaluation", "notes"))
    named, problem = {}, ""
    for side in ("a", "b"):
        text = request.GET.get(side, "").strip().lower().removeprefix("v")
        if not text:
            continue
        found = next((one for one in choices if str(one.number) == text), None)
        if found is None:
            problem = f"There is no version {text[:20]!r} here. Choose two of the list."
        else:
            named[side] = found.pk
    if not problem and len(choices) > 1:
        named = {**_suggested(choices), **named}
    context: dict[str, Any] = {
        "choices": choices,
        "chosen": {side: named.get(side) for side in ("a", "b")},
        "problem": problem,
        "alone": len(choices) < 2,
    }
    if problem or len(named) < 2:
        return context
    sides = {one.pk: one for one in ModelVersion.objects.select_related("spec").filter(pk__in=named.values())}
    first, second = sides[named["a"]], sides[named["b"]]
    compared = compare_versions(first, second)
    tables = [{"table": table, "rows": [_shown(row, compared) for row in table.rows]} for table in compared.scores]
    return {
        **context,
        "compared": compared,
        "same": first.pk == second.pk,
        "names": (first.label, second.label),
        "tables": tables,
        "gates": [{**row, "title": GATES.get(row["name"], (words(row["name"]), ""))[0]} for row in compared.gates],
        "differences": [
            ("Spec", compared.spec, "Both are fits of the same spec."),
            ("Windows", compared.windows, "Both were trained in the same windows."),
            ("Data and code", compared.data, "Both were trained on the same data, by the same code."),
            ("Features", compared.features, "Both see the same features."),
        ],
        "chart": _chart(compared),
    }


def _suggested(choices: list[ModelVersion]) -> dict[str, int]:
    champion = selectors.current_champion()
    newest = choices[0]
    if champion is not None and champion.version_id != newest.pk:
        return {"a": champion.version_id, "b": newest.pk}
    return {"a": choices[1].pk, "b": newest.pk}


def _shown(row: ScoreRow, compared: Comparison) -> dict[str, Any]:
    better = {"a": compared.first.label, "b": compared.second.label, "same": "the same"}.get(row.better, UNKNOWN)
    return {
        "title": row.title,
        "direction": row.direction,
        "first": _figure(row.name, row.first),
        "second": _figure(row.name, row.second),
        "why": (row.why_first, row.why_second),
        "difference": _signed(row),
        "better": better,
        "side": row.better,
    }


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return pct(value) if name in SHARES else num(value, 0 if abs(value) >= 100 else 3)


def _signed(row: ScoreRow) -> str:
    change = row.difference
    if change is None:
        return UNKNOWN
    sign = "" if abs(change) < 10**-_DIGITS else "+" if change > 0 else "−"
    if row.name in SHARES:
        return f"{sign}{abs(change) * 100:.1f} points"
    share = f" ({sign}{abs(change / row.first):.1%})" if row.first else ""
    return f"{sign}{_figure(row.name, abs(change))}{share}"


def _chart(compared: Comparison) -> Chart | None:
    """Total demand as both forecast it from one origin, and what came."""
    if compared.sets is None:
        return None
    lines = [_total(made) for made in compared.sets]
    days = sorted({day for line in lines for day in line})
    if not days or not all(lines):
        return None
    origin = compared.sets[0].origin_date
    sold = sold_by_day(Level.TOTAL, "", origin, days[-1])
    names = (compared.first.label, compared.second.label)
    series: list[dict[str, Any]] = [
        {"name": name, "role": role, "dashed": role == "champion", "values": [rounded(line.get(day)) for day in days]}
        for name, role, line in zip(names, ("champion", "candidate"), lines, strict=True)
    ]
    if sold:
        values = [rounded(sold.get(day)) for day in days]
        series.insert(0, {"name": "Sold", "role": "actual", "values": values})
    sums = [sum(line.values()) for line in lines]
    return {
        "type": "line",
        "labels": [day_text(day) for day in days],
        "labelTitle": "Day",
        "series": series,
        "unit": "units",
        "yTitle": "Units, all series",
        "summary": f"Total demand forecast from {day_text(origin)}: {names[0]} says {sums[0]:,.0f} units over the "
        f"horizon, {names[1]} {sums[1]:,.0f}.",
        "note": f"Both forecasts were made from {day_text(origin)}.",
    }


def _total(made: ForecastSet) -> dict[Any, float]:
    path = ForecastNodePath.objects.filter(forecast_set=made, level=Level.TOTAL).first()
    return {point.day: point.yhat for point in selectors.path_points(path)} if path is not None else {}
