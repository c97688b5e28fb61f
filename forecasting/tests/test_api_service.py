"""What serves and what judged it, by the API: champions, days, judgements, policy."""

from __future__ import annotations

from typing import Any

import pytest

from forecasting.models import ChampionAssignment, GatePolicy
from forecasting.services.policy import active_policy
from forecasting.tests.api_helpers import get, viewer_key, walk
from forecasting.tests.factories import (
    AS_OF,
    make_blocked_report,
    make_candidate,
    make_eligible_report,
    promote,
)
from forecasting.tests.test_served import story  # noqa: F401  # a fixture
from ledger.services.audit import record
from tenants.models import Tenant


def test_champions__history__newest_first_and_by_day(story: dict[str, Any]) -> None:  # noqa: F811
    key = viewer_key()
    rows = walk("alpha", "/api/v1/champions/?page_size=1", key)
    assert [(one["version"], one["kind"], one["to_at"] is None) for one in rows] == [
        (1, "rollback", True), (2, "promotion", False), (1, "promotion", False)
    ]  # fmt: skip
    on = {day: [one["version"] for one in get("alpha", f"/api/v1/champions/?on={day}", key).json()["results"]]
          for day in ("2026-03-31", "2026-04-02", "2026-04-03")}  # fmt: skip
    assert on == {"2026-03-31": [], "2026-04-02": [1], "2026-04-03": [1, 2, 1]}
    kinds = get("alpha", "/api/v1/champions/?kind=rollback", key).json()["results"]
    assert [one["reason"] for one in kinds] == ["Oversold"]


def test_served__day__answers_with_the_rows_of_that_day(story: dict[str, Any]) -> None:  # noqa: F811
    key = viewer_key()
    body = get("alpha", "/api/v1/served/?on=2026-04-02", key).json()
    assert (body["state"], body["time_zone"]) == ("served", "Europe/Berlin")
    assert [one["forecast_set"]["origin_date"] for one in body["periods"]] == ["2026-03-31", "2026-04-01"]
    assert {one["approved_by"] for one in body["periods"]} == {"decider"}
    made = body["forecast"]
    assert (made["origin_date"], made["horizon"], made["served"]) == ("2026-04-01", 1, True)
    rows = get("alpha", made["rows_url"], key).json()["results"]
    assert len(rows) == made["series"] == 4
    assert sum(row["yhat"] for row in rows) == pytest.approx(made["total"]["yhat"])
    before = get("alpha", "/api/v1/served/?on=2026-03-30", key).json()
    assert (before["state"], before["periods"]) == ("before_first", [])


@pytest.mark.parametrize("on", ["31.1.2026", "2026-02-30", "today", "2026-1-1", ""])
def test_served__bad_date__is_400(alpha: Tenant, on: str) -> None:
    for address in ("/api/v1/served/", "/api/v1/champions/"):
        response = get("alpha", f"{address}?on={on}", viewer_key())
        assert (response.status_code, response.json()["errors"][0]["parameter"]) == (400, "on")


@pytest.mark.parametrize(("on", "state"), [("0001-01-01", "before_first"), ("9999-12-31", "future")])
def test_served__end_of_time__is_answered(alpha: Tenant, on: str, state: str) -> None:
    promote(make_candidate())
    key = viewer_key()
    assert get("alpha", f"/api/v1/served/?on={on}", key).json()["state"] == state
    assert get("alpha", f"/api/v1/champions/?on={on}", key).status_code == 200


def test_gate_reports__list_and_detail__hold_verdict_and_gates(alpha: Tenant) -> None:
    first = make_eligible_report()
    second = make_blocked_report(make_candidate(seed=2))
    key = viewer_key()
    rows = walk("alpha", "/api/v1/gate-reports/?page_size=1", key)
    assert [(one["id"], one["verdict"], one["champion"]) for one in rows] == [
        (second.pk, "blocked", None), (first.pk, "eligible", None)
    ]  # fmt: skip
    assert [one["id"] for one in walk("alpha", "/api/v1/gate-reports/?verdict=eligible&candidate=1", key)] == [first.pk]
    body = get("alpha", f"/api/v1/gate-reports/{second.pk}/", key).json()
    assert body["sha256"] == second.sha256 and not all(gate["passed"] for gate in body["gates"])
    assert get("alpha", "/api/v1/gate-reports/999999/", key).status_code == 404


def test_gate_policy__in_force_and_earlier__are_told(alpha: Tenant) -> None:
    policy = active_policy()
    key = viewer_key()
    body = get("alpha", "/api/v1/gate-policy/", key).json()
    assert (body["version"], body["in_force"], body["sha256"]) == (policy.version, True, policy.sha256)
    assert body["body"]["gates"]
    assert get("alpha", f"/api/v1/gate-policy/?version={policy.version}", key).json() == body
    assert get("alpha", "/api/v1/gate-policy/?version=99", key).status_code == 404
    assert GatePolicy.objects.count() == 1


def test_reads__drill_channel__is_not_shown(alpha: Tenant) -> None:
    version = promote(make_candidate()).version
    drilled = ChampionAssignment.objects.create(
        channel="drill", version=version, kind="promotion", effective_on=AS_OF, from_at="2026-04-01T00:00:00Z"
    )
    record(event="champion.assigned", subject=drilled)
    assert len(get("alpha", "/api/v1/champions/", viewer_key()).json()["results"]) == 1
    assert get("alpha", "/api/v1/champions/?on=2026-04-01", viewer_key()).json()["results"] == []
