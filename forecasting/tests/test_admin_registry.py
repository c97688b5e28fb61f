"""The registry's list with its figures and trends, and the page of a version."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from forecasting import selectors_registry
from forecasting.admin.sparkline import sparkline
from forecasting.models import ModelVersion
from forecasting.tests.factories import (
    AS_OF,
    make_candidate,
    make_pending_request,
    make_person,
    make_report,
    promote,
)
from forecasting.tests.registry_pages import ClientOf, accuracy, page, store
from tenants.models import Tenant
from tenants.roles import Role

LIST = "admin:forecasting_modelversion_changelist"


# --- list -------------------------------------------------------------------------------------------------------------


def test_list__versions_with_scores__names_what_each_figure_is_of(champion: ModelVersion, client_of: ClientOf) -> None:
    challenger = make_candidate()
    make_report(challenger, factor=0.9)
    accuracy(champion, origin=AS_OF, until=AS_OF + timedelta(days=7), wape=0.31)
    [first, second] = selectors_registry.listed_versions(ModelVersion.objects.order_by("number"))
    assert (first.is_champion, first.ever_served, first.backtest_wape, first.realised_wape) == (True, True, 0.34, 0.31)
    assert first.champion_since is not None and first.cost_change is None
    assert (second.is_champion, second.holdout_wape, second.realised_wape) == (False, None, None)
    assert second.cost_change == pytest.approx(-0.1)
    text = page(client_of("alpha", make_person("vera", Role.VIEWER)), "modelversion_changelist")
    for head in ("Backtest WAPE", "Holdout WAPE", "Cost against champion (holdout)", "Realised WAPE", "WAPE by week"):
        assert head in text
    assert "-10.0%" in text and "31.0%" in text and "fc-spark" in text


def test_list__any_number_of_rows__takes_ten_queries_of_the_registry_at_most(
    champion: ModelVersion, client_of: ClientOf
) -> None:
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    counts = []
    for _ in range(2):
        for _ in range(3):
            made = make_candidate()
            make_report(made)
            for week in range(3):
                accuracy(made, origin=AS_OF + timedelta(days=7 * week), until=AS_OF + timedelta(days=60), wape=0.3)
        page(client, "modelversion_changelist")  # what is cached is warm
        with CaptureQueriesContext(connection) as queries:
            page(client, "modelversion_changelist")
        told = [query["sql"] for query in queries.captured_queries]
        counts.append((len(told), sum("forecasting_" in query for query in told)))
    assert counts[0] == counts[1], "the number of queries grows with the rows"
    whole, own = counts[0]
    assert own <= 10 and whole <= 20, "\n".join(query[:200] for query in told)  # beside: session, rights, sidebar


@pytest.mark.parametrize(("chosen", "numbers"), [("now", [2]), ("past", [1]), ("never", [3])])
def test_list__filter_by_service__shows_those(
    champion: ModelVersion, client_of: ClientOf, chosen: str, numbers: list[int]
) -> None:
    promote(make_candidate())
    make_candidate(seed=3)
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    rows = list(csv.DictReader(io.StringIO(page(client, "modelversion_export", service=chosen))))
    assert [int(row["version"]) for row in rows] == numbers
    shown = page(client, "modelversion_changelist", service=chosen)
    address = reverse("admin:forecasting_modelversion_change", args=[ModelVersion.objects.get(number=numbers[0]).pk])
    assert address in shown


def test_export__searched_list__holds_the_same_rows_and_runs_no_formula(alpha: Tenant, client_of: ClientOf) -> None:
    make_candidate()
    wanted = make_candidate(created_by=make_person("=cmd", Role.ANALYST))
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    response = client.get(reverse("admin:forecasting_modelversion_export"), {"q": "=cmd"})
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    [row] = csv.DictReader(io.StringIO(response.content.decode()))
    assert (row["version"], row["asked_for_by"]) == (str(wanted.number), "'=cmd")
    assert row["backtest_wape"] == "0.34" and row["realised_wape"] == ""


@pytest.mark.parametrize("query", ["?e=1", "?spec__nothing=1", "?created_at__year=abc", "?service=nonsense", "?o=99"])
def test_export__bad_query__is_no_server_error(alpha: Tenant, client_of: ClientOf, query: str) -> None:
    make_candidate()
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    assert client.get(reverse("admin:forecasting_modelversion_export") + query).status_code in (200, 302, 400)


# --- trend ------------------------------------------------------------------------------------------------------------


def test_trend__realised_in_two_weeks__comes_before_holdout_and_backtest(champion: ModelVersion) -> None:
    judged = make_candidate()
    make_report(judged)
    fresh = make_candidate(seed=9)
    for week, wape in enumerate((0.3, 0.5, 0.4)):
        accuracy(champion, origin=AS_OF + timedelta(days=7 * week), until=AS_OF + timedelta(days=60), wape=wape)
    found = selectors_registry.trends_of([champion.pk, judged.pk, fresh.pk])
    assert found[champion.pk].basis == "realised" and found[champion.pk].values == (0.3, 0.5, 0.4)
    assert (found[judged.pk].basis, len(found[judged.pk].values)) == ("holdout", 4)
    assert (found[fresh.pk].basis, found[fresh.pk].values) == ("backtest", (0.34, 0.34))


def test_trend__one_forecast_measured_again__counts_once_with_its_newest_figure(champion: ModelVersion) -> None:
    for until, wape in ((3, 0.9), (9, 0.2)):
        accuracy(champion, origin=AS_OF, until=AS_OF + timedelta(days=until), wape=wape)
    accuracy(champion, origin=AS_OF + timedelta(days=7), until=AS_OF + timedelta(days=9), wape=0.3)
    assert selectors_registry.trends_of([champion.pk])[champion.pk].values == (0.2, 0.3)


@pytest.mark.parametrize(("values", "moves"), [([1.0, 2.0, 3.0], 1), ([1.0, None, 2.0], 2), ([0.5, 0.5], 1)])
def test_sparkline__values__is_drawn_with_its_words(values: list[float | None], moves: int) -> None:
    drawn = sparkline(values, 'v1 <"&')
    assert drawn.count("M") == moves and "NaN" not in drawn
    assert 'role="img"' in drawn and "v1 &lt;&quot;&amp;" in drawn


@pytest.mark.parametrize("values", [[], [1.0], [None, 1.0]])
def test_sparkline__less_than_two_values__is_nothing(values: list[float | None]) -> None:
    assert sparkline(values, "x") == ""


# --- the page ---------------------------------------------------------------------------------------------------------


def test_version_page__champion_with_everything__opens_with_a_bounded_number_of_queries(
    champion: ModelVersion, client_of: ClientOf
) -> None:
    version = make_candidate()
    store(version)
    make_pending_request(version)
    accuracy(version, origin=AS_OF, until=AS_OF + timedelta(days=7), wape=0.3)
    client = client_of("alpha", make_person("anna", Role.ANALYST))
    with CaptureQueriesContext(connection) as queries:
        text = page(client, "modelversion_change", version.pk)
    assert len(queries) <= 40
    for part in ("Intended use", "Limits", "Lineage", "Timeline", "Verify now", "Promotion requested", "Compare"):
        assert part in text, part
    viewer = page(client_of("alpha", make_person("vera", Role.VIEWER)), "modelversion_change", version.pk)
    assert "Verify now</button>" not in viewer
