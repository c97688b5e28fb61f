"""Pages of the totals: what serves now, its own bands, and words where there is nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from forecasting.admin.scores import totals_made
from forecasting.admin.totals_view import NO_FORECAST, NO_INTERVAL, node_chart, total_chart
from forecasting.engine.hierarchy_choice import Reconciliation
from forecasting.engine.train import SEVERAL_SEGMENTS
from forecasting.models import Demand, ForecastNodePath, ForecastSet
from forecasting.tests import factories
from forecasting.tests.promotion_state import tampered
from tenants.models import Tenant
from tenants.roles import Role

ClientOf = Callable[..., Client]
LIST = "admin:forecasting_forecastnodepath_changelist"


@pytest.fixture
def served(alpha: Tenant) -> ForecastSet:
    """The published forecasts of a champion for four series in two stores."""
    series = factories.make_demand(series=factories.make_series(4), days=60)
    version = factories.promote(factories.make_candidate(series=series)).version
    return ForecastSet.objects.get(version=version)


def test_total_chart__stored_totals__the_band_is_the_totals_own(served: ForecastSet) -> None:
    chart = total_chart(served, factories.AS_OF)
    assert chart is not None
    by_role = {one["role"]: one for one in chart["series"]}
    first = next(k for k, value in enumerate(by_role["forecast"]["values"]) if value is not None)
    path = served.node_paths.get(level="total")
    assert by_role["forecast"]["values"][first] == pytest.approx(path.yhat[0], abs=1e-3)
    assert by_role["band"]["low"][first] == pytest.approx(path.lo80[0], abs=1e-3)
    assert by_role["band"]["high"][first] == pytest.approx(path.hi80[0], abs=1e-3)
    assert by_role["band"]["high"][first] < sum(one.hi80[0] for one in served.paths.all())


@pytest.mark.parametrize(("level", "key"), [("total", ""), ("store", "store-2"), ("category", "Grocery")])
def test_node_chart__each_level__sold_is_the_sum_of_its_series(served: ForecastSet, level: str, key: str) -> None:
    chart = node_chart(served, level, key, factories.AS_OF)
    assert chart is not None
    sold = next(one for one in chart["series"] if one["role"] == "actual")["values"]
    last = [value for value in sold if value is not None][-1]
    rows = Demand.objects.select_related("series").filter(date=factories.AS_OF)
    wanted = sum(row.quantity for row in rows if level != "store" or row.series.store_id == key)
    assert last == pytest.approx(wanted, abs=1e-3)


def test_node_chart__days_that_came__what_had_been_forecast_by_the_newest_earlier_set(served: ForecastSet) -> None:
    for back in (14, 7):
        past = factories.make_forecasts(served.version, origin=factories.AS_OF - timedelta(days=back), horizon=14)
        if back == 7:
            ForecastNodePath.objects.filter(forecast_set=past).update(yhat=[7.0] * 14)
        ForecastSet.objects.filter(pk=past.pk).update(published_at=timezone.now())
    chart = total_chart(served, factories.AS_OF)
    assert chart is not None
    shown = next(one for one in chart["series"] if one["role"] == "past")["values"]
    told = [value for value in shown if value is not None]
    assert len(told) == 14 and told[7:] == [7.0] * 7 and 7.0 not in told[:7]


def test_total_chart__nothing_to_show__words_say_so(alpha: Tenant) -> None:
    assert total_chart(None, None) is None
    series = factories.make_demand(series=factories.make_series(2), days=30)
    chart = total_chart(None, factories.AS_OF)
    assert chart is not None and chart["note"] == NO_FORECAST
    made = factories.make_forecasts(factories.make_candidate(series=series, forecasts=False), series=series)
    made.node_paths.all().delete()
    without = total_chart(made, factories.AS_OF)
    assert without is not None and without["note"] == NO_INTERVAL
    assert {one["role"] for one in without["series"]} == {"actual"}


def test_list__what_serves__and_not_the_shadows(served: ForecastSet, client_of: ClientOf) -> None:
    factories.make_candidate(family="seasonal_naive", series=factories.make_series(4))  # in the shadow
    client = client_of("alpha", factories.make_person("vera", Role.VIEWER))
    page = client.get(reverse(LIST))
    text = page.content.decode()
    assert page.status_code == 200 and text.count("store-1") == 1 and "All series" in text
    assert page.context["cl"].result_count == 4
    found = client.get(reverse(LIST), {"q": "store-2", "level__exact": "store"})
    assert found.context["cl"].result_count == 1


def test_list__nothing_serves__says_what_comes_first(alpha: Tenant, client_of: ClientOf) -> None:
    factories.make_candidate()
    page = client_of("alpha", factories.make_person("vera", Role.VIEWER)).get(reverse(LIST))
    assert "a champion has to be approved first" in page.content.decode()


def test_page__a_store__its_steps_its_share_and_the_way_on(served: ForecastSet, client_of: ClientOf) -> None:
    path = served.node_paths.get(level="store", key="store-1")
    page = client_of("alpha", factories.make_person("vera", Role.VIEWER)).get(
        reverse("admin:forecasting_forecastnodepath_change", args=[path.pk])
    )
    assert page.context["total"] == pytest.approx(sum(path.yhat))
    shares = {row["name"]: row["share"] for level in page.context["beside"] for row in level["nodes"]}
    total = served.node_paths.get(level="total")
    assert shares["store-1"] == pytest.approx(sum(path.yhat) / sum(total.yhat)) and shares["All series"] == 1.0
    own = client_of("alpha", factories.make_person("vera", Role.VIEWER)).get(
        reverse("admin:forecasting_forecastnodepath_change", args=[total.pk])
    )
    assert [level["title"] for level in own.context["beside"]] == ["Stores", "Categories"]
    text = page.content.decode()
    assert "?q=store-1" in text and "Stores" in text and "Does not serve now" not in text


def test_page__of_a_set_in_the_shadow__says_so(served: ForecastSet, client_of: ClientOf) -> None:
    other = factories.make_candidate(family="seasonal_naive", series=factories.make_series(4))
    path = ForecastNodePath.objects.filter(forecast_set__version=other).earliest("pk")
    page = client_of("alpha", factories.make_person("vera", Role.VIEWER)).get(
        reverse("admin:forecasting_forecastnodepath_change", args=[path.pk])
    )
    assert page.status_code == 200 and "Does not serve now" in page.content.decode()


def test_page__key_with_markup__is_shown_as_text(served: ForecastSet, client_of: ClientOf) -> None:
    tampered("forecastnodepath", "key = '<script>x</script>' WHERE level = 'store' AND key = 'store-1'")
    client = client_of("alpha", factories.make_person("vera", Role.VIEWER))
    path = served.node_paths.get(key="<script>x</script>")
    for url in (reverse(LIST), reverse("admin:forecasting_forecastnodepath_change", args=[path.pk])):
        assert "<script>x" not in client.get(url).content.decode()


def test_page__without_a_category__is_named(served: ForecastSet, client_of: ClientOf) -> None:
    tampered("forecastnodepath", "key = '' WHERE level = 'category'")
    page = client_of("alpha", factories.make_person("vera", Role.VIEWER)).get(reverse(LIST))
    assert "Without a category" in page.content.decode()


@pytest.mark.parametrize(
    ("spec", "report", "says"),
    [
        ({}, {}, "Plain sums of the series’ forecasts."),
        ({}, {"reconciliation": None}, "Plain sums of the series’ forecasts."),
        (
            {"reconciliation": "bottom_up"},
            {"reconciliation": Reconciliation("bottom_up", SEVERAL_SEGMENTS).to_json()},
            "Plain sums of the series’ forecasts: MinT needs all series at once, and they are fitted in several "
            "segments.",
        ),
        (
            {"reconciliation": "mint"},
            {"reconciliation": Reconciliation("mint", "MinT is better with probability 0.95").to_json()},
            "Series and totals are moved by MinT until they agree with models of the totals: MinT is better with "
            "probability 0.95.",
        ),
    ],
)
def test_totals_made__either_way__is_told_with_its_reason(spec: dict, report: dict, says: str) -> None:
    assert totals_made(spec, report) == says


def test_pages__of_a_total_and_its_version__say_how_totals_are_made(served: ForecastSet, client_of: ClientOf) -> None:
    client = client_of("alpha", factories.make_person("vera", Role.VIEWER))
    total = served.node_paths.get(level="total")
    for name, key in (("forecastnodepath", total.pk), ("modelversion", served.version_id)):
        text = client.get(reverse(f"admin:forecasting_{name}_change", args=[key])).content.decode()
        assert "Plain sums of the series’ forecasts." in text
