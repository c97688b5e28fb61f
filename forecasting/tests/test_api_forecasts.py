"""Forecasts by REST: the right set, every row once, cheap to poll."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_tenants.utils import schema_context

from forecasting.api.rows import COLUMNS
from forecasting.models import ChampionAssignment, ForecastPath, ForecastSet, ModelVersion, Series
from forecasting.tests.api_helpers import get, viewer_key, walk
from forecasting.tests.factories import AS_OF, make_candidate, make_forecasts, make_series, promote
from forecasting.tests.promotion_state import tampered
from ledger.services.audit import record
from tenants.models import Tenant

LIST = "/api/v1/forecasts/"
SERIES, STEPS = 5, 14


def crown(version: ModelVersion) -> None:
    """Make a version champion and publish all that it has."""
    promote(version)
    ForecastSet.objects.filter(version=version, published_at__isnull=True).update(published_at=timezone.now())


@pytest.fixture
def champion(alpha: Tenant) -> ModelVersion:
    version = make_candidate(series=make_series(SERIES), horizon=STEPS)
    crown(version)
    return version


@pytest.fixture
def key(champion: ModelVersion) -> Iterator[str]:
    yield viewer_key()


def expected_rows(version: ModelVersion, origin: date = AS_OF) -> list[dict[str, Any]]:
    """Rows of a set by plain Python, for comparing."""
    paths = ForecastPath.objects.select_related("series").filter(
        forecast_set__version=version, forecast_set__origin_date=origin
    )
    return [
        {
            "store_id": path.series.store_id,
            "product_id": path.series.product_id,
            "origin_date": origin.isoformat(),
            "target_date": (path.start_date + timedelta(days=step * path.step_days)).isoformat(),
            "horizon": step + 1,
            **{name: getattr(path, name)[step] for name in ("yhat", "lo80", "hi80", "lo95", "hi95")},
            "family": path.family,
            "model_version": version.number,
        }
        for path in paths.order_by("series_id")
        for step in range(len(path.yhat))
    ]


def test_list__no_parameters__gives_the_champions_newest_published_set(champion: ModelVersion, key: str) -> None:
    make_forecasts(champion, series=make_series(SERIES), origin=AS_OF + timedelta(days=1))  # not published
    make_candidate(family="seasonal_naive", series=make_series(SERIES))  # newer, in shadow
    response = get("alpha", LIST, key)
    body = response.json()
    assert body["results"] == expected_rows(champion)
    assert list(body["results"][0]) == list(COLUMNS)
    assert (body["model_version"], body["is_champion"], body["next"]) == (champion.number, True, None)
    assert (body["origin_date"], body["horizon"], body["message"]) == (AS_OF.isoformat(), STEPS, None)


@pytest.mark.parametrize("size", [1, 13, 14, 35, 69, 70, 71])
def test_list__any_page_size__every_row_comes_once_and_in_order(champion: ModelVersion, key: str, size: int) -> None:
    rows = walk("alpha", f"{LIST}?page_size={size}", key)
    assert rows == expected_rows(champion)


def test_list__exactly_full_last_page__has_no_next(champion: ModelVersion, key: str) -> None:
    assert get("alpha", f"{LIST}?page_size={SERIES * STEPS}", key).json()["next"] is None
    assert get("alpha", f"{LIST}?page_size={SERIES * STEPS - 1}", key).json()["next"] is not None


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("store=store-1", lambda row: row["store_id"] == "store-1"),
        ("store=store-1&store=store-2&product=product-2", lambda row: row["product_id"] == "product-2"),
        (
            "product=product-1&store=store-2",
            lambda row: row["store_id"] + row["product_id"] == "store-2product-1",
        ),
        ("from=2026-04-05", lambda row: row["target_date"] >= "2026-04-05"),
        ("to=2026-04-05", lambda row: row["target_date"] <= "2026-04-05"),
        ("from=2026-04-05&to=2026-04-05", lambda row: row["target_date"] == "2026-04-05"),
    ],
)
def test_list__filtered__gives_exactly_those_rows(
    champion: ModelVersion, key: str, query: str, chosen: Callable[[dict[str, Any]], bool]
) -> None:
    wanted = [row for row in expected_rows(champion) if chosen(row)]
    assert wanted and len(wanted) < SERIES * STEPS
    assert walk("alpha", f"{LIST}?{query}&page_size=4", key) == wanted


@pytest.mark.parametrize("query", ["store=nowhere", "store=' OR 1=1 --", "from=2030-01-01", "product=%25"])
def test_list__filter_fits_nothing__page_is_empty_and_says_what_there_is(key: str, query: str) -> None:
    body = get("alpha", f"{LIST}?{query}", key).json()
    assert (body["results"], body["next"]) == ([], None)
    assert "holds 5 series" in body["message"] and "2026-04-01" in body["message"]


def test_list__version_by_number__gives_its_newest_set_also_in_shadow(champion: ModelVersion, key: str) -> None:
    other = make_candidate(family="seasonal_naive", series=make_series(SERIES))
    body = get("alpha", f"{LIST}?version={other.number}", key).json()
    assert (body["model_version"], body["is_champion"], body["published_at"]) == (other.number, False, None)
    assert body["results"] == expected_rows(other)


def test_list__origin__gives_the_set_from_that_day(champion: ModelVersion, key: str) -> None:
    later = AS_OF + timedelta(days=7)
    make_forecasts(champion, series=make_series(SERIES), origin=later)
    ForecastSet.objects.filter(published_at=None).update(published_at=timezone.now())
    assert get("alpha", LIST, key).json()["origin_date"] == later.isoformat()
    assert get("alpha", f"{LIST}?origin={AS_OF}", key).json()["results"] == expected_rows(champion)


def test_list__weekly_steps__target_dates_are_weeks_apart(champion: ModelVersion, key: str) -> None:
    tampered("forecastpath", "step_days = 7")
    rows = get("alpha", f"{LIST}?store=store-1&product=product-1", key).json()["results"]
    assert [row["target_date"] for row in rows[:3]] == ["2026-04-01", "2026-04-08", "2026-04-15"]
    assert rows == expected_rows(champion)[:STEPS]


def test_list__drill_forecasts__are_never_served(champion: ModelVersion, key: str) -> None:
    tampered("forecastset", "channel = 'drill'")
    assert get("alpha", f"{LIST}?version={champion.number}", key).status_code == 404


def test_list__nothing_serves__is_404_saying_what_there_is(alpha: Tenant) -> None:
    key = viewer_key()
    assert "No version has forecasts yet" in get("alpha", LIST, key).json()["detail"]
    version = make_candidate()
    response = get("alpha", LIST, key)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert f"v{version.number} from {AS_OF}" in response.json()["detail"]
    missing = get("alpha", f"{LIST}?version=999", key)
    assert missing.status_code == 404 and "version 999" in missing.json()["detail"]


@pytest.mark.parametrize(
    ("query", "parameter", "message"),
    [
        ("from=1.4.2026", "from", "like 2026-01-31"),
        ("to=2026-02-30", "to", "like 2026-01-31"),
        ("from=20260401", "from", "like 2026-01-31"),
        ("from=2026-04-02&to=2026-04-01", "from", "after to"),
        ("page_size=0", "page_size", "from 1 to 10,000"),
        ("page_size=10001", "page_size", "from 1 to 10,000"),
        ("page_size=ten", "page_size", "from 1 to 10,000"),
        ("page_size=%D9%A3", "page_size", "from 1 to 10,000"),
        ("version=newest", "version", "'champion' or the number"),
        ("version=-1", "version", "'champion' or the number"),
        ("origin=yesterday", "origin", "like 2026-01-31"),
        ("cursor=abc", "cursor", "leave it out"),
        ("cursor=bnVsbA", "cursor", "leave it out"),
        ("stores=store-1", "stores", "Known: cursor, format, from, origin, page_size, product, store, to, version"),
        ("version=1&version=2", "version", "more than once"),
        ("store=a%00b", "store", "NUL"),
        ("format=xlsx", "format", "json, csv"),
    ],
)
def test_list__bad_value__is_refused_naming_it_and_what_is_allowed(
    key: str, query: str, parameter: str, message: str
) -> None:
    response = get("alpha", f"{LIST}?{query}", key)
    body = response.json()
    assert (response.status_code, body["code"], response["Content-Type"]) == (
        400,
        "invalid_query",
        "application/problem+json",
    )
    assert [error["parameter"] for error in body["errors"]] == [parameter]
    assert message in body["errors"][0]["message"]


def test_list__several_bad_values__are_all_named_at_once(key: str) -> None:
    body = get("alpha", f"{LIST}?from=x&page_size=0&colour=red", key).json()
    assert {error["parameter"] for error in body["errors"]} == {"from", "page_size", "colour"}


def test_list__cursor_of_other_filters__is_refused(key: str) -> None:
    following = get("alpha", f"{LIST}?page_size=3", key).json()["next"]
    response = get("alpha", following + "&store=store-1", key)
    assert response.status_code == 400 and "other filters" in response.json()["detail"]


def test_list__champion_changes_during_a_walk__walk_stays_with_its_set(champion: ModelVersion, key: str) -> None:
    first = get("alpha", f"{LIST}?page_size=30", key).json()
    crown(make_candidate(family="seasonal_naive", series=make_series(SERIES)))
    rest = walk("alpha", first["next"], key)
    assert first["results"] + rest == expected_rows(champion)
    assert get("alpha", LIST, key).json()["model_version"] == champion.number + 1


def test_list__texts_that_break_json__come_back_as_they_are(champion: ModelVersion, key: str) -> None:
    names = ['a"b\\c', "new\nline", "ünï✓", "'); DROP TABLE x; --", "%s {}"]
    for one, name in zip(Series.objects.order_by("pk"), names, strict=True):
        Series.objects.filter(pk=one.pk).update(store_id=name)
    rows = walk("alpha", f"{LIST}?page_size=20", key)
    assert list(dict.fromkeys(row["store_id"] for row in rows)) == names


@pytest.mark.parametrize(("query", "accept"), [("?format=csv", "*/*"), ("", "text/csv")])
def test_list__csv__same_rows_with_formulas_defused(champion: ModelVersion, key: str, query: str, accept: str) -> None:
    names = ["=1+1", "@SUM(A1)", "-2", '+"x"', "plain, with comma"]
    for one, name in zip(Series.objects.order_by("pk"), names, strict=True):
        Series.objects.filter(pk=one.pk).update(store_id=name)
    response = get("alpha", LIST + query, key, accept=accept)
    assert response["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert tuple(rows[0]) == COLUMNS
    wanted = [{name: str(value) for name, value in row.items()} for row in expected_rows(champion)]
    for row in wanted:
        row["store_id"] = row["store_id"] if row["store_id"].startswith("plain") else "'" + row["store_id"]
    numbers = ("yhat", "lo80", "hi80", "lo95", "hi95")
    assert [{**row, **{n: float(row[n]) for n in numbers}} for row in rows] == [
        {**row, **{n: float(row[n]) for n in numbers}} for row in wanted
    ]


def test_list__csv_pages__go_on_by_the_link_header(champion: ModelVersion, key: str) -> None:
    response = get("alpha", f"{LIST}?format=csv&page_size=60", key)
    following = response["Link"].removeprefix("<").split(">")[0]
    last = get("alpha", following, key)
    assert len(last.content.decode().splitlines()) == 1 + SERIES * STEPS - 60
    assert "Link" not in last


def test_list__error_while_asking_for_csv__is_still_json(key: str) -> None:
    response = get("alpha", f"{LIST}?format=csv&page_size=0", key)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_query")


def test_list__gzip_asked_for__is_much_smaller(champion: ModelVersion, key: str) -> None:
    plain, small = get("alpha", LIST, key), get("alpha", LIST, key, accept_encoding="gzip")
    assert small["Content-Encoding"] == "gzip" and len(small.content) * 4 < len(plain.content)


def test_list__unchanged__polling_is_304_without_reading_rows(
    champion: ModelVersion, key: str, django_assert_num_queries: Callable[[int], Any]
) -> None:
    first = get("alpha", LIST, key)
    assert first["Cache-Control"] == "private, no-cache" and "Authorization" in first["Vary"]
    with django_assert_num_queries(6):  # two search paths, tenant, token, roles, set; no rows
        again = get("alpha", LIST, key, if_none_match=first["ETag"])
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert get("alpha", LIST, key, if_modified_since=first["Last-Modified"]).status_code == 304
    assert get("alpha", f"{LIST}?format=csv", key, if_none_match=first["ETag"]).status_code == 200


def test_list__new_champion_or_rollback__etag_and_date_change(champion: ModelVersion, key: str) -> None:
    first = get("alpha", LIST, key)
    second = make_candidate(family="seasonal_naive", series=make_series(SERIES))
    crown(second)
    changed = get("alpha", LIST, key, if_none_match=first["ETag"])
    assert (changed.status_code, changed.json()["model_version"]) == (200, second.number)
    later = timezone.now() + timedelta(minutes=5)
    ChampionAssignment.objects.filter(to_at__isnull=True).update(to_at=later)
    again = ChampionAssignment.objects.create(version=champion, kind="rollback", effective_on=AS_OF, from_at=later)
    record(event="champion.assigned", subject=again)
    rolled = get("alpha", LIST, key, if_modified_since=changed["Last-Modified"])
    assert (rolled.status_code, rolled.json()["model_version"]) == (200, champion.number)


@pytest.mark.parametrize("size", [1, 20, 70])
def test_list__any_size__takes_seven_queries(
    champion: ModelVersion, key: str, size: int, django_assert_num_queries: Callable[[int], Any]
) -> None:
    get("alpha", LIST, key)  # notes the token's use once a minute
    with django_assert_num_queries(7):  # two search paths, tenant, token, roles, set, rows
        get("alpha", f"{LIST}?page_size={size}", key)


def test_detail__series__gives_its_path_and_what_made_it(
    champion: ModelVersion, key: str, django_assert_num_queries: Callable[[int], Any]
) -> None:
    path = ForecastPath.objects.select_related("series").order_by("series_id")[2]
    tampered("forecastpath", f"flags = '[\"fallback\"]' WHERE id = {path.pk}")
    get("alpha", LIST, key)
    with django_assert_num_queries(7):
        response = get("alpha", f"{LIST}{path.series_id}/", key)
    body = response.json()
    assert (body["series"], body["store_id"], body["category"]) == (path.series_id, path.series.store_id, "Grocery")
    assert (body["model_version"], body["is_champion"], body["flags"]) == (champion.number, True, ["fallback"])
    assert [point["yhat"] for point in body["path"]] == path.yhat
    assert [point["hi95"] for point in body["path"]] == path.hi95
    assert (body["path"][0]["target_date"], body["path"][-1]["horizon"]) == ("2026-04-01", STEPS)
    again = get("alpha", f"{LIST}{path.series_id}/", key, if_none_match=response["ETag"])
    assert again.status_code == 304


@pytest.mark.parametrize("series", ["999999", "9" * 18, "9" * 40, "abc", "-1"])
def test_detail__no_such_series__is_404(key: str, series: str) -> None:
    response = get("alpha", f"{LIST}{series}/", key)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_isolation__two_tenants__neither_sees_the_others_rows(
    champion: ModelVersion, key: str, beta_tenant: Tenant
) -> None:
    with schema_context("beta"):
        beta_series = [Series.objects.create(pk=77_000_001, store_id="beta-store", product_id="beta-product")]
        make_candidate(family="lightgbm", series=beta_series)
        theirs = make_candidate(family="seasonal_naive", series=beta_series)
        crown(theirs)
        beta_key = viewer_key()
    assert {row["store_id"] for row in walk("alpha", LIST, key)} == {"store-1", "store-2"}
    assert {row["store_id"] for row in walk("beta", LIST, beta_key)} == {"beta-store"}
    assert get("alpha", f"{LIST}?store=beta-store", key).json()["results"] == []
    assert get("alpha", f"{LIST}77000001/", key).status_code == 404
    assert get("alpha", f"{LIST}?version={theirs.number}", key).status_code == 404
    assert get("beta", f"{LIST}77000001/", beta_key).json()["store_id"] == "beta-store"
    # A cursor of another tenant is only a place to go on from; the rows are the asked host's own.
    foreign = get("beta", f"{LIST}?page_size=3", beta_key).json()["next"].replace("beta.localhost", "alpha.localhost")
    assert get("alpha", foreign, key).status_code == 404
