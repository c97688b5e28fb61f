"""The audit trail: append-only, chained, verifiable."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction
from django_tenants.utils import schema_context

from ledger.models import AuditEvent
from ledger.services.audit import record
from ledger.services.verify import verify_chain
from tenants.models import Tenant


def _tamper(statement: str) -> None:
    """Change rows as the database's owner can: with the triggers off."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(statement)
        cursor.execute("SET session_replication_role = DEFAULT")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_auditevent SET actor_name = 'nobody'",
        "DELETE FROM ledger_auditevent",
        "TRUNCATE ledger_auditevent",
        "DELETE FROM ledger_audithead",
    ],
)
def test_audit__change_by_any_statement__is_refused(alpha: Tenant, statement: str) -> None:
    record(event="one")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_audit__events__form_an_intact_chain(alpha: Tenant) -> None:
    before = verify_chain().events
    for number in range(5):
        record(event="counted", data={"number": number, "text": 'ü " \\ 🙂', "nested": {"b": [1, 2.5, None]}})
    report = verify_chain()
    assert report.intact
    assert report.events == before + 5
    newest, previous = AuditEvent.objects.all()[:2]
    assert (newest.prev_hash, report.head) == (previous.hash, newest.hash)


def test_audit__altered_row__is_named(alpha: Tenant) -> None:
    for number in range(3):
        record(event="counted", data={"number": number})
    victim = AuditEvent.objects.all()[1]
    _tamper(f"UPDATE ledger_auditevent SET data = '{{\"number\": 99}}' WHERE id = {victim.pk}")
    (link,) = verify_chain().broken
    assert (link.row_id, link.sequence) == (victim.pk, victim.sequence)
    assert "content" in link.problem


def test_audit__altered_row_with_its_own_hash_made_anew__breaks_the_next_link(alpha: Tenant) -> None:
    for number in range(3):
        record(event="counted", data={"number": number})
    after, victim = AuditEvent.objects.all()[:2]
    _tamper(f"UPDATE ledger_auditevent SET hash = repeat('a', 64) WHERE id = {victim.pk}")
    assert [link.row_id for link in verify_chain().broken] == [victim.pk, after.pk]


def test_audit__row_taken_out_of_the_middle__is_a_named_gap(alpha: Tenant) -> None:
    for number in range(3):
        record(event="counted", data={"number": number})
    after, victim = AuditEvent.objects.all()[:2]
    _tamper(f"DELETE FROM ledger_auditevent WHERE id = {victim.pk}")
    (link,) = verify_chain().broken
    assert link.row_id == after.pk
    assert f"events {victim.sequence} to {victim.sequence}" in link.problem


def test_audit__last_rows_taken_away__is_seen_at_the_head(alpha: Tenant) -> None:
    record(event="last")
    last = AuditEvent.objects.first()
    assert last is not None
    _tamper(f"DELETE FROM ledger_auditevent WHERE id = {last.pk}")
    (link,) = verify_chain().broken
    assert link.row_id is None
    assert "at the end are missing" in link.problem


def test_audit__two_tenants__have_chains_of_their_own(alpha: Tenant) -> None:
    record(event="of.alpha")
    with schema_context("beta"):
        assert not AuditEvent.objects.filter(event="of.alpha").exists()
        assert verify_chain().intact
