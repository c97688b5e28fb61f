"""Totals by REST: every row once, adding up with the series of the same set, each tenant its own."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_tenants.utils import schema_context

from forecasting.api.total_rows import COLUMNS
from forecasting.models import ForecastNodePath, ForecastSet, ModelVersion, Series
from forecasting.tests.api_helpers import get, viewer_key, walk
from forecasting.tests.factories import AS_OF, make_candidate, make_series, promote
from forecasting.tests.promotion_state import lost, tampered
from tenants.models import Tenant

TOTALS = "/api/v1/forecasts/totals/"
SERIES, STEPS = 5, 14


@pytest.fixture
def champion(alpha: Tenant) -> ModelVersion:
    version = make_candidate(series=make_series(SERIES), horizon=STEPS)
    promote(version)
    ForecastSet.objects.filter(published_at=None).update(published_at=timezone.now())
    return version


@pytest.fixture
def key(champion: ModelVersion) -> str:
    return viewer_key()


def expected_rows(version: ModelVersion) -> list[dict[str, Any]]:
    """Rows of a set by plain Python."""
    return [
        {
            "level": path.level,
            "key": path.key,
            "series": path.members,
            "origin_date": AS_OF.isoformat(),
            "target_date": (path.start_date + timedelta(days=step * path.step_days)).isoformat(),
            "horizon": step + 1,
            **{name: getattr(path, name)[step] for name in ("yhat", "lo80", "hi80", "lo95", "hi95")},
            "model_version": version.number,
        }
        for path in ForecastNodePath.objects.filter(forecast_set__version=version).order_by("pk")
        for step in range(len(path.yhat))
    ]


def test_totals__no_parameters__every_level_of_the_champions_set(champion: ModelVersion, key: str) -> None:
    make_candidate(family="seasonal_naive", series=make_series(SERIES))  # newer, in shadow
    body = get("alpha", TOTALS, key).json()
    assert body["results"] == expected_rows(champion)
    assert list(body["results"][0]) == list(COLUMNS)
    assert (body["model_version"], body["is_champion"], body["next"], body["message"]) == (1, True, None, None)


@pytest.mark.parametrize("level", ["total", "store", "category"])
def test_totals__a_level__adds_up_with_the_series(champion: ModelVersion, key: str, level: str) -> None:
    rows = walk("alpha", f"{TOTALS}?level={level}&page_size=7", key)
    assert {row["level"] for row in rows} == {level}
    series = walk("alpha", "/api/v1/forecasts/", key)
    for day in {row["target_date"] for row in series}:
        wanted = sum(row["yhat"] for row in series if row["target_date"] == day)
        assert sum(row["yhat"] for row in rows if row["target_date"] == day) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("size", [1, 13, 14, 55, 56, 57])
def test_totals__any_page_size__every_row_comes_once_and_in_order(champion: ModelVersion, key: str, size: int) -> None:
    assert walk("alpha", f"{TOTALS}?page_size={size}", key) == expected_rows(champion)


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("level=store&key=store-2", lambda row: (row["level"], row["key"]) == ("store", "store-2")),
        ("level=store&key=store-2&key=store-1", lambda row: row["level"] == "store"),
        ("level=category&key=Grocery", lambda row: row["level"] == "category"),
        ("level=total&from=2026-04-03&to=2026-04-04",
         lambda row: row["level"] == "total" and "2026-04-03" <= row["target_date"] <= "2026-04-04"),
    ],
)  # fmt: skip
def test_totals__filtered__exactly_those_rows(
    champion: ModelVersion, key: str, query: str, chosen: Callable[[dict[str, Any]], bool]
) -> None:
    wanted = [row for row in expected_rows(champion) if chosen(row)]
    assert wanted and walk("alpha", f"{TOTALS}?{query}&page_size=3", key) == wanted


@pytest.mark.parametrize(
    ("query", "parameter", "message"),
    [
        ("level=region", "level", "total, store, category"),
        ("level=", "level", "total, store, category"),
        ("key=store-1", "key", "level=store or level=category"),
        ("level=total&key=x", "key", "level=store or level=category"),
        ("level=store&level=total", "level", "more than once"),
        ("store=store-1", "store", "Known: cursor, format, from, key, level"),
        ("from=2026-04-02&to=2026-04-01", "from", "after to"),
        ("level=store&key=a%00b", "key", "NUL"),
        ("page_size=10001", "page_size", "from 1 to 10,000"),
    ],
)
def test_totals__bad_value__is_refused_naming_it(key: str, query: str, parameter: str, message: str) -> None:
    response = get("alpha", f"{TOTALS}?{query}", key)
    body = response.json()
    assert (response.status_code, body["code"]) == (400, "invalid_query")
    assert [error["parameter"] for error in body["errors"]] == [parameter]
    assert message in body["errors"][0]["message"]


def test_totals__nothing_there__the_page_says_why(champion: ModelVersion, key: str) -> None:
    assert "holds 5 series" in get("alpha", f"{TOTALS}?level=store&key=nowhere", key).json()["message"]
    lost("forecastnodepath", "level = 'category'")
    body = get("alpha", f"{TOTALS}?level=category", key).json()
    assert body["results"] == [] and "There is: total, store." in body["message"]
    lost("forecastnodepath", "true")
    assert "stored without totals" in get("alpha", TOTALS, key).json()["message"]


def test_totals__nothing_serves__is_404(alpha: Tenant) -> None:
    response = get("alpha", TOTALS, viewer_key())
    assert response.status_code == 404 and "No version has forecasts yet" in response.json()["detail"]


@pytest.mark.parametrize("name", ['a"b\\c', "new\nline", "ünï✓ 仓库", "'); DROP TABLE x; --", "=1+1"])
def test_totals__keys_of_any_text__come_back_as_they_are(champion: ModelVersion, key: str, name: str) -> None:
    quoted = name.replace("'", "''")
    tampered("forecastnodepath", f"key = '{quoted}' WHERE level = 'store' AND key = 'store-1'")
    assert name in {row["key"] for row in get("alpha", TOTALS, key).json()["results"]}
    found = csv.DictReader(io.StringIO(get("alpha", f"{TOTALS}?format=csv", key).content.decode(), newline=""))
    defused = f"'{name}" if name.startswith("=") else name
    assert defused in {row["key"] for row in found}


def test_totals__csv__the_same_rows(champion: ModelVersion, key: str) -> None:
    response = get("alpha", f"{TOTALS}?format=csv", key)
    assert f'filename="totals-v{champion.number}-{AS_OF}.csv"' in response["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert tuple(rows[0]) == COLUMNS
    wanted = expected_rows(champion)
    assert [(row["level"], row["key"], float(row["yhat"])) for row in rows] == [
        (row["level"], row["key"], row["yhat"]) for row in wanted
    ]


def test_totals__unchanged__304_and_any_page_takes_seven_queries(
    champion: ModelVersion, key: str, django_assert_num_queries: Callable[[int], Any]
) -> None:
    first = get("alpha", TOTALS, key)
    assert get("alpha", TOTALS, key, if_none_match=first["ETag"]).status_code == 304
    with django_assert_num_queries(7):  # two search paths, tenant, token, roles, set, rows
        get("alpha", f"{TOTALS}?level=store", key)


def test_totals__cursor_of_other_filters__is_refused(champion: ModelVersion, key: str) -> None:
    following = get("alpha", f"{TOTALS}?page_size=3", key).json()["next"]
    assert get("alpha", following + "&level=store", key).status_code == 400


def test_totals__two_tenants__neither_sees_the_others(champion: ModelVersion, key: str, beta_tenant: Tenant) -> None:
    with schema_context("beta"):
        theirs = make_candidate(series=[Series.objects.create(store_id="beta-store", product_id="p")])
        promote(theirs)
        beta_key = viewer_key()
    assert {row["key"] for row in walk("alpha", f"{TOTALS}?level=store", key)} == {"store-1", "store-2"}
    assert {row["key"] for row in walk("beta", f"{TOTALS}?level=store", beta_key)} == {"beta-store"}
