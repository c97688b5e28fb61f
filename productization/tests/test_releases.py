"""Releases: prepared by one, decided by another, and never changed afterwards, whoever writes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from ledger.models import AuditEvent
from productization.errors import ReasonRequired, ReleaseRefused
from productization.models import Release
from productization.services import releases
from productization.tests.releases import bare_ground, make_release
from productization.tests.tree import Tree
from tenants.errors import PlatformOperatorRequired

Operators = Callable[..., User]
pytestmark = pytest.mark.django_db


def test_release__prepared_and_signed__freezes_board_rows_and_hashes(whole_tree: Tree, operator: Operators) -> None:
    ann, bea = operator("ann", "add_release", "change_trackeritem"), operator("bea", "change_release")
    made = releases.prepare_release(version="1.0", reason="It holds.", actor=ann, ground=whole_tree.ground())
    rows = made.snapshot["tracker"]["items"]
    assert {row["status"] for row in rows} == {"done"}
    assert made.statement == made.snapshot["board"]["statement"]
    artifact = next(piece for piece in rows[4]["evidence"] if piece["kind"] == "artifact")
    made_files = whole_tree.records.steps["dispatch"].files
    assert artifact["facts"]["files"] == {artifact["ref"]: made_files[artifact["ref"]]}
    signed = releases.sign_release(release_id=made.pk, reason="I read every row.", actor=bea)
    assert (signed.state, signed.decided_by_name) == ("signed", "bea")
    signed.refresh_from_db()
    assert releases.digest(signed.snapshot) == signed.snapshot_sha256
    events = AuditEvent.objects.filter(event__startswith="release.").order_by("sequence")
    assert [(one.event, one.actor_name) for one in events] == [("release.prepared", "ann"), ("release.signed", "bea")]


def test_release__signed_by_who_prepared_it__is_refused_by_service_and_database(operator: Operators) -> None:
    made = make_release()
    preparer = User.objects.get(username="preparer")
    for act in (releases.sign_release, releases.decline_release):
        with pytest.raises(ReleaseRefused, match="another operator"):
            act(release_id=made.pk, reason="It is fine.", actor=preparer)
    with pytest.raises(IntegrityError), transaction.atomic():
        Release.objects.filter(pk=made.pk).update(
            state="signed",
            decided_at=timezone.now(),
            decided_by_id=preparer.pk,
            decided_by_name="x",
            decision_reason="y",
        )
    made.refresh_from_db()
    assert made.state == "prepared"


def test_release__who_may_and_why__is_held(operator: Operators) -> None:
    made, bea, vic = make_release(), operator("bea", "change_release"), operator("vic", "view_release")
    with pytest.raises(PlatformOperatorRequired):
        releases.prepare_release(version="2", reason="Because.", actor=bea, ground=bare_ground())
    with pytest.raises(PlatformOperatorRequired):
        releases.sign_release(release_id=made.pk, reason="Because.", actor=vic)
    with pytest.raises(ReasonRequired):
        releases.sign_release(release_id=made.pk, reason=" … ", actor=bea)
    with pytest.raises(ReleaseRefused, match="no release"):
        releases.sign_release(release_id=0, reason="Because.", actor=bea)


def test_release__version_that_waits_or_was_signed__is_not_prepared_again(operator: Operators) -> None:
    made, bea = make_release(), operator("bea", "change_release")
    with pytest.raises(ReleaseRefused, match="waits for sign-off already"):
        make_release()
    releases.decline_release(release_id=made.pk, reason="PZ-003 is open.", actor=bea)
    with pytest.raises(ReleaseRefused, match="declined by bea"):
        releases.sign_release(release_id=made.pk, reason="Or not.", actor=bea)
    again = make_release()
    releases.sign_release(release_id=again.pk, reason="Now it holds.", actor=bea)
    with pytest.raises(ReleaseRefused, match="was signed off before"):
        make_release()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE productization_release SET statement = 'It is production-ready.'",
        "UPDATE productization_release SET snapshot = '{}', snapshot_sha256 = 'x'",
        "UPDATE productization_release SET prepared_by_id = 0",
        "DELETE FROM productization_release",
        "TRUNCATE productization_release",
        "INSERT INTO productization_release (version, statement, snapshot, snapshot_sha256, revision, reason, state, "
        "prepared_at, prepared_by_id, prepared_by_name, decided_at, decided_by_id, decided_by_name, decision_reason) "
        "VALUES ('9', 's', '{}', 'x', 'r', 'w', 'signed', now(), 1, 'a', now(), 2, 'b', 'c')",
    ],
)
def test_database__what_was_frozen__is_never_rewritten(statement: str) -> None:
    make_release()
    with pytest.raises(DatabaseError, match="is refused"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_database__what_was_decided__stays(operator: Operators) -> None:
    made, bea = make_release(), operator("bea", "change_release")
    releases.sign_release(release_id=made.pk, reason="It holds.", actor=bea)
    with pytest.raises(DatabaseError, match="is refused"), transaction.atomic():
        Release.objects.filter(pk=made.pk).update(decision_reason="Another one.")
