"""Totals: the total, the stores and the categories, what sold and what is forecast."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from forecasting import selectors
from forecasting.admin.scores import totals_made
from forecasting.admin.totals_view import node_chart
from forecasting.models import ForecastNodePath, Level
from ledger.admin.base import ReadOnlyAdmin
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import day, num

_WITHOUT = {Level.STORE: "Without a store", Level.CATEGORY: "Without a category"}


def node_name(path: ForecastNodePath) -> str:
    """A node for people."""
    if path.level == Level.TOTAL:
        return "All series"
    return path.key or _WITHOUT[Level(path.level)]


@admin.register(ForecastNodePath, site=tenant_site)
class TotalsAdmin(ReadOnlyAdmin):
    """The levels above the series, of the forecasts that serve now; those of another set are reached from its page."""

    list_display = ["name", "level_name", "series", "next_step", "band", "over_horizon"]
    list_filter = ["level"]
    search_fields = ["key"]
    search_help_text = "Store or category"
    ordering = ["pk"]
    page_template = "forecourt/total.html"
    empty_hint = "Totals come with the first forecasts that serve: a champion has to be approved first."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ForecastNodePath]:
        paths: QuerySet[ForecastNodePath] = super().get_queryset(request).select_related("forecast_set__version__spec")
        if request.resolver_match is not None and request.resolver_match.url_name == self._list_name:
            serving = selectors.serving_set()
            return paths.filter(forecast_set=serving) if serving is not None else paths.none()
        return paths

    @property
    def _list_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_changelist"

    @display(description="Total", ordering="key")
    def name(self, path: ForecastNodePath) -> str:
        return node_name(path)

    @display(description="Level", ordering="level")
    def level_name(self, path: ForecastNodePath) -> str:
        return path.get_level_display()

    @display(description="Series", ordering="members")
    def series(self, path: ForecastNodePath) -> str:
        return num(path.members)

    @display(description="Forecast, first step")
    def next_step(self, path: ForecastNodePath) -> str:
        return f"{num(path.yhat[0])} on {day(path.start_date)}"

    @display(description="80% band")
    def band(self, path: ForecastNodePath) -> str:
        return f"{num(path.lo80[0])} to {num(path.hi80[0])}"

    @display(description="Over the horizon")
    def over_horizon(self, path: ForecastNodePath) -> str:
        return num(sum(path.yhat))

    def page_context(self, request: HttpRequest, obj: ForecastNodePath) -> dict[str, Any]:
        made = obj.forecast_set
        serving = selectors.serving_set()
        serves = serving is not None and serving.pk == made.pk
        newest = selectors.newest_day() if serves else made.origin_date
        return {
            "path": obj,
            "name": node_name(obj),
            "set": made,
            "serves": serves,
            "points": selectors.path_points(obj),
            "total": sum(obj.yhat),
            "made": totals_made(made.version.spec.body, made.version.backtest),
            "chart": node_chart(made, obj.level, obj.key, newest),
            "series_link": _series_link(obj),
            "beside": _beside(obj),
        }


def _series_link(path: ForecastNodePath) -> str:
    """The list of series, searched for the node's key."""
    found = reverse("admin:forecasting_series_changelist")
    return f"{found}?{urlencode({'q': path.key})}" if path.key else found


_MOST_BESIDE = 100
_PLURAL = {Level.TOTAL: "Total", Level.STORE: "Stores", Level.CATEGORY: "Categories"}


def _beside(path: ForecastNodePath) -> list[dict[str, Any]]:
    """The other nodes of the same set by level, with the share that each has of the total over the horizon."""
    rows = ForecastNodePath.objects.filter(forecast_set_id=path.forecast_set_id).order_by("pk")
    whole = sum(sum(one.yhat) for one in rows if one.level == Level.TOTAL)
    out = []
    for level in Level:
        nodes = [] if path.level == level == Level.TOTAL else [one for one in rows if one.level == level]
        nodes.sort(key=lambda one: (-sum(one.yhat), one.pk))
        if nodes:
            shown = [
                {
                    "path": one,
                    "name": node_name(one),
                    "total": sum(one.yhat),
                    "share": sum(one.yhat) / whole if whole > 0 else None,
                    "here": one.pk == path.pk,
                }
                for one in nodes[:_MOST_BESIDE]
            ]
            out.append({"level": level.label, "title": _PLURAL[level], "nodes": shown, "more": len(nodes) - len(shown)})
    return out
