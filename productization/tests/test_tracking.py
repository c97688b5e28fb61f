"""Rows in the database: loaded from their declaration, judged by their evidence, and the little a person may say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, transaction

from ledger.models import AuditEvent
from productization.declared import declarations, load_declarations
from productization.errors import DeclarationInvalid, ItemNotBlocked, ItemUnknown, ReasonRequired
from productization.models import EvidencePiece, TestRun, TrackerItem
from productization.proof.evidence import Status
from productization.services import tracking
from productization.tests.tree import Tree
from tenants.errors import PlatformOperatorRequired

Operators = Callable[..., User]
pytestmark = pytest.mark.django_db


def test_load__twice__is_once_and_keeps_what_a_person_said(operator: Operators) -> None:
    assert tracking.load_tracker() is True
    assert TrackerItem.objects.count() == 18
    ann = operator("ann", "change_trackeritem")
    tracking.assign_owner(code="PZ-004", owner="Bea", reason="She runs staging.", actor=ann)
    tracking.block(code="PZ-005", reason="Waits for a second region.", actor=ann)
    before = list(EvidencePiece.objects.values_list("pk", flat=True))
    assert tracking.load_tracker() is False
    assert list(EvidencePiece.objects.values_list("pk", flat=True)) == before
    assert TrackerItem.objects.get(code="PZ-004").owner == "Bea"
    assert TrackerItem.objects.get(code="PZ-005").blocked_by_name == "ann"


def test_load__row_changed_or_gone_from_the_declaration__follows_it() -> None:
    declared = declarations()
    tracking.load_tracker()
    changed = declared.items[1].model_copy(update={"task": "Another task", "evidence": declared.items[1].evidence[:1]})
    fewer = declared.model_copy(update={"items": (declared.items[0], changed)})
    assert tracking.load_tracker(declared=fewer) is True
    assert [(one.code, one.evidence.count()) for one in TrackerItem.objects.all()] == [("PZ-001", 4), ("PZ-002", 1)]
    assert TrackerItem.objects.get(code="PZ-002").task == "Another task"
    assert AuditEvent.objects.filter(event="tracker.loaded").count() == 2


def test_verify__all_evidence_holds__every_row_is_done_and_one_that_falls_is_audited(whole_tree: Tree) -> None:
    verdicts = tracking.verify(ground=whole_tree.ground())
    assert {verdict.status for verdict in verdicts} == {Status.DONE}
    assert set(EvidencePiece.objects.values_list("state", flat=True)) == {"verified"}
    file = "docs/productization_artifacts/dispatch_fan_out.json"
    with whole_tree.changed(file, None):
        (verdict,) = tracking.verify(only="PZ-005", ground=whole_tree.ground())
    assert verdict.status is Status.IN_PROGRESS
    row = TrackerItem.objects.get(code="PZ-005")
    assert (row.status, f"{file} is gone" in row.reason) == ("in_progress", True)
    assert TrackerItem.objects.filter(status="done").count() == 17
    event = AuditEvent.objects.filter(event="tracker.status_changed").first()
    assert event is not None
    assert (event.subject_label[:6], event.data["from"], event.data["to"]) == ("PZ-005", "done", "in_progress")


def test_block__by_a_person__no_evidence_makes_it_done_until_it_is_lifted(
    whole_tree: Tree, operator: Operators, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking.verify(ground=whole_tree.ground())
    ann = operator("ann", "change_trackeritem")
    tracking.block(code="PZ-004", reason="The staging host is away.", actor=ann)
    tracking.verify(ground=whole_tree.ground())
    row = TrackerItem.objects.get(code="PZ-004")
    assert (row.status, row.reason) == ("blocked", "Blocked by ann: The staging host is away.")
    monkeypatch.setattr(tracking, "current_ground", lambda declared=None: whole_tree.ground())
    assert tracking.unblock(code="PZ-004", reason="It is back.", actor=ann).status is Status.DONE
    events = AuditEvent.objects.filter(event__in=["tracker.blocked", "tracker.unblocked"]).order_by("sequence")
    assert [(event.event, event.actor_name, event.data["reason"]) for event in events] == [
        ("tracker.blocked", "ann", "The staging host is away."),
        ("tracker.unblocked", "ann", "It is back."),
    ]
    with pytest.raises(ItemNotBlocked, match="cannot be lifted by hand"):
        tracking.unblock(code="PZ-004", reason="Again.", actor=ann)


def test_person__without_right_reason_or_row__is_refused_and_nothing_is_written(operator: Operators) -> None:
    tracking.load_tracker()
    viewer, ann = operator("vic", "view_trackeritem"), operator("ann", "change_trackeritem")
    with pytest.raises(PlatformOperatorRequired):
        tracking.block(code="PZ-004", reason="Because.", actor=viewer)
    with pytest.raises(PlatformOperatorRequired):
        tracking.assign_owner(code="PZ-004", owner="Bea", reason="Because.", actor=viewer)
    with pytest.raises(PlatformOperatorRequired):
        tracking.verify(actor=viewer)
    for reason in ("", "  ", "…"):
        with pytest.raises(ReasonRequired):
            tracking.block(code="PZ-004", reason=reason, actor=ann)
    with pytest.raises(ItemUnknown, match="PZ-001, PZ-002"):
        tracking.block(code="PZ-404", reason="Because.", actor=ann)
    assert not AuditEvent.objects.filter(event__in=["tracker.blocked", "tracker.owner_changed"]).exists()


def test_database__a_blocked_row_is_called_done__is_refused() -> None:
    tracking.load_tracker()
    with pytest.raises(IntegrityError), transaction.atomic():
        TrackerItem.objects.filter(code="PZ-004").update(blocked_reason="Because.", status="done")


def test_command__json__has_the_promised_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "evidence.json"
    call_command("verify_evidence", "--json", str(out))
    body = json.loads(out.read_text())
    assert set(body) == {"items"}
    assert len(body["items"]) == 18
    for item in body["items"]:
        assert set(item) == {"id", "status", "reason", "evidence"}
        assert item["status"] in {"open", "in_progress", "blocked", "done"}
        for piece in item["evidence"]:
            assert set(piece) == {"kind", "ref", "state", "checked_at"}
    first = body["items"][0]
    assert (first["id"], first["status"], "FORECOURT_GITHUB_TOKEN" in first["reason"]) == ("PZ-001", "blocked", True)
    call_command("verify_evidence", "--only", "PZ-010", "--json", str(out))
    assert [item["id"] for item in json.loads(out.read_text())["items"]] == ["PZ-010"]
    assert "0 of 1 done" in capsys.readouterr().out


def test_command__no_such_row_or_place__is_wrong_usage(tmp_path: Path) -> None:
    for options in (["--only", "PZ-099"], ["--json", str(tmp_path)], ["--json", str(tmp_path / "none" / "x.json")]):
        with pytest.raises(CommandError) as caught:
            call_command("verify_evidence", *options)
        assert caught.value.returncode == 2


def test_record_tests__of_a_run__counts_for_its_code_alone(whole_tree: Tree, tmp_path: Path) -> None:
    path = tmp_path / "outcomes.json"
    body = {"fingerprint": "f", "revision": "abc", "ended": "2026-03-01T10:00:00+00:00", "outcomes": {"a::b": "passed"}}
    path.write_text(json.dumps(body))
    for _ in range(2):
        call_command("record_tests", "--from", str(path))
    assert [(run.revision, run.outcomes) for run in TestRun.objects.all()] == [("abc", {"a::b": "passed"})]
    for damaged in ("", "[]", "{}", json.dumps({**body, "ended": "soon"}), json.dumps({**body, "outcomes": 3})):
        path.write_text(damaged)
        with pytest.raises(CommandError, match="no record of a test run") as caught:
            call_command("record_tests", "--from", str(path))
        assert caught.value.returncode == 2
    assert TestRun.objects.count() == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("items: [", "tracker.yaml"),
        ("items: []\nmore: 1", "more"),
        ("items: [{id: PZ-1, workstream: w, task: t}]", "items.0.id"),
        ("items: [{id: PZ-001, workstream: w, task: t, status: done}]", "items.0.status"),
        (
            "items: [{id: PZ-001, workstream: w, task: t}, {id: PZ-001, workstream: w, task: t}]",
            "PZ-001 stands there twice",
        ),
        ("items: [{id: PZ-001, workstream: w, task: t, evidence: [{kind: rumour, ref: x}]}]", "evidence.0.kind"),
    ],
)
def test_declaration__damaged__is_refused_with_the_place(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "tracker.yaml").write_text(text)
    with pytest.raises(DeclarationInvalid, match="cannot be used") as caught:
        load_declarations(tmp_path)
    assert words in str(caught.value)
