"""Invitations: a link that sets a password once, on one host, and can be sent again or revoked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_tenants.utils import schema_context

from ledger.errors import TransitionRefused
from ledger.models import AuditEvent
from tenants.errors import InvitationRefused, LinkRefused, PlatformOperatorRequired, RoleRequired
from tenants.models import Invitation, InvitationState, OutgoingMail, Tenant
from tenants.roles import Role
from tenants.services import invitations
from tenants.services.links import make_token
from tenants.services.mail_texts import CONFIRM, invitation_url
from tenants.services.provisioning import change_status
from tenants.tests.application_world import (
    SECRET,
    browser,
    link_in_last_mail,
    make_invited,
    make_operator,
    token_in,
    work_mails,
)

PASSWORDS = {"new_password1": SECRET, "new_password2": SECRET}


def _path(invitation: Invitation) -> str:
    return f"/invitation/{token_in(invitation_url(invitation))}/"


def _person() -> User:
    with schema_context("alpha"):
        return User.objects.get(username="ann@example.com")


def test_link__opened__changes_nothing__password_chosen__enters_and_the_link_is_used_up(db: None) -> None:
    invitation = make_invited()
    work_mails()
    assert link_in_last_mail().endswith(_path(invitation))
    client = browser("alpha.localhost")
    for _ in range(2):
        page = client.get(_path(invitation))
        assert page.status_code == 200 and "ann@example.com" in page.content.decode()
        assert "no-store" in page["Cache-Control"]
    assert not _person().is_active
    answer = client.post(_path(invitation), PASSWORDS)
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert client.get("/admin/").status_code == 200
    person = _person()
    assert person.is_active and person.check_password(SECRET) and not person.is_superuser
    invitation.refresh_from_db()
    assert invitation.state == InvitationState.ACCEPTED
    other = {"new_password1": "another passphrase 8", "new_password2": "another passphrase 8"}
    for answer in (browser("alpha.localhost").get(_path(invitation)), client.post(_path(invitation), other)):
        assert answer.status_code == 410
    assert _person().check_password(SECRET)
    with schema_context("alpha"):
        event = AuditEvent.objects.get(event="invitation.accepted")
        assert (event.actor_name, event.data["roles"]) == ("ann@example.com", ["tenant_admin"])


@pytest.mark.parametrize("password", ["12345678", "short", "password", "ann@example.com", "ann@example"])
def test_password__too_weak__is_refused_with_the_reason_and_the_link_still_works(db: None, password: str) -> None:
    invitation = make_invited()
    page = browser("alpha.localhost").post(_path(invitation), {"new_password1": password, "new_password2": password})
    assert page.status_code == 422 and page.context["form"].errors
    with schema_context("alpha"), pytest.raises(InvitationRefused):
        invitations.accept(token=token_in(invitation_url(invitation)), password=password)
    assert browser("alpha.localhost").post(_path(invitation), PASSWORDS).status_code == 302


def test_link__on_another_host_forged_or_of_another_purpose__is_refused(db: None) -> None:
    invitation = make_invited()
    path = _path(invitation)
    assert browser("beta.localhost").post(path, PASSWORDS).status_code == 410
    assert browser("localhost").post(path, PASSWORDS).status_code == 404
    for token in (
        make_token(CONFIRM, "alpha", invitation.pk, invitation.nonce),
        make_token("invite", "beta", invitation.pk, invitation.nonce),
        path.split("/")[2][:-2],
    ):
        for host in ("alpha.localhost", "beta.localhost"):
            assert browser(host).post(f"/invitation/{token}/", PASSWORDS).status_code == 410
    assert not _person().is_active


def test_link__expired_revoked_or_superseded__is_refused(db: None) -> None:
    operator = make_operator()
    invitation = make_invited()
    former = _path(invitation)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert "expired" in browser("alpha.localhost").get(former).content.decode()
    with schema_context("public"):  # where operators work; a page left the connection on the tenant
        again = invitations.send_again(invitation_id=invitation.pk, actor=operator)
    assert again.is_open and browser("alpha.localhost").get(former).status_code == 410
    assert browser("alpha.localhost").get(_path(again)).status_code == 200
    work_mails()
    assert link_in_last_mail().endswith(_path(again)) and OutgoingMail.objects.filter(kind="invitation").count() == 2
    with schema_context("public"):
        with pytest.raises(InvitationRefused):
            invitations.revoke(invitation_id=invitation.pk, reason=" ", actor=operator)
        for act in (invitations.send_again, lambda **who: invitations.revoke(reason="x", **who)):
            with pytest.raises(PlatformOperatorRequired):
                act(invitation_id=invitation.pk, actor=None)
        invitations.revoke(invitation_id=invitation.pk, reason="Wrong person", actor=operator)
    assert browser("alpha.localhost").post(_path(again), PASSWORDS).status_code == 410
    with schema_context("public"), pytest.raises(TransitionRefused):
        invitations.send_again(invitation_id=invitation.pk, actor=operator)


def test_link__account_became_something_else__is_refused(db: None) -> None:
    invitation = make_invited()
    with schema_context("alpha"):
        User.objects.filter(pk=invitation.user_id).update(is_superuser=True)
    assert browser("alpha.localhost").post(_path(invitation), PASSWORDS).status_code == 410


def test_invitation__tenant_suspended__mail_is_not_sent_and_its_page_is_closed(db: None) -> None:
    invitation = make_invited()
    change_status(schema_name="alpha", status="suspended", reason="unpaid")
    work_mails()
    assert all("/invitation/" not in str(message.body) for message in mail.outbox)
    assert browser("alpha.localhost").post(_path(invitation), PASSWORDS).status_code == 403


def test_people__invited_by_a_tenant_admin__hold_roles_after_they_chose_a_password(
    alpha: Tenant, make_user: Callable[..., User], client_of: Callable[..., Client]
) -> None:
    client = client_of("alpha", make_user("boss", Role.TENANT_ADMIN))
    page = reverse("admin:auth_user_invite")
    reviewer = Group.objects.get(name=Role.REVIEWER)
    form = {"email": "rita@example.com", "full_name": "Rita", "roles": [reviewer.name]}
    wrong: list[dict[str, Any]] = [
        {"email": "rita"}, {"roles": []}, {"full_name": "R\r\nBcc: x@example.com"}, {"roles": ["superuser"]},
    ]  # fmt: skip
    for bad in wrong:
        assert client.post(page, {**form, **bad}).status_code == 200
    assert not User.objects.filter(email="rita@example.com").exists()
    assert client.post(page, form).status_code == 302
    rita = User.objects.get(email="rita@example.com")
    assert (rita.is_active, rita.is_superuser, rita.groups.get().name) == (False, False, "reviewer")
    assert "already" in client.post(page, {**form, "email": "RITA@example.com"}).content.decode()
    invitation = Invitation.objects.get(email="rita@example.com")
    assert (invitation.schema_name, invitation.invited_by_name) == ("alpha", "boss")
    work_mails()
    assert browser("alpha.localhost").post(_path(invitation), PASSWORDS).status_code == 302
    rita.refresh_from_db()
    assert rita.is_active


def test_people__invited_by_an_analyst__is_refused(
    alpha: Tenant, make_user: Callable[..., User], client_of: Callable[..., Client]
) -> None:
    analyst = make_user("ana", Role.ANALYST)
    assert client_of("alpha", analyst).get(reverse("admin:auth_user_invite")).status_code == 403
    with pytest.raises(RoleRequired):
        invitations.invite(email="x@example.com", full_name="X", roles=[Role.VIEWER], actor=analyst)
    with schema_context("public"), pytest.raises((InvitationRefused, RoleRequired)):
        invitations.create_invitation(email="x@example.com", full_name="X", roles=[], invited_by="x")
    with pytest.raises(LinkRefused):
        invitations.open_link(token="")


def test_invitation__of_the_own_tenant__is_sent_again_and_revoked_by_its_admin_and_nobody_else_s(
    alpha: Tenant, make_user: Callable[..., User], client_of: Callable[..., Client]
) -> None:
    boss, analyst = make_user("boss", Role.TENANT_ADMIN), make_user("ana", Role.ANALYST)
    invited = invitations.invite(email="rita@example.com", full_name="Rita", roles=[Role.REVIEWER], actor=boss)
    foreign = Invitation.objects.create(
        schema_name="beta", user_id=1, username="x", email="x@example.com", expires_at=invited.expires_at
    )
    client, former = client_of("alpha", boss), _path(invited)
    assert "rita@example.com" in client.get(reverse("admin:auth_user_invitations")).content.decode()
    assert client.post(reverse("admin:auth_user_invite_again", args=[invited.pk])).status_code == 302
    invited.refresh_from_db()
    assert _path(invited) != former
    revoke = reverse("admin:auth_user_invite_revoke", args=[invited.pk])
    assert client.get(revoke).status_code == client.post(revoke, {"reason": ""}).status_code == 200
    assert client.post(revoke, {"reason": "Wrong person"}).status_code == 302
    invited.refresh_from_db()
    assert invited.state == InvitationState.REVOKED
    assert AuditEvent.objects.get(event="invitation.revoked").actor_name == "boss"
    for name in ("again", "revoke"):
        page = reverse(f"admin:auth_user_invite_{name}", args=[foreign.pk])
        assert client.post(page, {"reason": "x"}).status_code == 404
        assert client_of("alpha", analyst).post(page, {"reason": "x"}).status_code == 403
    with pytest.raises(InvitationRefused):
        invitations.revoke(invitation_id=foreign.pk, reason="x", actor=boss)
    with pytest.raises(RoleRequired):
        invitations.send_again(invitation_id=invited.pk, actor=analyst)


def test_invitation__came_to_nothing__person_is_invited_anew_with_the_new_roles(
    alpha: Tenant, make_user: Callable[..., User]
) -> None:
    boss = make_user("boss", Role.TENANT_ADMIN)

    def invite(role: Role) -> Invitation:
        return invitations.invite(email="Rita@example.com", full_name="Rita", roles=[role], actor=boss)

    first = invite(Role.REVIEWER)
    with pytest.raises(InvitationRefused, match="invited already"):
        invite(Role.VIEWER)
    invitations.revoke(invitation_id=first.pk, reason="Wrong role", actor=boss)
    second = invite(Role.ANALYST)
    Invitation.objects.update(expires_at=timezone.now())
    third = invite(Role.VIEWER)
    assert first.user_id == second.user_id == third.user_id
    assert User.objects.get(pk=third.user_id).groups.get().name == Role.VIEWER
    assert list(Invitation.objects.order_by("pk").values_list("state", flat=True)) == ["revoked", "revoked", "open"]
    invitations.accept(token=token_in(invitation_url(third)), password=SECRET)
    with pytest.raises(InvitationRefused, match="already"):
        invite(Role.TENANT_ADMIN)


def test_link__account_got_a_password_by_hand_and_was_shut__brings_nobody_back(db: None) -> None:
    invitation = make_invited()
    with schema_context("alpha"):
        person = User.objects.get(pk=invitation.user_id)
        person.set_password("by hand, for now 1")
        person.save()
    assert browser("alpha.localhost").post(_path(invitation), PASSWORDS).status_code == 410
    assert not _person().is_active and not _person().check_password(SECRET)


def test_invite__more_mails_than_a_day_allows__is_refused_in_words(
    alpha: Tenant, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitations, "MAILS_PER_DAY", 2)
    boss = make_user("boss", Role.TENANT_ADMIN)
    invited = invitations.invite(email="a@example.com", full_name="A", roles=[Role.VIEWER], actor=boss)
    invitations.send_again(invitation_id=invited.pk, actor=boss)
    with pytest.raises(InvitationRefused, match="tomorrow"):
        invitations.send_again(invitation_id=invited.pk, actor=boss)


def test_mail__name_of_the_tenant_with_a_line_break__goes_out_in_one_line(db: None) -> None:
    Tenant.objects.filter(schema_name="alpha").update(name="Alpha\r\nBcc: x@example.com")
    make_invited()
    work_mails()
    assert mail.outbox[-1].subject == "Your access to Alpha Bcc: x@example.com at Forecourt"
