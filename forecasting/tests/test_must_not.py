"""What must not be possible in a promotion, tried by raw SQL: the database refuses what a service refuses in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from forecasting.models import ChampionAssignment, ForecastPath, ForecastSet, PromotionRequest, StrategyDecision
from forecasting.services.policy import change_policy
from forecasting.services.promotion import withdraw_promotion
from forecasting.tests.factories import (
    make_candidate,
    make_pending_request,
    make_person,
    make_report,
    promote,
)
from forecasting.tests.promotion_state import state_of, tampered
from forecasting.tests.strategy_sample import make_cycle
from tenants.models import Tenant
from tenants.roles import Role


@dataclass(frozen=True)
class Ids:
    """Rows of one tenant: v1 serves, v2 waits for a decision."""

    first: int
    pending: int
    champion: int
    candidate: int
    asker: int
    reviewer: int
    assignment: int


@pytest.fixture
def ids(alpha: Tenant) -> Ids:
    assignment = promote(make_candidate(family="seasonal_naive"))
    request = make_pending_request(make_candidate(family="lightgbm"))
    reviewer = make_person("decider", Role.REVIEWER)
    return Ids(
        first=assignment.request_id or 0, pending=request.pk, champion=assignment.version_id,
        candidate=request.candidate_id, asker=request.requested_by_id or 0, reviewer=reviewer.pk,
        assignment=assignment.pk,
    )  # fmt: skip


def sql(statement: str, **values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def refused(statement: str, ids: Ids, *, match: str = "") -> None:
    """The statement is refused at once or, at the latest, when its transaction would be committed."""
    with pytest.raises(DatabaseError, match=match), transaction.atomic():
        sql(statement, **vars(ids))
        sql("SET CONSTRAINTS ALL IMMEDIATE")
    sql("SET CONSTRAINTS ALL DEFERRED")


APPROVE = """UPDATE forecasting_promotionrequest SET state = 'approved', decided_by_id = %(reviewer)s,
    decided_by_name = 'decider', decision_reason = 'Sure', decided_at = now() WHERE id = %(pending)s"""
OPEN = """INSERT INTO forecasting_championassignment
    (channel, version_id, kind, request_id, guard, reason, assigned_by_name, effective_on, from_at{more})
    VALUES ('live', {version}, '{kind}', {request}, '{{}}', '', 'x', now(), {at}{values})"""


def open_assignment(version: str, kind: str, request: str = "NULL", at: str = "clock_timestamp()") -> str:
    """An assignment with whatever further columns the table wants."""
    known = {"id", "channel", "version_id", "kind", "request_id", "guard", "reason", "assigned_by_name", "effective_on",
             "from_at", "to_at"}  # fmt: skip
    further = [f.column for f in ChampionAssignment._meta.concrete_fields if f.column not in known]
    more, values = "".join(f", {name}" for name in further), ", '{}'" * len(further)
    return OPEN.format(version=version, kind=kind, request=request, at=at, more=more, values=values)


TO_CLOSE = "UPDATE forecasting_championassignment SET to_at = clock_timestamp() WHERE id = %(assignment)s; "
STATEMENTS = {
    "self_approval": APPROVE.replace("%(reviewer)s", "%(asker)s").replace("'decider'", "'somebody else'"),
    "self_approval_by_name": APPROVE.replace("'decider'", "'Asker'"),
    "approval_by_nobody": APPROVE.replace("%(reviewer)s", "NULL"),
    "approval_without_reason": APPROVE.replace("'Sure'", "''"),
    "approval_without_event_and_champion": APPROVE,
    "rejection_without_event": APPROVE.replace("'approved'", "'rejected'"),
    "withdrawal_without_event": "UPDATE forecasting_promotionrequest SET state = 'withdrawn' WHERE id = %(pending)s",
    "decided_again": "UPDATE forecasting_promotionrequest SET state = 'rejected' WHERE id = %(first)s",
    "back_to_pending": "UPDATE forecasting_promotionrequest SET state = 'pending' WHERE id = %(first)s",
    "longer_days": "UPDATE forecasting_promotionrequest SET expires_at = expires_at + interval '1 year'",
    "other_candidate": "UPDATE forecasting_promotionrequest SET candidate_id = %(champion)s WHERE id = %(pending)s",
    "other_evidence": "UPDATE forecasting_promotionrequest SET evidence_hash = repeat('0', 64) WHERE id = %(pending)s",
    "request_deleted": "DELETE FROM forecasting_promotionrequest WHERE id = %(pending)s",
    "decision_deleted": "DELETE FROM forecasting_promotionrequest WHERE id = %(first)s",
    "requests_emptied": "TRUNCATE forecasting_promotionrequest CASCADE",
    "champion_deleted": "DELETE FROM forecasting_championassignment WHERE id = %(assignment)s",
    "champions_emptied": "TRUNCATE forecasting_championassignment",
    "second_champion": open_assignment("%(champion)s", "rollback"),
    "champion_in_the_past": TO_CLOSE
    + open_assignment("%(champion)s", "rollback", at="now() - interval '1 day'"),
    "champion_without_event": TO_CLOSE
    + open_assignment("%(champion)s", "rollback"),
    "champion_not_approved": TO_CLOSE
    + open_assignment("%(candidate)s", "promotion", "%(pending)s"),
    "champion_reopened": "UPDATE forecasting_championassignment SET to_at = NULL WHERE id = %(assignment)s",
    "version_that_served_deleted": "DELETE FROM forecasting_modelversion WHERE id = %(champion)s",
    "version_that_was_asked_for_deleted": "DELETE FROM forecasting_modelversion WHERE id = %(candidate)s",
    "its_files_deleted": "DELETE FROM forecasting_modelartifact WHERE version_id = %(champion)s",
    "files_emptied": "TRUNCATE forecasting_modelartifact",
    "file_altered": "UPDATE forecasting_modelartifact SET sha256 = repeat('0', 64) WHERE version_id = %(candidate)s",
    "spec_swapped": "UPDATE forecasting_modelversion SET spec_id = (SELECT spec_id FROM forecasting_modelversion "
    "WHERE id = %(champion)s) WHERE id = %(candidate)s",
    "backtest_flattered": "UPDATE forecasting_modelversion SET backtest = '{{}}' WHERE id = %(candidate)s",
    "evaluation_made_up": "UPDATE forecasting_modelversion SET evaluation = '{{\"report\": 0}}'",
    "trainer_swapped": "UPDATE forecasting_modelversion SET created_by_id = %(reviewer)s WHERE id = %(candidate)s",
    "status_without_transition": "UPDATE forecasting_modelversion SET status = 'failed' WHERE id = %(candidate)s",
    "champion_retired": "UPDATE forecasting_modelversion SET status = 'retired' WHERE id = %(champion)s",
    "report_altered": "UPDATE forecasting_gatereport SET verdict = 'eligible'",
    "report_deleted": "DELETE FROM forecasting_gatereport",
    "policy_altered": "UPDATE forecasting_gatepolicy SET body = '{{}}'",
    "policy_deleted": "DELETE FROM forecasting_gatepolicy",
    "policy_back_in_force": "UPDATE forecasting_gatepolicy SET is_active = false; "
    "UPDATE forecasting_gatepolicy SET is_active = true",
    "policy_without_event": "UPDATE forecasting_gatepolicy SET is_active = false; INSERT INTO forecasting_gatepolicy "
    "(version, body, sha256, is_active, reason, created_at, created_by_name) "
    "SELECT 9, body, sha256, true, 'Mine', now(), 'x' FROM forecasting_gatepolicy LIMIT 1",
    "forecasts_that_served_altered": "UPDATE forecasting_forecastpath SET yhat = lo80 WHERE forecast_set_id IN "
    "(SELECT id FROM forecasting_forecastset WHERE version_id = %(champion)s)",
    "forecasts_that_served_deleted": "DELETE FROM forecasting_forecastpath WHERE forecast_set_id IN "
    "(SELECT id FROM forecasting_forecastset WHERE version_id = %(champion)s)",
    "totals_that_served_altered": "UPDATE forecasting_forecastnodepath SET yhat = lo80 WHERE forecast_set_id IN "
    "(SELECT id FROM forecasting_forecastset WHERE version_id = %(champion)s)",
    "forecasts_moved_into_what_served": "UPDATE forecasting_forecastpath SET forecast_set_id = (SELECT id FROM "
    "forecasting_forecastset WHERE version_id = %(champion)s) WHERE forecast_set_id IN "
    "(SELECT id FROM forecasting_forecastset WHERE version_id = %(candidate)s)",
    "set_that_served_deleted": "DELETE FROM forecasting_forecastset WHERE version_id = %(champion)s",
    "set_unpublished": "UPDATE forecasting_forecastset SET published_at = NULL WHERE version_id = %(champion)s",
    "set_of_another_version": "UPDATE forecasting_forecastset SET version_id = %(champion)s, origin_date = now() "
    "WHERE version_id = %(candidate)s",
    "forecasts_emptied": "TRUNCATE forecasting_forecastpath",
    "event_altered": "UPDATE ledger_auditevent SET actor_name = 'x'",
    "event_deleted": "DELETE FROM ledger_auditevent",
    "events_emptied": "TRUNCATE ledger_auditevent",
}  # fmt: skip


@pytest.mark.parametrize("name", STATEMENTS)
def test_database__what_must_not_be_possible__is_refused(ids: Ids, name: str) -> None:
    refused(STATEMENTS[name].replace("{{", "{").replace("}}", "}"), ids)
    assert PromotionRequest.objects.get(pk=ids.pending).state == "pending"
    assert ChampionAssignment.objects.get(to_at=None).pk == ids.assignment


def _blocked_now(ids: Ids) -> None:
    make_report(PromotionRequest.objects.get(pk=ids.pending).candidate, factor=1.2)


CHANGES = {
    "judged again": _blocked_now,
    "policy": lambda ids: tampered("gatepolicy", "is_active = false"),
    "days are over": lambda ids: tampered("promotionrequest", f"expires_at = now() WHERE id = {ids.pending}"),
    "the candidate is retired": lambda ids: tampered("modelversion", f"status = 'retired' WHERE id = {ids.candidate}"),
    "gates do not pass": lambda ids: tampered(
        "gatereport", f"results = jsonb_set(results, '{{0,passed}}', 'false') WHERE candidate_id = {ids.candidate}"
    ),
    "champion is another": lambda ids: tampered("championassignment", f"to_at = from_at WHERE id = {ids.assignment}"),
    "no active reviewer": lambda ids: make_person("decider"),
}


@pytest.mark.parametrize("why", CHANGES)
def test_database__approval_of_what_changed__is_refused_and_says_why(ids: Ids, why: str) -> None:
    CHANGES[why](ids)
    refused(APPROVE, ids, match=why)


def test_database__reviewer_who_left__cannot_reject_either(ids: Ids) -> None:
    sql("UPDATE auth_user SET is_active = false WHERE id = %(id)s", id=ids.reviewer)
    refused(APPROVE.replace("'approved'", "'rejected'"), ids, match="no active reviewer")


def test_database__request_with_another_champion_or_a_blocked_report__is_refused(ids: Ids) -> None:
    withdraw_promotion(request_id=ids.pending, actor=make_person("asker", Role.ANALYST))
    copied = """INSERT INTO forecasting_promotionrequest SELECT (jsonb_populate_record(r, jsonb_build_object(
        'id', 99999, 'state', 'pending', 'decided_at', NULL, 'decided_by_id', NULL) || '{}')).*
        FROM forecasting_promotionrequest r WHERE id = %(pending)s"""
    blocked = make_report(PromotionRequest.objects.get(pk=ids.pending).candidate, factor=1.2)
    for other in (
        '{"champion_id": null}',
        f'{{"candidate_id": {ids.champion}}}',
        f'{{"gate_report_id": {blocked.pk}}}',
    ):
        with pytest.raises(DatabaseError, match="eligible report"), transaction.atomic():
            sql(copied.replace("'{}'", f"'{other}'"), **vars(ids))


def test_database__strategy_decision_without_its_event__is_refused(alpha: Tenant) -> None:
    cycle = make_cycle(by=make_person("ann", Role.ANALYST))
    proposal = StrategyDecision.objects.filter(cycle=cycle, kind="proposed").get()
    proposal.pk, proposal.kind, proposal.reason, proposal.decided_by_name = None, "chosen", "Mine", "ann"
    with pytest.raises(DatabaseError, match=r"no audit event strategy\.decided"), transaction.atomic():
        proposal.save(force_insert=True)
        sql("SET CONSTRAINTS ALL IMMEDIATE")


def test_database__forecasts_not_served_yet__may_be_changed(ids: Ids) -> None:
    shadow = ForecastSet.objects.get(version=ids.candidate)
    shadow.paths.update(family="seasonal_naive")
    shadow.paths.all().delete()
    shadow.delete()
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    assert not ForecastSet.objects.filter(version=ids.candidate).exists()


def test_database__paths_that_served_and_were_lost__may_be_filled_in_but_not_added_to(ids: Ids) -> None:
    served = ForecastSet.objects.get(version=ids.champion)
    lost = list(served.paths.all())[:2]
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE forecasting_forecastpath DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM forecasting_forecastpath WHERE id = ANY (%s)", [[one.pk for one in lost]])
        cursor.execute("ALTER TABLE forecasting_forecastpath ENABLE TRIGGER USER")
    ForecastPath.objects.bulk_create(lost)
    assert served.paths.count() == served.series_count
    with pytest.raises(DatabaseError, match="have served"), transaction.atomic():
        served.paths.all().delete()


def test_policy_change__in_the_same_moment_as_its_event__is_kept(ids: Ids) -> None:
    admin = make_person("admin", Role.TENANT_ADMIN)
    change_policy(body={"request_valid_days": 3}, actor=admin, reason="Faster")
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    sql("SET CONSTRAINTS ALL DEFERRED")
    assert state_of(PromotionRequest.objects.get(pk=ids.pending)) == "lapsed"
