"""Series: what sold and what is forecast."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.http import Http404, HttpRequest, HttpResponseBase

from forecasting import selectors
from forecasting.admin.charts import series_chart
from forecasting.admin.explain import read_day, reasons_context, serving_path
from forecasting.models import ForecastPath, Series
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import day


@admin.register(Series, site=tenant_site)
class SeriesAdmin(ReadOnlyAdmin):
    """One row a store and product."""

    list_display = ["store_id", "product_id", "category", "first", "last"]
    list_display_links = ["store_id", "product_id"]
    search_fields = ["store_id", "product_id", "category"]
    search_help_text = "Store, product or category"
    page_template = "forecourt/series.html"
    empty_hint = "Series appear with the first data that is loaded: one for each store and product."

    @display(description="First day", ordering="first_day")
    def first(self, series: Series) -> str:
        return day(series.first_day)

    @display(description="Last day", ordering="last_day")
    def last(self, series: Series) -> str:
        return day(series.last_day)

    def page_context(self, request: HttpRequest, obj: Series) -> dict[str, Any]:
        serving = selectors.serving_set()
        path = ForecastPath.objects.filter(series=obj, forecast_set=serving).first() if serving is not None else None
        return {
            "series": obj,
            "serving": serving,
            "path": path,
            "points": selectors.path_points(path) if path is not None else [],
            "chart": series_chart(obj, serving, obj.last_day),
            "attributes": {**obj.store_attributes, **obj.product_attributes},
        }

    def own_views(self) -> list[tuple[str, str, View]]:
        return [("<path:object_id>/explain/", "explain", self.explain_view)]

    def explain_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Why the forecast of one day is what it is: ``?day=`` chooses it, the first by default."""
        series = self.object_or_404(request, object_id)
        path = serving_path(series)
        try:
            context = {} if path is None else reasons_context(path, read_day(request.GET.get("day")))
        except ValueError:
            context = None
        if context is None:
            raise Http404(f"The forecast of {series} has no such day.")
        return self.render_page(
            request, "forecourt/explain.html", title="Why this forecast?", obj=series, series=series, **context
        )
