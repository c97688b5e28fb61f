"""Explanations of stored forecasts: only of what is stored, on the page and in the API, and of nobody else's."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_tenants.utils import schema_context

from forecasting.api.explanations import ExplanationRateThrottle
from forecasting.engine import hierarchy_choice
from forecasting.engine.families import lightgbm
from forecasting.engine.synthetic import RetailShape
from forecasting.engine.types import ModelSpec as EngineSpec
from forecasting.models import Demand, ForecastPath, ForecastSet, KnownFuture, ModelVersion, Series
from forecasting.services import training
from forecasting.services.explaining import ForecastReasons, explain_point, point_of
from forecasting.services.loading import load_panel, load_series
from forecasting.services.publishing import forecast_version
from forecasting.services.windows import plan_window
from forecasting.tests.api_helpers import get, viewer_key
from forecasting.tests.factories import make_candidate, make_person, promote
from forecasting.tests.synthetic import activate, load, make_contract, make_demand, retail_demand, train
from ledger.schema import connection as tenant_connection
from tenants.models import Tenant
from tenants.roles import Role

QUERY_COUNTS = Path(__file__).with_name("query_counts.json")
PROMO = {
    "field_map": {"d": "date", "s": "store_id", "p": "product_id", "q": "quantity", "a": "is_promotional"},
    "covariates": {"known_future": ["is_promotional"], "static": ["category"]},
    "null_policy": {"is_promotional": {"fill_value": 0}},
}
AHEAD = 14
SHAPE = RetailShape(series=4, days=130, stores=2, intermittent=0.0, erratic=0.0, promotions=0.15, sunday_closed=0.0)
LAST = SHAPE.start + timedelta(days=SHAPE.days - 1)


def publish(version: ModelVersion) -> ForecastSet:
    """Forecast with a version and let it serve."""
    forecast_version(ctx=None, version=version)
    promote(version)
    made = ForecastSet.objects.select_related("version__spec").get(version=version)
    if made.published_at is None:
        made.published_at = timezone.now()
        made.save()
    return made


def quick(patch: pytest.MonkeyPatch) -> None:
    """Small boosters, and plain sums whatever the backtest says: each series by itself."""
    patch.setitem(lightgbm.DEFAULTS, "rounds", 60)
    patch.setitem(lightgbm.DEFAULTS, "min_data_in_leaf", 10)
    patch.setattr(hierarchy_choice, "MOST_SERIES", 0)


@pytest.fixture(scope="module")
def trained(lasting: Any, lasting_files: Path) -> int:
    """LightGBM with a promotion that is planned ahead for half of the series; one series has no plan of its own."""
    with lasting(), pytest.MonkeyPatch.context() as patch, override_settings(MEDIA_ROOT=lasting_files):
        quick(patch)
        contract = make_contract(**PROMO)
        activate(contract)
        load(retail_demand(SHAPE), contract=contract)
        for one in Series.objects.order_by("pk")[:2]:
            for ahead in range(1, AHEAD + 1):
                values = {"is_promotional": float(ahead % 3 == 0)}
                KnownFuture.objects.create(series=one, date=LAST + timedelta(days=ahead), values=values, batch_id=1)
        version = train(families=["lightgbm"])
        assert version.spec.label == "single_lightgbm"
        return publish(version).pk


@pytest.fixture
def served(trained: int, in_lasting: None, monkeypatch: pytest.MonkeyPatch) -> ForecastSet:
    """The forecasts of that version, in the tenant ``lasting``."""
    quick(monkeypatch)
    return ForecastSet.objects.select_related("version__spec").get(pk=trained)


def reasons_of(path: ForecastPath, day: date | None = None) -> ForecastReasons:
    point = point_of(path, day)
    assert point is not None
    return explain_point(path, point)


def test_explain_point__every_series_and_step__adds_up_to_the_stored_value(served: ForecastSet) -> None:
    for path in ForecastPath.objects.select_related("forecast_set__version__spec"):
        for step, day in enumerate((path.start_date, path.start_date + timedelta(days=9))):
            found = reasons_of(path, day).explanation
            assert found is not None and found.path == tuple(path.yhat)
            (member,) = found.members
            assert member.base is not None and member.family == path.family == "lightgbm"
            total = sum(one.effect for group in member.groups for one in group.contributions)
            assert member.base * math.exp(total) == pytest.approx(path.yhat[9 * step], rel=1e-6)


def test_load_series__alone__is_the_same_rows_as_among_all(served: ForecastSet) -> None:
    window = plan_window(as_of=served.origin_date, mode="serving")
    whole = load_panel(window, ahead=AHEAD)
    for series in whole.ids:
        alone, among = load_series(window, int(series), ahead=AHEAD), whole.subset([series])
        assert alone.history.equals(among.history[alone.history.columns]) and alone.static.equals(among.static)
        assert alone.future is not None and among.future is not None
        assert alone.future.equals(among.future.loc[among.future["unique_id"] == series].reset_index(drop=True))


@pytest.mark.parametrize("change", ["demand", "plan"])
def test_explain_point__data_corrected_since__says_that_it_cannot_be_told(served: ForecastSet, change: str) -> None:
    path = ForecastPath.objects.select_related("forecast_set__version__spec").earliest("series_id")
    if change == "demand":
        Demand.objects.filter(series=path.series, date=LAST).update(quantity=500.0)
    else:
        KnownFuture.objects.filter(series=path.series).update(values={"is_promotional": 1.0})
    found = reasons_of(path, path.start_date + timedelta(days=3))
    assert found.explanation is None and "have changed since" in found.why_not
    other = ForecastPath.objects.select_related("forecast_set__version__spec").latest("series_id")
    assert reasons_of(other).explanation is not None


def test_explain_point__days_after_the_origin_poisoned__explanation_stays(served: ForecastSet) -> None:
    path = ForecastPath.objects.select_related("forecast_set__version__spec").earliest("series_id")
    before = reasons_of(path).explanation
    Demand.objects.create(series=path.series, date=LAST + timedelta(days=1), quantity=1e6, batch_id=2)
    assert reasons_of(path).explanation == before is not None


def test_explain_point__file_of_the_model_changed__says_that_it_is_corrupt(served: ForecastSet) -> None:
    row = served.version.artifacts.get(role="serving", name="lightgbm.txt")
    content = default_storage.open(row.path).read()
    Path(default_storage.path(row.path)).write_bytes(content + b"\n")
    path = ForecastPath.objects.select_related("forecast_set__version__spec").earliest("series_id")
    found = reasons_of(path)
    assert found.explanation is None and "lightgbm.txt" in found.why_not


def test_explain_point__demand_is_gone__says_why(served: ForecastSet) -> None:
    path = ForecastPath.objects.select_related("forecast_set__version__spec").earliest("series_id")
    Demand.objects.filter(series=path.series).delete()
    assert "no demand" in reasons_of(path).why_not


# --- API --------------------------------------------------------------------------------------------------------------


def address(series: int, query: str = "") -> str:
    return f"/api/v1/forecasts/{series}/explanation/{query}"


def test_api__explanation__is_the_services_and_names_its_forecast(served: ForecastSet) -> None:
    path = ForecastPath.objects.select_related("forecast_set__version__spec", "series").earliest("series_id")
    day = path.start_date + timedelta(days=4)
    expected = reasons_of(path, day).explanation
    assert expected is not None
    body = get("lasting", address(path.series_id, f"?target_date={day}"), viewer_key()).json()
    assert (body["series"], body["store_id"], body["target_date"], body["horizon"]) == (
        path.series_id, path.series.store_id, day.isoformat(), 5,
    )  # fmt: skip
    assert (body["yhat"], body["explained"], body["why_not"], body["is_champion"]) == (path.yhat[4], True, "", True)
    (member,), (wanted,) = body["members"], expected.members
    assert (member["family"], member["weight"], member["scale"]) == ("lightgbm", 1.0, "factor")
    assert (member["base"], member["raw"]) == (wanted.base, wanted.raw)
    assert [group["label"] for group in member["groups"]] == [group.label for group in wanted.groups]
    total = sum(one["effect"] for group in member["groups"] for one in group["contributions"])
    assert member["base"] * math.exp(total) == pytest.approx(body["yhat"], rel=1e-6)
    first = get("lasting", address(path.series_id), viewer_key()).json()
    assert (first["target_date"], first["horizon"]) == (path.start_date.isoformat(), 1)


def test_api__same_again__is_304_and_changed_data_are_not(served: ForecastSet) -> None:
    series, key = Series.objects.earliest("pk").pk, viewer_key()
    first = get("lasting", address(series), key)
    again = get("lasting", address(series), key, **{"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    Demand.objects.filter(series_id=series, date=LAST).update(quantity=500.0)
    changed = get("lasting", address(series), key, **{"If-None-Match": first["ETag"]})
    assert changed.status_code == 200
    assert (changed.json()["explained"], changed.json()["members"]) == (False, [])
    assert "have changed since" in changed.json()["why_not"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?target_date=2030-01-01", 404),
        ("?target_date=yesterday", 400),
        ("?day=2026-04-01", 400),
        ("?version=99", 404),
        ("?target_date=2026-04-01&target_date=2026-04-02", 400),
    ],
)
def test_api__day_or_version_that_is_not_there__says_so(alpha: Tenant, query: str, status: int) -> None:
    promote(make_candidate())
    answer = get("alpha", address(Series.objects.earliest("pk").pk, query), viewer_key())
    assert answer.status_code == status and answer.json()["detail"]


def test_api__model_without_files__is_200_and_says_why_not(alpha: Tenant) -> None:
    promote(make_candidate())
    body = get("alpha", address(Series.objects.earliest("pk").pk), viewer_key()).json()
    assert (body["explained"], body["members"]) == (False, []) and body["why_not"]


def test_api__same_series_number_in_two_tenants__each_sees_its_own(served: ForecastSet, beta_tenant: Tenant) -> None:
    series, key = Series.objects.earliest("pk").pk, viewer_key()
    with schema_context("beta"):
        promote(make_candidate())
        Series.objects.filter(pk=Series.objects.earliest("pk").pk).update(store_id="theirs")
        foreign = viewer_key()
        theirs = Series.objects.earliest("pk").pk
    body = get("beta", address(theirs), foreign).json()
    assert (body["store_id"], body["explained"]) == ("theirs", False)
    with schema_context("lasting"):
        assert get("lasting", address(series), key).json()["store_id"] in {"S000", "S001"}
        assert get("lasting", address(series), foreign).status_code == 401


def test_api__one_token_too_often__waits_while_the_rest_of_the_api_answers(
    alpha: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(make_candidate())
    series, key = Series.objects.earliest("pk").pk, viewer_key()
    monkeypatch.setattr(ExplanationRateThrottle, "rate", "2/min", raising=False)
    assert [get("alpha", address(series), key).status_code for _ in range(3)] == [200, 200, 429]
    assert get("alpha", f"/api/v1/forecasts/{series}/", key).status_code == 200


# --- page -------------------------------------------------------------------------------------------------------------


def page(client_of: Any, series: int, query: str = "") -> Any:
    """The reasons' page in the tenant where the connection stands."""
    client = client_of(tenant_connection.schema_name, make_person("vera", Role.VIEWER))
    return client.get(reverse("admin:forecasting_series_explain", args=[series]) + query)


