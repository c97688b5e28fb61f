"""Letting a person in: an account without a password, and a mailed link, good once, that sets it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from ledger.errors import TransitionRefused
from ledger.schema import connection
from ledger.services.audit import actor_name, record
from tenants.errors import InvitationRefused, LinkRefused
from tenants.models import INVITATION_TRANSITIONS, Invitation, InvitationState, MailKind
from tenants.roles import Role, require_role
from tenants.services import mails
from tenants.services.limits import allow
from tenants.services.links import read_token
from tenants.services.mail_texts import INVITE
from tenants.services.operators import require_operator

OPERATE = "tenants.change_invitation"
MAILS_PER_DAY = 100  # of one tenant


@transaction.atomic
def invite(*, email: str, full_name: str, roles: Iterable[Role], actor: AbstractBaseUser | None) -> Invitation:
    """Invite a person to the current tenant; somebody whose former invitation came to nothing can be invited anew.

    Raises ``RoleRequired``, ``InvitationRefused``.
    """
    require_role(actor, Role.TENANT_ADMIN)
    wanted = sorted(set(roles))
    if not wanted:
        raise InvitationRefused("Choose at least one role: without one there is nothing to see.")
    _count_mail()
    return create_invitation(email=email, full_name=full_name, roles=wanted, invited_by=actor_name(actor), actor=actor)


@transaction.atomic
def invite_admin(*, schema_name: str, email: str, full_name: str, actor: AbstractBaseUser | None) -> Invitation:
    """Invite somebody as tenant admin, by an operator, where a tenant has no active one: a new tenant, or a lost key.

    Where there is one, only tenant admins let people in. Raises ``PlatformOperatorRequired``, ``InvitationRefused``.
    """
    require_operator(actor, "tenants.add_invitation")
    with schema_context(schema_name):
        if User.objects.filter(is_active=True, groups__name=Role.TENANT_ADMIN).exists():
            raise InvitationRefused("This tenant has an active tenant admin, who invites people. Ask them.")
        by = actor_name(actor)
        invitation = create_invitation(email=email, full_name=full_name, roles=[Role.TENANT_ADMIN], invited_by=by)
    record(event="invitation.sent", actor=actor, subject=invitation)
    return invitation


@transaction.atomic
def create_invitation(
    *, email: str, full_name: str, roles: Iterable[Role], invited_by: str, actor: AbstractBaseUser | None = None
) -> Invitation:
    """Make the account (inactive, without a password) in the current tenant's schema, and owe it the mail.

    For services that have checked who asks; ``actor`` is a user of this schema or nobody. Raises ``InvitationRefused``
    where somebody has that address or name.
    """
    schema_name = connection.schema_name
    if schema_name == get_public_schema_name():
        raise InvitationRefused("People are invited to a tenant, not to the platform.")
    names = [role.value for role in roles]
    user = _account(email)
    user.first_name, user.is_active, user.is_staff = full_name[:150], False, True
    user.save()
    user.groups.set(Group.objects.filter(name__in=names))
    invitation = Invitation.objects.create(
        schema_name=schema_name,
        user_id=user.pk,
        username=user.username,
        email=email,
        roles=names,
        expires_at=_expiry(),
        invited_by_name=invited_by,
    )
    mails.post(kind=MailKind.INVITATION, reference=invitation.pk, recipient=email)
    record(event="user.invited", actor=actor, subject=user, data={"roles": names, "by": invited_by})
    return invitation


def open_link(*, token: str) -> tuple[Invitation, User]:
    """The invitation of a link and its account, in the current tenant; raises ``LinkRefused``. Changes nothing."""
    pk, nonce = read_token(INVITE, connection.schema_name, token)
    invitation = Invitation.objects.filter(pk=pk, schema_name=connection.schema_name).first()
    return _usable(invitation, nonce)


@transaction.atomic
def accept(*, token: str, password: str) -> User:
    """Set the password and activate the account; raises ``LinkRefused``, ``InvitationRefused`` for a weak password."""
    pk, nonce = read_token(INVITE, connection.schema_name, token)
    locked = Invitation.objects.select_for_update().filter(pk=pk, schema_name=connection.schema_name).first()
    invitation, _ = _usable(locked, nonce)
    user = User.objects.select_for_update().get(pk=invitation.user_id)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvitationRefused(" ".join(error.messages)) from error
    user.set_password(password)
    user.is_active = True
    user.save(update_fields=["password", "is_active"])
    _move(invitation, InvitationState.ACCEPTED)
    record(event="invitation.accepted", actor=user, subject=user, data={"roles": invitation.roles})
    return user


@transaction.atomic
def send_again(*, invitation_id: int, actor: AbstractBaseUser | None) -> Invitation:
    """Mail a fresh link, good for the whole time again; the former one stops working.

    By an operator on the platform, or by a tenant admin for an invitation to the own tenant. Raises
    ``PlatformOperatorRequired``, ``RoleRequired``, ``InvitationRefused``, ``TransitionRefused`` where it was accepted
    or revoked.
    """
    invitation = _for_actor(invitation_id, actor)
    if invitation.state != InvitationState.OPEN:
        raise TransitionRefused(str(invitation), invitation.state, InvitationState.OPEN)
    if _is_tenant():
        _count_mail()
    invitation.nonce, invitation.expires_at = uuid.uuid4(), _expiry()
    invitation.save(update_fields=["nonce", "expires_at"])
    mails.post(kind=MailKind.INVITATION, reference=invitation.pk, recipient=invitation.email)
    record(event="invitation.sent_again", actor=actor, subject=invitation)
    return invitation


@transaction.atomic
def revoke(*, invitation_id: int, reason: str, actor: AbstractBaseUser | None) -> Invitation:
    """End an invitation, so that its link does not work; the account stays without a password, inactive.

    For whom, and what is raised: as ``send_again``; ``InvitationRefused`` also without a reason.
    """
    invitation = _for_actor(invitation_id, actor)
    if not reason.strip():
        raise InvitationRefused("Say why: the reason is kept with the decision.")
    _move(invitation, InvitationState.REVOKED)
    record(event="invitation.revoked", actor=actor, subject=invitation, data={"reason": reason.strip()})
    return invitation


def of_this_tenant() -> QuerySet[Invitation]:
    """The invitations to the tenant whose schema the connection is on."""
    return Invitation.objects.filter(schema_name=connection.schema_name)


def _is_tenant() -> bool:
    return bool(connection.schema_name != get_public_schema_name())


def _for_actor(invitation_id: int, actor: AbstractBaseUser | None) -> Invitation:
    """The locked invitation, where ``actor``, a user of the current schema, may decide on it."""
    found = Invitation.objects.select_for_update()
    if _is_tenant():
        require_role(actor, Role.TENANT_ADMIN)
        found = found.filter(schema_name=connection.schema_name)
    else:
        require_operator(actor, OPERATE)
    invitation = found.filter(pk=invitation_id).first()
    if invitation is None:
        raise InvitationRefused("There is no such invitation here.")
    return invitation


def _count_mail() -> None:
    """Refuse where this tenant had more mails sent today than people are invited: the platform's name is on them."""
    if not allow("invite", connection.schema_name, limit=MAILS_PER_DAY, within=timedelta(days=1)):
        raise InvitationRefused(
            f"{MAILS_PER_DAY} invitations were mailed within a day. Go on tomorrow, or ask the platform's operator."
        )


