"""An application from its confirmation to a tenant: links, decisions, the job, retries, retention."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_tenants.utils import schema_context

from ledger.errors import TransitionRefused
from ledger.execution import execute
from ledger.models import AuditEvent, Run, RunState
from ledger.services import runs
from tenants.errors import AddressRefused, LinkRefused, PlatformOperatorRequired, TenantRefused
from tenants.models import (
    APPLICATION_TRANSITIONS,
    ApplicationState,
    Attempt,
    Domain,
    Invitation,
    OutgoingMail,
    Tenant,
    TenantApplication,
)
from tenants.roles import Role, roles_of
from tenants.services import applications
from tenants.services.links import make_token
from tenants.services.mail_texts import INVITE, confirm_url
from tenants.services.provisioning import create_tenant
from tenants.tests.application_world import (
    browser,
    link_in_last_mail,
    make_approved,
    make_confirmed,
    make_operator,
    make_wish,
    token_in,
    work_mails,
)


@pytest.fixture
def operator(db: None) -> User:
    return make_operator()


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def test_link__opened_by_a_scanner__changes_nothing__posted__confirms_once(db: None) -> None:
    application = applications.submit(wish=make_wish())
    work_mails()
    path = _path(link_in_last_mail())
    for _ in range(2):
        page = browser().get(path)
        assert page.status_code == 200 and page["Referrer-Policy"] == "same-origin"
    application.refresh_from_db()
    assert application.state == ApplicationState.SUBMITTED
    assert browser().post(path).status_code == 200
    application.refresh_from_db()
    assert application.state == ApplicationState.CONFIRMED and application.confirmed_at is not None
    for page in (browser().get(path), browser().post(path)):
        assert page.status_code == 410 and "used already" in page.content.decode()


def test_link__forged_expired_or_of_another_row_or_purpose__is_refused(db: None) -> None:
    first, second = (applications.submit(wish=make_wish(address=name)) for name in ("one-shop", "two-shop"))
    good = token_in(confirm_url(first))
    mixed = make_token("confirm", "public", second.pk, first.nonce)
    bad = [good[:-1], "x" + good, mixed, make_token(INVITE, "public", first.pk, first.nonce), "a:b", "x" * 5000]
    bad.append(make_token("confirm", "alpha", first.pk, first.nonce))
    for token in bad:
        assert browser().post(f"/apply/confirm/{token}/").status_code == 410, token[:60]
        with pytest.raises(LinkRefused):
            applications.confirm(token=token)
    TenantApplication.objects.filter(pk=first.pk).update(link_expires_at=timezone.now())
    page = browser().post(f"/apply/confirm/{good}/")
    assert page.status_code == 410 and "expired" in page.content.decode()
    assert set(TenantApplication.objects.values_list("state", flat=True)) == {"submitted"}


def test_links__host_header_forged__lead_to_the_configured_host(db: None, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    Domain.objects.create(domain="evil.example", tenant=Tenant.objects.get(schema_name="public"))
    applications.submit(wish=make_wish())
    settings.PRODUCTION, settings.PLATFORM_HOST = True, "plan.example.com"
    work_mails()
    assert link_in_last_mail().startswith("https://plan.example.com/apply/confirm/")


def test_address__wanted_by_two__is_one_s_alone_and_free_again_after_expiry(db: None) -> None:
    first = applications.submit(wish=make_wish())
    with pytest.raises(AddressRefused):
        applications.submit(wish=make_wish(email="other@example.com"))
    with pytest.raises(IntegrityError, match="tenants_one_open_application"), transaction.atomic():
        TenantApplication.objects.create(
            business_name="Late", schema_name="corner_shop", link_expires_at=timezone.now()
        )
    TenantApplication.objects.filter(pk=first.pk).update(link_expires_at=timezone.now() - timedelta(minutes=1))
    second = applications.submit(wish=make_wish(email="other@example.com"))
    first.refresh_from_db()
    assert (first.state, second.state) == (ApplicationState.EXPIRED, ApplicationState.SUBMITTED)


def test_transitions__every_state__is_in_the_table_and_leads_to_known_ones() -> None:
    assert set(APPLICATION_TRANSITIONS) == set(ApplicationState)
    assert set().union(*APPLICATION_TRANSITIONS.values()) <= set(ApplicationState)


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"state": "gone"}, "state_known"),
        ({"state": "approved"}, "decided_by_somebody"),
        ({"state": "submitted", "ended_at": "now"}, "end_known"),
        ({"state": "rejected", "decided_by_name": "ann", "decided_at": "now"}, "end_known"),
        ({"state": "provisioned", "decided_by_name": "ann", "decided_at": "now", "ended_at": "now"}, "has_its_tenant"),
        ({"state": "approved", "decided_by_name": "ann", "decided_at": "now", "confirmed_at": None}, "confirmed_first"),
    ],
)
def test_database__whoever_writes__refuses_a_state_without_what_belongs_to_it(
    db: None, changes: dict[str, Any], constraint: str
) -> None:
    application = make_confirmed()
    fields = {name: timezone.now() if value == "now" else value for name, value in changes.items()}
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        TenantApplication.objects.filter(pk=application.pk).update(**fields)


def test_approve__worker_runs__makes_one_tenant_and_invites_its_admin(operator: User) -> None:
    application = make_approved(operator)
    run = Run.objects.get(pk=str(application.run_id))
    assert execute("public", str(run.pk)) == RunState.SUCCEEDED
    application.refresh_from_db()
    assert application.state == ApplicationState.PROVISIONED and application.tenant is not None
    tenant = application.tenant
    assert (tenant.name, tenant.currency, tenant.time_zone) == ("Corner Shop", "EUR", "Europe/Berlin")
    with schema_context("corner_shop"):
        admin = User.objects.get()
        assert (admin.username, admin.is_active, admin.has_usable_password()) == ("ann@example.com", False, False)
        assert {group.name for group in admin.groups.all()} == {Role.TENANT_ADMIN.value}
        assert roles_of(admin) == frozenset(), "an invited person may do nothing yet"
    work_mails()
    assert mail.outbox[-1].to == ["ann@example.com"]
    assert link_in_last_mail().startswith("http://corner-shop.localhost:")
    run.refresh_from_db()
    assert "is ready at corner-shop.localhost" in run.progress_message
    names = (
        AuditEvent.objects.filter(subject_id=str(application.pk)).order_by("sequence").values_list("event", flat=True)
    )
    assert [name for name in names if name.startswith("application.")] == [
        f"application.{step}" for step in ("submitted", "confirmed", "approved", "provisioned")
    ]


def test_provisioning__delivered_again_after_it_committed__ends_with_the_same_tenant(operator: User) -> None:
    application = make_approved(operator)
    execute("public", str(application.run_id))
    # The worker died after the commit and before it noted the end: the reaper queues the run again.
    Run.objects.filter(pk=str(application.run_id)).update(
        state=RunState.RUNNING, finished_at=None, heartbeat_at=timezone.now() - timedelta(hours=1)
    )
    runs.reap()
    assert execute("public", str(application.run_id)) == RunState.SUCCEEDED
    assert Run.objects.get(pk=str(application.run_id)).attempt == 2
    assert Tenant.objects.filter(schema_name="corner_shop").count() == 1
    assert Invitation.objects.count() == 1


def test_provisioning__address_taken_after_approval__fails_clearly_and_works_after_a_correction(operator: User) -> None:
    application = make_approved(operator)
    create_tenant(schema_name="corner_shop", name="Quicker")
    assert execute("public", str(application.run_id)) == RunState.FAILED
    application.refresh_from_db()
    assert application.state == ApplicationState.FAILED and "already exists" in application.error
    with pytest.raises(AddressRefused):
        applications.approve(application_id=application.pk, reason="again", actor=operator)
    applications.correct(
        application_id=application.pk, business_name="Corner Shop II", address="corner-two", tier="enterprise",
        time_zone="Europe/Paris", currency="EUR", actor=operator,
    )  # fmt: skip
    again = applications.approve(application_id=application.pk, reason="again", actor=operator)
    assert execute("public", str(again.run_id)) == RunState.SUCCEEDED
    again.refresh_from_db()
    assert again.tenant is not None and again.tenant.schema_name == "corner_two" and again.error == ""


def test_provisioning__failed_run_resumed__goes_on_from_the_list_of_runs(operator: User) -> None:
    application = make_approved(operator)
    blocker = Domain.objects.create(domain="corner-shop.localhost", tenant=Tenant.objects.get(schema_name="public"))
    assert execute("public", str(application.run_id)) == RunState.FAILED
    blocker.delete()
    assert application.run_id is not None
    runs.resume(run_id=application.run_id, actor=operator)
    assert execute("public", str(application.run_id)) == RunState.SUCCEEDED
    application.refresh_from_db()
    assert application.state == ApplicationState.PROVISIONED


def test_provisioning__cancelled_before_it_began__can_be_approved_again(operator: User) -> None:
    application = make_approved(operator)
    assert application.run_id is not None
    runs.cancel(run_id=application.run_id, actor=operator)
    application.refresh_from_db()
    assert (application.state, application.error) == (ApplicationState.FAILED, "The run was cancelled.")
    again = applications.approve(application_id=application.pk, reason="go on", actor=operator)
    assert again.state == ApplicationState.APPROVED and again.run_id != application.run_id


def test_approve__twice_unconfirmed_taken_or_without_right__is_refused(operator: User) -> None:
    unconfirmed = applications.submit(wish=make_wish(address="other-shop"))
    with pytest.raises(TransitionRefused):
        applications.approve(application_id=unconfirmed.pk, reason="x", actor=operator)
    application = make_confirmed()
    for actor in (None, User.objects.create_user("plain", is_staff=True)):
        for act in (applications.approve, applications.reject):
            with pytest.raises(PlatformOperatorRequired):
                act(application_id=application.pk, reason="x", actor=actor)
    with pytest.raises(TenantRefused, match="Say why"):
        applications.approve(application_id=application.pk, reason=" ", actor=operator)
    applications.approve(application_id=application.pk, reason="x", actor=operator)
    for act in (applications.approve, applications.reject):
        with pytest.raises(TransitionRefused):
            act(application_id=application.pk, reason="x", actor=operator)
    assert Run.objects.filter(kind=applications.PROVISION).count() == 1
    late = make_confirmed(address="late-shop")
    create_tenant(schema_name="late_shop", name="Quicker")
    with pytest.raises(AddressRefused):
        applications.approve(application_id=late.pk, reason="x", actor=operator)


def test_reject__confirmed__mails_the_reason__unconfirmed__mails_nobody(operator: User) -> None:
    told = make_confirmed()
    untold = applications.submit(wish=make_wish(address="other-shop"))
    for application in (told, untold):
        applications.reject(application_id=application.pk, reason="We serve grocers only.", actor=operator)
    work_mails()
    assert ["grocers only" in str(message.body) for message in mail.outbox] == [True], "both confirmations are dropped"


def test_purge__after_the_retention__deletes_personal_data_and_keeps_what_is_open(
    operator: User, settings: Any
) -> None:
    done = make_approved(operator)
    execute("public", str(done.run_id))
    rejected = make_confirmed(address="rejected-shop")
    applications.reject(application_id=rejected.pk, reason="no", actor=operator)
    expired = applications.submit(wish=make_wish(address="expired-shop"))
    waiting = make_confirmed(address="waiting-shop")
    work_mails()
    call_command("purge_applications")
    assert TenantApplication.objects.count() == 4, "nothing goes before its time"
    long_ago = timezone.now() - timedelta(days=settings.APPLICATION_RETENTION_DAYS + 1)
    TenantApplication.objects.filter(pk=expired.pk).update(link_expires_at=long_ago)
    call_command("purge_applications")
    TenantApplication.objects.exclude(ended_at=None).update(ended_at=long_ago)
    OutgoingMail.objects.update(created_at=long_ago)
    Invitation.objects.update(expires_at=long_ago)
    Attempt.objects.create(key="x" * 64, at=long_ago)
    call_command("purge_applications")
    assert set(TenantApplication.objects.values_list("pk", flat=True)) == {done.pk, waiting.pk}
    done.refresh_from_db()
    assert (done.email, done.contact_name, done.about) == ("", "", "") and done.business_name == "Corner Shop"
    assert not OutgoingMail.objects.exclude(reference=waiting.pk).exists() and not Invitation.objects.exists()
    assert not Attempt.objects.filter(key="x" * 64).exists()
    waiting.refresh_from_db()
    assert waiting.email == "ann@example.com"
