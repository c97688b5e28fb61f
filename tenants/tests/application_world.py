"""Helpers of the tests of applications and invitations."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django_tenants.utils import schema_context

from ledger.execution import execute
from ledger.models import Run, RunState
from tenants.models import ApplicationState, Invitation, TenantApplication
from tenants.roles import Role
from tenants.services import applications
from tenants.services.applications import Wish
from tenants.services.invitations import create_invitation
from tenants.services.mail_texts import confirm_url
from tenants.services.mails import SEND

SECRET = "a rather long passphrase 7"
FORM: dict[str, str] = {
    "business_name": "Corner Shop", "address": "corner-shop", "country": "DE", "time_zone": "", "currency": "",
    "tier": "smb", "contact_name": "Ann Example", "email": "ann@example.com", "about": "Bread, two shops",
    "second_note": "",
}  # fmt: skip


def make_wish(**changes: Any) -> Wish:
    fields: dict[str, Any] = {
        **{name: value for name, value in FORM.items() if name != "second_note"},
        "time_zone": "Europe/Berlin",
        "currency": "EUR",
        **changes,
    }
    return Wish(**fields)


def make_operator(name: str = "operator") -> User:
    return User.objects.create_superuser(name, password="x")


def make_confirmed(**changes: Any) -> TenantApplication:
    """An application whose e-mail address was confirmed by its link."""
    application = applications.submit(wish=make_wish(**changes))
    return applications.confirm(token=token_in(confirm_url(application)))


def make_approved(operator: User, **changes: Any) -> TenantApplication:
    application = make_confirmed(**changes)
    approved = applications.approve(application_id=application.pk, reason="A real shop", actor=operator)
    assert approved.state == ApplicationState.APPROVED
    return approved


def make_invited(schema_name: str = "alpha", **changes: Any) -> Invitation:
    """A submitted application, and a person who is invited to a tenant that exists."""
    applications.submit(wish=make_wish(**changes))
    with schema_context(schema_name):
        return create_invitation(
            email="Ann@Example.com", full_name="Ann Example", roles=[Role.TENANT_ADMIN], invited_by="operator"
        )


def token_in(url: str) -> str:
    return urlsplit(url).path.rstrip("/").rsplit("/", 1)[1]


def work_mails() -> None:
    """Do what a worker does with the queued mails of the public schema."""
    with schema_context("public"):
        queued = Run.objects.filter(kind=SEND, state=RunState.QUEUED).order_by("queued_at")
        for run in queued:
            execute("public", str(run.pk))


def link_in_last_mail() -> str:
    """The address in the newest mail."""
    found = re.search(r"^http\S+$", str(mail.outbox[-1].body), re.M)
    assert found, mail.outbox[-1].body
    return found.group()


def browser(host: str = "localhost") -> Client:
    return Client(headers={"host": host})