def _account(email: str) -> User:
    """A new account, or the one of a former invitation that came to nothing; raises ``InvitationRefused``."""
    same = Q(email__iexact=email) | Q(username__iexact=username_of(email))
    known = list(User.objects.select_for_update().filter(same)[:2])
    if not known:
        user = User(username=username_of(email), email=email)
        user.set_unusable_password()
        return user
    user = known[0]
    former = of_this_tenant().select_for_update().filter(user_id=user.pk)
    was_used = user.is_active or user.is_superuser or user.has_usable_password() or user.last_login is not None
    if len(known) > 1 or was_used or user.email.casefold() != email.casefold():
        raise InvitationRefused("There is a person with this e-mail address or name already.")
    standing = former.filter(state=InvitationState.OPEN).first()
    if standing is not None and standing.is_open:
        raise InvitationRefused("This person is invited already. Under Invitations you can send it again or revoke it.")
    if standing is not None:
        _move(standing, InvitationState.REVOKED)  # expired: the new one takes its place
    return user


def username_of(email: str) -> str:
    """The name to sign in with: the e-mail address in small letters, with only the signs that names take."""
    return re.sub(r"[^\w.@+-]", "-", email.lower())[:150]


def _usable(invitation: Invitation | None, nonce: uuid.UUID) -> tuple[Invitation, User]:
    if invitation is None or invitation.nonce != nonce or invitation.state != InvitationState.OPEN:
        raise LinkRefused("This link was used already or was withdrawn. If you have a password, sign in.")
    if not invitation.is_open:
        raise LinkRefused("This link has expired. Ask who invited you to send the invitation again.")
    user = User.objects.filter(pk=invitation.user_id, username=invitation.username, is_superuser=False).first()
    if user is None:
        raise LinkRefused("The account of this link was changed. Ask who invited you to invite you again.")
    if user.has_usable_password():  # set by hand meanwhile; an old mail must not replace it or bring somebody back
        raise LinkRefused("This account has a password already. Sign in, or ask a tenant admin to let you in again.")
    return invitation, user


def _move(invitation: Invitation, state: InvitationState) -> None:
    if state not in INVITATION_TRANSITIONS[invitation.state]:
        raise TransitionRefused(str(invitation), invitation.state, state)
    invitation.state, invitation.nonce, invitation.ended_at = state, uuid.uuid4(), timezone.now()
    invitation.save()


def _expiry() -> datetime:
    return timezone.now() + timedelta(days=settings.INVITATION_DAYS)