def test_page__reasons__are_words_figures_and_bars_that_agree(served: ForecastSet, client_of: Any) -> None:
    path = ForecastPath.objects.select_related("forecast_set__version__spec").earliest("series_id")
    day = path.start_date + timedelta(days=2)
    found = reasons_of(path, day).explanation
    assert found is not None
    text = page(client_of, path.series_id, f"?day={day}").content.decode()
    assert f"<strong>{path.yhat[2]:,.1f} units</strong>" in text
    shown = re.findall(r"<summary>.*?</summary>", text, re.S)
    loud = [group for group in found.members[0].groups if abs(group.effect) >= 0.0005]
    assert len(shown) == len(loud) >= 2
    for html, group in zip(shown, loud, strict=True):
        change = math.expm1(group.effect) * 100
        figure = f"{change:+,.1f}%" if abs(change) < 10 else f"{change:+,.0f}%"
        assert group.label in html and figure.replace("-", "−") in html
        assert ("is-up" in html) == (group.effect > 0) and 'aria-hidden="true"' in html
    widths, every = (
        [float(width) for width in re.findall(r"width: ([0-9.]+)%", part)] for part in ("".join(shown), text)
    )
    assert max(every) == 50.0 and widths == sorted(widths, reverse=True) and len(every) > len(widths)
    assert f"?day={day - timedelta(days=1)}" in text and f"?day={day + timedelta(days=1)}" in text


