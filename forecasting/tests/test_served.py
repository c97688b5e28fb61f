"""What served on a day: by the tenant's clock, across rollbacks and refreshes, and what was forecast for the day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from forecasting import selectors_served
from forecasting.models import ChampionAssignment, ForecastSet, ModelVersion
from forecasting.selectors_served import DayState, served_on
from forecasting.services import champions
from forecasting.services.publishing import publish_newest
from forecasting.tests.factories import (
    AS_OF,
    make_candidate,
    make_demand,
    make_forecasts,
    make_person,
    make_series,
    promote,
)
from ledger.services.audit import record
from tenants.models import Tenant
from tenants.roles import Role

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")  # Berlin is the tenant's


def at(day: date, hour: int, minute: int = 0, zone: Any = BERLIN) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)


def on_clock(moment: datetime) -> Any:
    """Services act as if it were that moment."""
    return patch("django.utils.timezone.now", return_value=moment)


@pytest.fixture
def story(alpha: Tenant) -> Iterator[dict[str, Any]]:
    """v1 served from 1 April 09:00, published again on the 2nd; v2 from the 3rd 10:00; v1 again on the 3rd 18:00."""
    with timezone.override(BERLIN):
        with on_clock(at(AS_OF, 12)):
            make_series(4)
            first = make_candidate(family="seasonal_naive")
        with on_clock(at(AS_OF + timedelta(days=1), 9)):
            promote(first)
        with on_clock(at(AS_OF + timedelta(days=2), 6)):
            newer = make_forecasts(first, origin=AS_OF + timedelta(days=1))
            ForecastSet.objects.filter(pk=newer.pk).update(published_at=timezone.now())
        second = make_candidate()
        with on_clock(at(AS_OF + timedelta(days=3), 10)):
            promote(second)
        with on_clock(at(AS_OF + timedelta(days=3), 18)):
            champions.assign(
                version=first, kind="rollback", reason="Oversold", actor=make_person("boss", Role.REVIEWER)
            )
        yield {"first": first, "second": second, "newer": newer}


NOW = at(AS_OF + timedelta(days=10), 12)


def told(day: date) -> list[tuple[str, date | None]]:
    return [
        (one.assignment.version.label, one.forecast_set.origin_date if one.forecast_set else None)
        for one in served_on(day, now=NOW).periods
    ]


def test_served__day_of_the_first_champion__begins_when_it_was_approved(story: dict[str, Any]) -> None:
    answer = served_on(AS_OF + timedelta(days=1), now=NOW)
    assert (answer.state, answer.zone) == (DayState.SERVED, "Europe/Berlin")
    [period] = answer.periods
    assert period.since == at(AS_OF + timedelta(days=1), 9) and period.until == at(AS_OF + timedelta(days=2), 6)
    assert selectors_served.approver_of(period.assignment) == "decider"
    assert "v1 served on" in answer.message


def test_served__newer_forecasts_in_the_morning__both_are_told_in_order(story: dict[str, Any]) -> None:
    assert told(AS_OF + timedelta(days=2)) == [("v1", AS_OF), ("v1", AS_OF + timedelta(days=1))]


def test_served__promotion_and_rollback_on_one_day__tells_all_three(story: dict[str, Any]) -> None:
    day = AS_OF + timedelta(days=3)
    assert [label for label, _ in told(day)] == ["v1", "v2", "v1"]
    answer = served_on(day, now=NOW)
    assert answer.message.startswith("The champion changed") and answer.message.endswith("v1, then v2.")
    assert answer.champion is not None and answer.champion.kind == "rollback"
    assert selectors_served.approver_of(answer.champion) == "boss"


def test_served__days_after_a_rollback__are_the_restored_champions(story: dict[str, Any]) -> None:
    assert told(AS_OF + timedelta(days=8)) == [("v1", AS_OF + timedelta(days=1))]


@pytest.mark.parametrize(
    ("day", "state", "words"),
    [
        (AS_OF, DayState.BEFORE_FIRST, "the first champion began on 1 Apr 2026, 09:00"),
        (date.min, DayState.BEFORE_FIRST, "Nothing served"),
        (AS_OF + timedelta(days=11), DayState.FUTURE, "has not come"),
        (date.max, DayState.FUTURE, "has not come"),
    ],
)
def test_served__outside_of_service__says_why(story: dict[str, Any], day: date, state: DayState, words: str) -> None:
    answer = served_on(day, now=NOW)
    assert (answer.state, answer.periods) == (state, ()) and words in answer.message


def test_served__no_champion_ever__says_so(alpha: Tenant) -> None:
    make_candidate()
    answer = served_on(AS_OF)
    assert answer.state == DayState.NO_CHAMPION and "No version has become champion yet" in answer.message
    assert answer.forecast is None


def test_served__midnight__is_the_tenants_not_utc(alpha: Tenant) -> None:
    late = datetime(2026, 4, 2, 2, 30, tzinfo=UTC)  # the evening of the 1st in New York, the 2nd in Berlin
    with on_clock(late):
        promote(make_candidate())
    now = late + timedelta(days=5)
    for zone, first in (("America/New_York", date(2026, 4, 1)), ("Europe/Berlin", date(2026, 4, 2))):
        with timezone.override(ZoneInfo(zone)):
            assert served_on(first, now=now).state == DayState.SERVED
            assert served_on(first - timedelta(days=1), now=now).state == DayState.BEFORE_FIRST


def test_served__day_of_25_hours__is_one_day(alpha: Tenant) -> None:
    with timezone.override(NEW_YORK):
        with on_clock(datetime(2026, 11, 1, 5, 30, tzinfo=UTC)):  # the first 01:30 of that night
            promote(make_candidate())
        with on_clock(datetime(2026, 11, 2, 4, 59, tzinfo=UTC)):  # 23:59
            promote(make_candidate(seed=5))
        now = datetime(2026, 11, 9, tzinfo=UTC)
        assert [p.assignment.version.number for p in served_on(date(2026, 11, 1), now=now).periods] == [1, 2]
        assert [p.assignment.version.number for p in served_on(date(2026, 11, 2), now=now).periods] == [2]


# --- forecasts of the day ---------------------------------------------------------------------------------------------


def test_forecast__set_in_service__is_the_last_one_that_speaks_of_the_day(story: dict[str, Any]) -> None:
    day = AS_OF + timedelta(days=2)
    found = served_on(day, now=NOW).forecast
    assert found is not None and found.forecast_set == story["newer"]
    assert (found.served, found.known_then, found.step, found.target_date) == (True, True, 1, day)
    rows = selectors_served.rows_of(found, limit=3)
    stored = story["newer"].paths.select_related("series").order_by("series__store_id", "series__product_id")
    assert [row.yhat for row in rows] == [path.yhat[0] for path in stored[:3]]
    assert found.total_value("yhat") == pytest.approx(sum(path.yhat[0] for path in stored))


def test_forecast__day_before_any_champion__was_not_known_then(story: dict[str, Any]) -> None:
    make_forecasts(story["first"], origin=AS_OF - timedelta(days=5))
    ForecastSet.objects.filter(origin_date=AS_OF - timedelta(days=5)).update(published_at=NOW)
    found = served_on(AS_OF - timedelta(days=2), now=NOW).forecast
    assert found is not None and (found.served, found.known_then, found.step) == (False, False, 3)
    assert served_on(AS_OF - timedelta(days=60), now=NOW).forecast is None


def test_forecast__unpublished_shadow__is_never_an_answer(alpha: Tenant) -> None:
    promote(make_candidate(forecasts=False))
    make_forecasts(make_candidate(seed=8, forecasts=False))
    assert served_on(AS_OF + timedelta(days=1)).forecast is None


def test_forecast__future_day_within_reach__is_what_is_published_so_far(story: dict[str, Any]) -> None:
    found = served_on(AS_OF + timedelta(days=12), now=NOW).forecast
    assert found is not None and (found.served, found.known_then, found.step) == (False, True, 11)


def test_champion_on__after_a_rollback_to_an_older_fit__is_the_restored_one(alpha: Tenant) -> None:
    from forecasting import selectors

    first = promote(make_candidate(family="seasonal_naive")).version
    promote(make_candidate(as_of=AS_OF + timedelta(days=7)))
    restored = champions.assign(version=first, kind="rollback", reason="Oversold")
    assert selectors.champion_on(AS_OF + timedelta(days=9)) == restored
    assert restored.effective_on >= AS_OF + timedelta(days=7)


def test_drill__champion_of_another_channel__did_not_serve(story: dict[str, Any]) -> None:
    with on_clock(at(AS_OF + timedelta(days=5), 9)):
        drilled = ChampionAssignment.objects.create(
            channel="drill", version=story["second"], kind="promotion", effective_on=AS_OF, from_at=timezone.now()
        )
        record(event="champion.assigned", subject=drilled)
    assert [label for label, _ in told(AS_OF + timedelta(days=5))] == ["v1"]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_page__day_with_a_change__names_champions_approver_and_forecasts(
    alpha: Tenant, client_of: Callable[..., Client]
) -> None:
    make_demand(series=make_series(4), until=AS_OF + timedelta(days=1))
    promote(make_candidate(family="seasonal_naive"))
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    url = reverse("admin:forecasting_championassignment_served")
    text = client.get(url).content.decode()
    assert "v1 served on" in text and "decider" in text
    text = client.get(url, {"on": (AS_OF + timedelta(days=1)).isoformat()}).content.decode()
    assert "Nothing served on 1 Apr 2026" in text and "product-1" in text and "format=csv" in text
    rows = client.get(text.split('class="fc-btn" href="/api')[1].split('"')[0].join(("/api", "")).replace("&amp;", "&"))
    assert rows.status_code == 200 and rows.content.decode().count("\n") == 5


@pytest.mark.parametrize("text", ["31.1.2026", "2026-02-30", "tomorrow", "2026-1-1", "'; --", "20260101", "²"])
def test_page__bad_date__is_400_with_how_to_write_it(
    alpha: Tenant, client_of: Callable[..., Client], text: str
) -> None:
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    response = client.get(reverse("admin:forecasting_championassignment_served"), {"on": text})
    assert response.status_code == 400 and "Write it as 2026-01-31" in response.content.decode()


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "1000-06-01"])
def test_page__day_at_the_end_of_time__is_answered(alpha: Tenant, client_of: Callable[..., Client], text: str) -> None:
    promote(make_candidate())
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    assert client.get(reverse("admin:forecasting_championassignment_served"), {"on": text}).status_code == 200


def test_publish_newest__champion_again__keeps_when_its_forecasts_were_published(story: dict[str, Any]) -> None:
    version = ModelVersion.objects.get(pk=story["first"].pk)
    before = ForecastSet.objects.get(pk=story["newer"].pk).published_at
    assert publish_newest(version) == story["newer"]
    assert ForecastSet.objects.get(pk=story["newer"].pk).published_at == before
