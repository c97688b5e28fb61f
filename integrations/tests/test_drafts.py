"""Onboarding drafts: saved step by step, safe against a second tab, checked without loading, handed over once."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django_tenants.utils import schema_context
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks, Settings

from integrations.draft_errors import (
    AnswersRefused,
    DraftClosed,
    DraftIncomplete,
    DraftStale,
    NotChecked,
    SampleMissing,
)
from integrations.engine.contract import load_contract
from integrations.engine.contract_model import Role
from integrations.errors import IntegrationError
from integrations.models import Contract, Delivery, IngestBatch, OnboardingDraft, RejectedRow, Source
from integrations.services.drafts import (
    create_draft,
    create_draft_from_source,
    discard_draft,
    import_contract,
    save_step,
)
from integrations.services.drafts_check import has_passed, start_check
from integrations.services.drafts_files import attach_file, change_reading, remove_file
from integrations.services.drafts_finish import activate_draft, load_draft
from integrations.tests.conftest import CONTRACT, ProbeSink, probe_rows
from ledger.execution import execute
from ledger.models import AuditEvent, Run, RunState
from ledger.schema import connection
from tenants.errors import RoleRequired
from tenants.models import Tenant
from tenants.roles import Role as TenantRole

MakeUser = Callable[..., User]
SALES = (
    b"day;shop;item;pieces;price\n"
    b"2024-03-14;s1;apple;3;1,50\n2024-03-14;s1;apple;2;1,50\n2024-03-15;s1;apple;4;1,50\n2024-03-16;s2;pear;1;2,00\n"
)
MAPPING = {"day": "date", "shop": "store_id", "item": "product_id", "pieces": "quantity", "price": "unit_price"}
SOURCE = {"source_type": "smb_csv", "country_code": "DE", "currency": "EUR", "time_zone": "Europe/Berlin"}


@pytest.fixture
def admin(alpha: Tenant, make_user: MakeUser) -> User:
    return make_user("ada", TenantRole.TENANT_ADMIN)


@pytest.fixture
def draft(admin: User) -> OnboardingDraft:
    return create_draft(title="Kasse Süd", actor=admin, **SOURCE)


def _attach(draft: OnboardingDraft, admin: User, content: bytes = SALES, name: str = "sales_2024.csv") -> None:
    attach_file(draft_id=draft.pk, name=name, stream=io.BytesIO(content), role=Role.TRANSACTIONS, actor=admin)
    draft.refresh_from_db()


def _map(draft: OnboardingDraft, admin: User, **meaning: Any) -> OnboardingDraft:
    changes = {"field_map": MAPPING, "date_format": "%Y-%m-%d"}
    draft = save_step(
        draft_id=draft.pk, revision=draft.revision, step="mapping", changes=changes, reached="meaning", actor=admin
    )
    return save_step(
        draft_id=draft.pk,
        revision=draft.revision,
        step="meaning",
        changes={"dedupe_policy": "sum", **meaning},
        notes={"meaning_saved": True},
        actor=admin,
    )


def _check(draft: OnboardingDraft, admin: User) -> OnboardingDraft:
    run = start_check(draft_id=draft.pk, actor=admin)
    execute("alpha", str(run.pk))
    connection.set_tenant(Tenant.objects.get(schema_name="alpha"))
    draft.refresh_from_db()
    return draft


@pytest.fixture
def checked(draft: OnboardingDraft, admin: User, sink: ProbeSink) -> OnboardingDraft:
    """A draft whose sample passed."""
    _attach(draft, admin)
    return _check(_map(draft, admin), admin)


# --- answers ---------------------------------------------------------------------------------------------------------
def test_draft__created__has_a_plain_source_name_and_an_event(draft: OnboardingDraft) -> None:
    assert (draft.body["source"], draft.body["tenant"], draft.revision) == ("kasse-sud", "alpha", 1)
    event = AuditEvent.objects.get(event="draft.created")
    assert (event.actor_name, event.data["source"]) == ("ada", "kasse-sud")


@pytest.mark.parametrize("role", [TenantRole.ANALYST, TenantRole.REVIEWER, TenantRole.VIEWER])
def test_draft__person_without_the_role__is_refused_everywhere(
    draft: OnboardingDraft, make_user: MakeUser, role: TenantRole
) -> None:
    other = make_user("other", role)
    with pytest.raises(RoleRequired):
        create_draft(title="Mine", actor=other, **SOURCE)
    with pytest.raises(RoleRequired):
        save_step(draft_id=draft.pk, revision=1, step="source", changes={}, actor=other)
    with pytest.raises(RoleRequired):
        _attach(draft, other)
    with pytest.raises(RoleRequired):
        start_check(draft_id=draft.pk, actor=other)
    with pytest.raises(RoleRequired):
        discard_draft(draft_id=draft.pk, revision=1, reason="No", actor=other)


def test_draft__name_of_an_existing_source__is_refused_with_the_way_out(admin: User) -> None:
    Source.objects.create(name="kasse-sud", source_type="smb_csv")
    with pytest.raises(AnswersRefused, match="Change the contract"):
        create_draft(title="Kasse Süd", actor=admin, **SOURCE)
    assert not OnboardingDraft.objects.exists()


def test_step__saved_from_an_older_page__is_told_and_overwrites_nothing(
    draft: OnboardingDraft, admin: User, make_user: MakeUser
) -> None:
    bob = make_user("bob", TenantRole.TENANT_ADMIN)
    save_step(draft_id=draft.pk, revision=1, step="source", changes={"currency": "CHF"}, actor=bob)
    with pytest.raises(DraftStale) as caught:
        save_step(draft_id=draft.pk, revision=1, step="source", changes={"currency": "USD"}, actor=admin)
    assert (caught.value.changed_by, caught.value.revision) == ("bob", 2)
    draft.refresh_from_db()
    assert draft.body["currency"] == "CHF"
    save_step(draft_id=draft.pk, revision=2, step="source", changes={"currency": "USD"}, actor=admin)


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        ("source", {"currency": "euro"}),
        ("source", {"timezone": "Mars/Olympus"}),
        ("mapping", {"date_format": "%d"}),
        ("mapping", {"extra_regressors": ["quantity"]}),
        ("meaning", {"unit_map": {"quantity": {"multiplier": -1}}}),
        ("meaning", {"sla": {"max_age_hours": 1e9}}),
    ],
)
def test_step__answers_that_no_contract_can_hold__are_refused_and_nothing_is_saved(
    draft: OnboardingDraft, admin: User, step: str, changes: dict[str, Any]
) -> None:
    before = dict(draft.body)
    with pytest.raises(AnswersRefused) as caught:
        save_step(draft_id=draft.pk, revision=1, step=step, changes=changes, actor=admin)
    assert caught.value.findings[0].fix
    draft.refresh_from_db()
    assert (draft.body, draft.revision) == (before, 1)


def test_step__key_of_another_step__is_a_defect(draft: OnboardingDraft, admin: User) -> None:
    with pytest.raises(ValueError, match="tenant"):
        save_step(draft_id=draft.pk, revision=1, step="source", changes={"tenant": "beta"}, actor=admin)


def test_contract__imported__fills_every_step_and_belongs_to_this_tenant(draft: OnboardingDraft, admin: User) -> None:
    contract = load_contract(CONTRACT.replace("tenant: alpha", "tenant: somebody-else"))
    import_contract(draft_id=draft.pk, revision=1, contract=contract, name="old.yaml", actor=admin)
    draft.refresh_from_db()
    assert (draft.body["tenant"], draft.body["source"], draft.body["field_map"]["qty"]) == ("alpha", "till", "quantity")


def test_draft__discarded__keeps_its_reason_and_takes_no_more(
    draft: OnboardingDraft, admin: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    _attach(draft, admin)
    path = draft.files.get().path
    with pytest.raises(AnswersRefused):
        discard_draft(draft_id=draft.pk, revision=draft.revision, reason=" ", actor=admin)
    with django_capture_on_commit_callbacks(execute=True):
        discard_draft(draft_id=draft.pk, revision=draft.revision, reason="Wrong till", actor=admin)
    assert not default_storage.exists(path)
    with pytest.raises(DraftClosed):
        _attach(draft, admin)
    assert AuditEvent.objects.get(event="draft.discarded").data == {"reason": "Wrong till"}


# --- files -----------------------------------------------------------------------------------------------------------
def test_file__attached__is_looked_at_and_says_how_it_is_read(draft: OnboardingDraft, admin: User) -> None:
    _attach(draft, admin)
    spec = draft.body["files"]["transactions"]
    assert (spec["delimiter"], spec["decimal"], spec["pattern"]) == (";", ",", "sales_*.csv")
    assert draft.files.get().headings == ["day", "shop", "item", "pieces", "price"]


def test_file__same_name_again__replaces_the_first(draft: OnboardingDraft, admin: User) -> None:
    _attach(draft, admin)
    _attach(draft, admin, SALES.replace(b";", b","))
    assert draft.files.get().sha256 and draft.body["files"]["transactions"]["delimiter"] == ","


def test_file__binary_rubbish__is_kept_with_its_finding(draft: OnboardingDraft, admin: User) -> None:
    _attach(draft, admin, b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 50, "photo.csv")
    row = draft.files.get()
    errors = [found for found in row.found["findings"] if found["severity"] == "error"]
    assert row.headings == [] and errors and all(found["fix"] for found in errors)
    assert start_check_refused(draft, admin)


def start_check_refused(draft: OnboardingDraft, admin: User) -> bool:
    """Nothing can be checked without columns."""
    try:
        start_check(draft_id=draft.pk, actor=admin)
    except DraftIncomplete as error:
        return bool(error.findings)
    return False


@pytest.mark.parametrize(
    "content", [b"a\x00b,c\n1\x00,2\n", b"\x00" * 5000, b'"never closes,1\n' * 50, b"\xff\xfea\x00"]
)
def test_file__odd_bytes__are_kept_or_refused_but_never_a_crash(
    draft: OnboardingDraft, admin: User, content: bytes
) -> None:
    _attach(draft, admin, content, "odd.csv")
    assert draft.files.get().bytes == len(content)


def test_file__larger_than_allowed__is_refused_and_leaves_nothing(
    draft: OnboardingDraft, admin: User, settings: Settings
) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    with pytest.raises(IntegrationError, match="MiB"):
        _attach(draft, admin, b"a,b\n" + b"1,2\n" * 1000)
    assert not draft.files.exists() and default_storage.listdir(f"onboarding/{draft.pk}")[1] == []


def test_file__read_another_way__shows_other_columns(draft: OnboardingDraft, admin: User) -> None:
    _attach(draft, admin)
    spec = {**draft.body["files"]["transactions"], "delimiter": "|"}
    draft = change_reading(draft_id=draft.pk, revision=draft.revision, specs={Role.TRANSACTIONS: spec}, actor=admin)
    assert draft.files.get().headings == ["day;shop;item;pieces;price"]
    with pytest.raises(AnswersRefused):
        change_reading(
            draft_id=draft.pk,
            revision=draft.revision,
            specs={Role.TRANSACTIONS: {**spec, "pattern": "../secret"}},
            actor=admin,
        )


def test_file__removed__takes_its_role_out_of_the_contract(draft: OnboardingDraft, admin: User) -> None:
    _attach(draft, admin)
    draft = remove_file(draft_id=draft.pk, revision=draft.revision, file_id=draft.files.get().pk, actor=admin)
    assert "files" not in draft.body and not draft.files.exists()


# --- checks ----------------------------------------------------------------------------------------------------------
def test_check__sound_sample__passes_with_figures_and_loads_nothing(checked: OnboardingDraft) -> None:
    report = checked.check_report
    assert (report["verdict"], has_passed(checked)) == ("passed", True)
    assert report["totals"] == {"rows_read": 4, "rows_loaded": 3, "rows_merged": 1, "rows_rejected": 0}
    assert (report["units"], report["first_day"], report["last_day"], report["series"]) == (
        10.0,
        "2024-03-14",
        "2024-03-16",
        2,
    )
    assert report["months"] == [{"month": "2024-03", "units": 10.0}]
    assert {row["store"]: row["units"] for row in report["stores"]} == {"s1": 9.0, "s2": 1.0}
    assert probe_rows() == [] and not IngestBatch.objects.exists() and not Source.objects.exists()


def test_check__failing_sample__says_so_and_cannot_be_activated(
    draft: OnboardingDraft, admin: User, sink: ProbeSink
) -> None:
    _attach(draft, admin, SALES + b"2024-03-17;s1;apple;many;1,50\n")
    draft = _check(_map(draft, admin), admin)
    assert draft.check_report["verdict"] == "failed" and not has_passed(draft)
    assert draft.check_report["rejected"][0]["line"] == 6
    with default_storage.open(draft.check_report["rejected_path"]) as kept:
        assert b"2024-03-17;s1;apple;many" in kept.read()
    with pytest.raises(NotChecked):
        activate_draft(draft_id=draft.pk, revision=draft.revision, reason="Go", actor=admin)
    assert probe_rows() == [] and not Source.objects.exists() and not RejectedRow.objects.exists()


def test_check__answers_changed_afterwards__counts_no_more(checked: OnboardingDraft, admin: User) -> None:
    draft = save_step(
        draft_id=checked.pk,
        revision=checked.revision,
        step="meaning",
        changes={"unit_map": {"quantity": {"multiplier": 10}}},
        actor=admin,
    )
    assert not has_passed(draft)
    with pytest.raises(NotChecked):
        activate_draft(draft_id=draft.pk, revision=draft.revision, reason="Go", actor=admin)


def test_check__without_a_file_or_a_mapping__names_what_is_missing(draft: OnboardingDraft, admin: User) -> None:
    with pytest.raises(SampleMissing):
        start_check(draft_id=draft.pk, actor=admin)
    _attach(draft, admin)
    with pytest.raises(DraftIncomplete) as caught:
        start_check(draft_id=draft.pk, actor=admin)
    assert {found.column for found in caught.value.findings} == {"field_map"}


# --- the end ---------------------------------------------------------------------------------------------------------
def test_draft__activated_and_loaded__becomes_the_first_delivery(
    checked: OnboardingDraft, admin: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    row = activate_draft(draft_id=checked.pk, revision=checked.revision, reason="First", actor=admin)
    assert (row.state, row.source.name, row.source.state, row.version) == ("active", "kasse-sud", "active", 1)
    checked.refresh_from_db()
    ids = list(checked.files.values_list("pk", flat=True))
    path = checked.files.get().path
    with django_capture_on_commit_callbacks(execute=False):
        receipt = load_draft(draft_id=checked.pk, revision=checked.revision, file_ids=ids, actor=admin)
    assert (receipt.delivery.via, receipt.run.state) == ("onboarding", RunState.QUEUED)
    execute("alpha", str(receipt.run.pk))
    connection.set_tenant(Tenant.objects.get(schema_name="alpha"))
    delivery = Delivery.objects.get(pk=receipt.delivery.pk)
    assert delivery.state == "loaded", Run.objects.get(pk=receipt.run.pk).error
    assert [row[:4] for row in probe_rows()] == [
        ("s1", "apple", "2024-03-14", 5.0),
        ("s1", "apple", "2024-03-15", 4.0),
        ("s2", "pear", "2024-03-16", 1.0),
    ]
    assert delivery.batch is not None and delivery.batch.rows_read == 4
    with pytest.raises(DraftClosed):
        load_draft(draft_id=checked.pk, revision=checked.revision, file_ids=ids, actor=admin)
    assert path
    assert set(AuditEvent.objects.filter(event__startswith="draft.").values_list("event", flat=True)) == {
        "draft.created", "draft.file_added", "draft.saved", "draft.checked", "draft.activated", "draft.delivered",
    }  # fmt: skip


def test_draft__not_activated_or_without_files__loads_nothing(checked: OnboardingDraft, admin: User) -> None:
    ids = list(checked.files.values_list("pk", flat=True))
    with pytest.raises(NotChecked):
        load_draft(draft_id=checked.pk, revision=checked.revision, file_ids=ids, actor=admin)
    activate_draft(draft_id=checked.pk, revision=checked.revision, reason="First", actor=admin)
    checked.refresh_from_db()
    with pytest.raises(SampleMissing):
        load_draft(draft_id=checked.pk, revision=checked.revision, file_ids=[], actor=admin)
    assert not Delivery.objects.exists() and probe_rows() == []


def test_draft__begun_from_a_source__is_filled_in_and_keeps_the_source(checked: OnboardingDraft, admin: User) -> None:
    row = activate_draft(draft_id=checked.pk, revision=checked.revision, reason="First", actor=admin)
    draft = create_draft_from_source(source_id=row.source_id, actor=admin)
    assert (draft.source, draft.body["field_map"], draft.notes["from_version"]) == (row.source, MAPPING, 1)
    other = load_contract(CONTRACT)
    draft = import_contract(draft_id=draft.pk, revision=1, contract=other, name="x", actor=admin)
    assert draft.body["source"] == "kasse-sud"


def test_draft__of_another_tenant__is_not_there(draft: OnboardingDraft, make_user: MakeUser) -> None:
    with schema_context("beta"):
        theirs = make_user("eve", TenantRole.TENANT_ADMIN)
        with pytest.raises(OnboardingDraft.DoesNotExist):
            save_step(draft_id=draft.pk, revision=1, step="source", changes={}, actor=theirs)
        assert not OnboardingDraft.objects.exists() and not Contract.objects.exists()