def test_page__series_page__leads_to_the_reasons_of_each_day(served: ForecastSet, client_of: Any) -> None:
    series = Series.objects.earliest("pk").pk
    url = reverse("admin:forecasting_series_explain", args=[series])
    client = client_of("lasting", make_person("vera", Role.VIEWER))
    text = client.get(reverse("admin:forecasting_series_change", args=[series])).content.decode()
    links = re.findall(rf'href="({re.escape(url)}[^"]*)"', text)
    assert len(links) == 1 + AHEAD and links[0] == url
    assert all(client.get(link).status_code == 200 for link in (links[0], links[-1]))


def test_page__family_of_means__has_no_bars_and_says_so(served: ForecastSet, client_of: Any) -> None:
    naive = train(families=["seasonal_naive"])
    publish(naive)
    text = page(client_of, Series.objects.earliest("pk").pk).content.decode()
    assert "nothing more to take apart" in text and "fc-why-bar" not in text and "Weight" not in text


def test_page__mixture__shows_each_members_weight_and_reasons(
    served: ForecastSet, client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = replace(
        EngineSpec.from_json(served.version.spec.body),
        families=("lightgbm", "prophet", "seasonal_naive"),
        weights={"*": {"lightgbm": 0.5, "prophet": 0.25, "seasonal_naive": 0.25}},
    )
    monkeypatch.setattr(training, "_champion_spec", lambda champion: mixed)  # as if a search had proposed it
    publish(train(mode="refresh"))
    path = ForecastPath.objects.select_related("forecast_set__version__spec").latest("pk")
    found = reasons_of(path).explanation
    assert found is not None and found.path == tuple(path.yhat)
    assert {one.family: one.weight for one in found.members} == dict(mixed.weights["*"])
    assert sum(one.weight * one.yhat for one in found.members) == pytest.approx(path.yhat[0])
    text = page(client_of, path.series_id).content.decode()
    assert "mixture of 3 models" in text and text.count("nothing more to take apart") == 1
    for title, weight in (("Lightgbm", "50%"), ("Prophet", "25%"), ("Seasonal naive", "25%")):
        assert re.search(rf'<th scope="row">{title}</th><td class="fc-num">{weight}</td>', text)
    assert "starts from the trend" in text and "Each reason raises or lowers" in text


def test_page_and_api__family_that_declined__is_named_with_its_reason(
    served: ForecastSet, client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = replace(
        EngineSpec.from_json(served.version.spec.body),
        families=("intermittent", "seasonal_naive"),
        weights={"*": {"intermittent": 0.5, "seasonal_naive": 0.5}},
    )
    monkeypatch.setattr(training, "_champion_spec", lambda champion: mixed)  # as if a search had proposed it
    publish(train(mode="refresh"))
    path = ForecastPath.objects.select_related("forecast_set__version__spec").latest("pk")
    found = reasons_of(path).explanation
    assert found is not None and path.flags == ["declined:intermittent"] and path.family == "seasonal_naive"
    ((family, reason),) = found.declined
    assert family == "intermittent" and reason.startswith("demand is ")
    text = page(client_of, path.series_id).content.decode()
    assert f"Intermittent was chosen for this kind of demand, but made no forecast of this series: {reason}." in text
    body = get("lasting", address(path.series_id), viewer_key()).json()
    assert body["declined"] == [{"family": "intermittent", "reason": reason}]


def test_page__cannot_be_told__says_why_and_shows_no_bar(served: ForecastSet, client_of: Any) -> None:
    series = Series.objects.earliest("pk").pk
    Demand.objects.filter(series_id=series, date=LAST).update(quantity=500.0)
    text = page(client_of, series).content.decode()
    assert "cannot be explained" in text and "have changed since" in text and "fc-why-bar" not in text


def test_page__no_such_day_or_no_forecast__is_404_or_says_so(alpha: Tenant, client_of: Any) -> None:
    load(make_demand(stores=1, products=1))
    series = Series.objects.earliest("pk").pk
    assert "nothing to explain" in page(client_of, series).content.decode()
    promote(make_candidate(series=list(Series.objects.all())))
    for query in ("?day=2031-01-01", "?day=soon", "?day=2026-13-01"):
        assert page(client_of, series, query).status_code == 404


def test_queries__of_page_and_api__are_those_committed_and_do_not_grow(served: ForecastSet, client_of: Any) -> None:
    series, key = Series.objects.earliest("pk").pk, viewer_key()
    client = client_of("lasting", make_person("vera", Role.VIEWER))
    url = reverse("admin:forecasting_series_explain", args=[series])

    def counts() -> dict[str, int]:
        found = {}
        for title, ask in (
            ("explanation page", lambda: client.get(url)),
            ("explanation API", lambda: get("lasting", address(series), key)),
        ):
            assert ask().status_code == 200
            with CaptureQueriesContext(connection) as caught:
                assert b"Average of the same weekday" in ask().content
            skip = ("SET ", "BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
            found[title] = sum(not str(query["sql"]).startswith(skip) for query in caught)
        return found

    few = counts()
    load(make_demand(stores=3, products=5), batch_id=2, contract=make_contract(**PROMO))
    assert counts() == few, "the number of queries grows with the series"
    assert few.items() <= json.loads(QUERY_COUNTS.read_text()).items(), "if the change is meant, commit the new figures"
