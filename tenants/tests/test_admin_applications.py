"""The operator's pages: GET asks, POST does, and only for who may."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django_tenants.utils import schema_context

from ledger.execution import execute
from ledger.models import AuditEvent, RunState
from tenants.errors import PlatformOperatorRequired
from tenants.models import (
    ApplicationState,
    Invitation,
    InvitationState,
    MailState,
    OutgoingMail,
    Tenant,
    TenantApplication,
)
from tenants.services import applications, mails
from tenants.services.invitations import invite_admin
from tenants.tests.application_world import browser, make_confirmed, make_invited, make_operator, make_wish

OWN = {
    "tenantapplication": ("correct", "approve", "reject"),
    "outgoingmail": ("again",),
    "invitation": ("again", "revoke"),
}


def url(model: str, name: str, *args: object) -> str:
    return reverse(f"admin:tenants_{model}_{name}", urlconf="config.urls_platform", args=args)


def _client(user: User) -> Client:
    client = browser()
    client.force_login(user)
    return client


@pytest.fixture
def rows(db: None) -> dict[str, Any]:
    application = make_confirmed()
    invitation = make_invited(address="other-shop")
    mail = OutgoingMail.objects.filter(kind="invitation").get()
    return {"tenantapplication": application, "outgoingmail": mail, "invitation": invitation}


@pytest.fixture
def operator(db: None) -> Client:
    return _client(make_operator())


def _states() -> list[Any]:
    return [
        sorted(model._default_manager.values_list("pk", "state"))
        for model in (TenantApplication, OutgoingMail, Invitation)
    ]


def test_own_views__by_get__open_and_change_nothing(operator: Client, rows: dict[str, Any]) -> None:
    before = _states()
    for model, names in OWN.items():
        for name in names:
            page = operator.get(url(model, name, rows[model].pk) + "?reason=x")
            assert page.status_code in (200, 302), (model, name)
            assert operator.get(url(model, name, 987654)).status_code == 404
    assert _states() == before


def test_own_views__without_the_permission__are_refused_and_anonymous_is_sent_to_the_login(
    db: None, rows: dict[str, Any]
) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    looks = Permission.objects.filter(content_type__app_label="tenants", codename__startswith="view_")
    viewer.user_permissions.set(looks)
    client, before = _client(viewer), _states()
    for model, names in OWN.items():
        assert client.get(url(model, "change", rows[model].pk)).status_code == 200
        for name in names:
            for answer in (client.get, client.post):
                assert answer(url(model, name, rows[model].pk), {"reason": "x"}).status_code == 403, (model, name)
            anonymous = browser().post(url(model, name, rows[model].pk), {"reason": "x"})
            assert anonymous.status_code == 302 and "/admin/login/" in anonymous["Location"]
    client = _client(User.objects.create_user("nobody", is_staff=True))
    for model in OWN:
        assert client.get(url(model, "changelist")).status_code == 403
    assert _states() == before


def test_approve__by_post_with_a_reason__queues_the_job_and_a_second_time_says_so(
    operator: Client, rows: dict[str, Any]
) -> None:
    page = url("tenantapplication", "approve", rows["tenantapplication"].pk)
    assert "Say why" in operator.post(page, {"reason": ""}).content.decode()
    assert operator.post(page, {"reason": "A real shop"}).status_code == 302
    application = TenantApplication.objects.get(pk=rows["tenantapplication"].pk)
    assert (application.state, application.decided_by_name) == (ApplicationState.APPROVED, "operator")
    again = operator.post(page, {"reason": "twice"})
    assert again.status_code == 200 and "cannot become approved" in again.content.decode()
    assert execute("public", str(application.run_id)) == RunState.SUCCEEDED
    shown = operator.get(url("tenantapplication", "change", application.pk)).content.decode()
    assert "Set up" in shown and "is ready at corner-shop.localhost" in shown


def test_correct__address_taken_or_reserved__is_refused__a_free_one_is_saved(
    operator: Client, rows: dict[str, Any]
) -> None:
    page = url("tenantapplication", "correct", rows["tenantapplication"].pk)
    form = {"name": "Corner", "tier": "enterprise", "time_zone": "Europe/Paris", "currency": "EUR"}
    for address in ("alpha", "other-shop", "www", "pg-x", "Smb A"):
        answer = operator.post(page, {**form, "address": address})
        assert answer.status_code == 200 and answer.context["form"].non_field_errors(), address
    assert operator.post(page, {**form, "address": "corner-two"}).status_code == 302
    changed = TenantApplication.objects.get(pk=rows["tenantapplication"].pk)
    assert (changed.schema_name, changed.tier, changed.time_zone) == ("corner_two", "enterprise", "Europe/Paris")


def test_application_page__html_in_what_was_typed_in__is_text(operator: Client) -> None:
    evil = "<img src=x onerror=alert(1)>"
    application = make_confirmed(business_name=evil, contact_name=evil, about=evil)
    for page in (url("tenantapplication", "change", application.pk), url("tenantapplication", "changelist")):
        assert "<img src=x" not in operator.get(page).content.decode()


def test_mail_and_invitation__sent_again_and_revoked_by_post(operator: Client, rows: dict[str, Any]) -> None:
    mail, invitation = rows["outgoingmail"], rows["invitation"]
    mails.deliver(mail_id=mail.pk)
    operator.post(url("outgoingmail", "again", mail.pk))
    mail.refresh_from_db()
    assert mail.state == MailState.WAITING
    operator.post(url("invitation", "again", invitation.pk))
    assert OutgoingMail.objects.filter(kind="invitation").count() == 2
    operator.post(url("invitation", "revoke", invitation.pk), {"reason": ""})
    invitation.refresh_from_db()
    assert invitation.state == InvitationState.OPEN
    operator.post(url("invitation", "revoke", invitation.pk), {"reason": "Wrong person"})
    invitation.refresh_from_db()
    assert invitation.state == InvitationState.REVOKED


def test_sidebar__applications_that_wait__are_counted(operator: Client) -> None:
    applications.submit(wish=make_wish(address="not-confirmed"))
    make_confirmed()
    navigation = operator.get(reverse("admin:index", urlconf="config.urls_platform")).context["sidebar_navigation"]
    badges = [item.get("badge") for group in navigation for item in group["items"] if item["title"] == "Applications"]
    assert badges == ["1"]


def test_invite_admin__by_an_operator__only_where_a_tenant_has_no_active_one(operator: Client, alpha: Tenant) -> None:
    with schema_context("public"):
        page = url("tenant", "invite", alpha.pk)
        form = {"email": "ann@example.com", "full_name": "Ann"}
        assert operator.get(page).status_code == 200 and not Invitation.objects.exists()
        assert operator.post(page, {**form, "email": "ann"}).status_code == 200
        assert operator.post(page, form).status_code == 302
        assert (Invitation.objects.get().schema_name, Invitation.objects.get().roles) == ("alpha", ["tenant_admin"])
        assert "invited already" in operator.post(page, form).content.decode()
        with schema_context("alpha"):
            assert AuditEvent.objects.get(event="user.invited").data["by"] == "operator"
            User.objects.filter(username="ann@example.com").update(is_active=True)
        refused = operator.post(page, {**form, "email": "me@example.com"})
        assert "has an active tenant admin" in refused.content.decode()
        viewer = User.objects.create_user("viewer", is_staff=True)
        viewer.user_permissions.set(Permission.objects.filter(codename="view_tenant"))
        assert _client(viewer).post(page, form).status_code == 403
        with pytest.raises(PlatformOperatorRequired):
            invite_admin(schema_name="alpha", email="me@example.com", full_name="Me", actor=viewer)
