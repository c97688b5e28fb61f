"""Replays of a tenant whose contract says that its demand is weekly."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from forecasting.engine.replay.artifacts import LOG
from forecasting.errors import WrongRequest
from forecasting.errors_replay import ReplayGrainChanged, ReplayNotPossible
from forecasting.models import Demand, Replay, ReplayState
from forecasting.services.replay_request import check_replay, make_replay, resume_replay, start_replay
from forecasting.services.replaying import replay_inline
from forecasting.tests.factories import AS_OF, make_person, make_series
from forecasting.tests.replay_world import work_off
from forecasting.tests.synthetic import activate, make_contract
from integrations.models import Contract
from integrations.models.source import ContractState
from tenants.models import Tenant
from tenants.roles import Role

WEEKS = 60
BARE: dict[str, Any] = {"families": ["seasonal_naive"], "portfolio": "off"}


def make_weeks() -> None:
    """Poisson demand of a few series under a weekly contract; each row is a week that ends on its date."""
    activate(make_contract(grain="weekly"))
    rng, rows = np.random.default_rng(4), []
    for k, one in enumerate(make_series(4)):
        for back in range(WEEKS):
            quantity = float(rng.poisson(50 + 20 * k))
            rows.append(Demand(series=one, date=AS_OF - timedelta(weeks=back), quantity=quantity, unit_price=3.0,
                               unit_cost=2.0, batch_id=1))  # fmt: skip
        one.first_day, one.last_day = AS_OF - timedelta(weeks=WEEKS - 1), AS_OF
        one.save(update_fields=["first_day", "last_day"])
    Demand.objects.bulk_create(rows)


def test_weekly_replay__command__walks_through_weeks_and_says_so(
    alpha: Tenant, client_of: Callable[[str, User], Client], tmp_path: Path
) -> None:
    make_weeks()
    out = StringIO()
    call_command("replay", "alpha", "--holdout-days=14", "--families=seasonal_naive", "--portfolio=off", "--out",
                 str(tmp_path), verbosity=0, stdout=out, stderr=StringIO())  # fmt: skip
    replay = Replay.objects.get()
    assert (replay.state, replay.steps, replay.config["horizon"]) == (ReplayState.FINISHED, 2, 4)
    assert "weeks short" in out.getvalue() and replay.sentence in out.getvalue()
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    days = [AS_OF - timedelta(weeks=back) for back in (2, 1, 0)]
    assert [line["day"] for line in lines] == [day.isoformat() for day in days]
    for line, day in zip(lines[1:], days[1:], strict=True):
        assert line["actual"] == sum(Demand.objects.filter(date=day).values_list("quantity", flat=True))
    client = client_of("alpha", make_person("vic", Role.VIEWER))
    page = client.get(reverse("admin:forecasting_replay_change", args=[replay.pk])).content.decode()
    assert "Series-weeks short" in page and "Week by week" in page and "Sold that week" in page
    shown = client.get(reverse("admin:forecasting_replay_day", args=[replay.pk, "0"])).content.decode()
    assert "Came that week" in shown and "Week before" in shown


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"holdout_days": 10}, WrongRequest, "whole weeks"),
        ({"holdout_days": 365}, WrongRequest, "multiple of 7"),
        ({"holdout_days": 0}, WrongRequest, "ends before"),
        ({"holdout_days": 7 * 52}, ReplayNotPossible, "Replay at most"),
        ({"horizon": 0}, WrongRequest, "lead time"),
    ],
)
def test_weekly_check__bad_input__says_what_to_do(
    alpha: Tenant, asked: dict[str, Any], error: type[Exception], told: str
) -> None:
    make_weeks()
    with pytest.raises(error, match=told):
        check_replay(**{"holdout_days": 14, **BARE, **asked})


def test_weekly_check__day_in_the_midst_of_a_week__ends_with_the_week_before_it(alpha: Tenant) -> None:
    make_weeks()

    def end(as_of: date) -> date:
        return check_replay(holdout_days=14, as_of=as_of, **BARE).end

    assert end(AS_OF - timedelta(days=1)) == end(AS_OF - timedelta(days=7)) == AS_OF - timedelta(days=7)


def test_weekly_replay__contract_becomes_daily_meanwhile__refused_before_anything_is_walked(alpha: Tenant) -> None:
    make_weeks()
    replay = start_replay(config=check_replay(holdout_days=14, **BARE), actor=None, reason="By weeks")
    daily = activate(make_contract(source="tills"))
    work_off(alpha)
    replay.refresh_from_db()
    assert replay.state == ReplayState.FAILED and not replay.days.exists()
    assert "Start another replay" in replay.error and "it is daily now" in replay.error
    with pytest.raises(ReplayGrainChanged):
        replay_inline(replay=replay, resume=True)
    Contract.objects.filter(pk=daily.pk).update(state=ContractState.SUPERSEDED)
    resume_replay(replay_id=replay.pk, actor=None)
    work_off(alpha)
    replay.refresh_from_db()
    assert replay.state == ReplayState.FINISHED
    again = replay_inline(replay=make_replay(config=check_replay(holdout_days=14, **BARE), actor=None))
    assert [one["sha256"] for one in again.files] == [one["sha256"] for one in replay.files]
