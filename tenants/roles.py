"""The roles of a tenant: groups in its own schema, and what each may see and do."""

from __future__ import annotations

from enum import StrEnum

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, Permission, User
from django.db.models import QuerySet

from tenants.errors import RoleRequired


class Role(StrEnum):
    TENANT_ADMIN = "tenant_admin"
    ANALYST = "analyst"
    REVIEWER = "reviewer"
    VIEWER = "viewer"


# Everyone sees the domain's objects; the services decide who may change what. Only a tenant admin handles people.
_VIEWED_APPS = ("integrations", "forecasting", "ledger")
_EDITED: dict[Role, tuple[tuple[str, str], ...]] = {
    Role.TENANT_ADMIN: (
        ("auth", "user"),
        ("integrations", "source"),
        ("integrations", "apitoken"),
        ("integrations", "webhookendpoint"),
        ("forecasting", "gatepolicy"),
        ("ledger", "run"),
    ),
    Role.ANALYST: (("ledger", "run"),),
    Role.REVIEWER: (),
    Role.VIEWER: (),
}


def ensure_roles() -> None:
    """Make the four groups of the current schema and give them their permissions; idempotent."""
    groups = dict(Group.objects.values_list("name", "pk"))
    for role in _EDITED:
        if role.value not in groups:
            groups[role.value] = Group.objects.create(name=role.value).pk
    wanted = {
        (groups[role.value], pk)
        for pk, app, model, codename in Permission.objects.order_by().values_list(
            "pk", "content_type__app_label", "content_type__model", "codename"
        )
        for role, edited in _EDITED.items()
        if (app in _VIEWED_APPS and codename.startswith("view_"))
        or ((app, model) in edited and not codename.startswith("delete_"))
    }
    link = Group.permissions.through
    ours = [groups[role.value] for role in _EDITED]
    held = set(link.objects.filter(group_id__in=ours).values_list("group_id", "permission_id"))
    link.objects.bulk_create(
        [link(group_id=group, permission_id=permission) for group, permission in sorted(wanted - held)],
        ignore_conflicts=True,  # two processes at once
    )
    for group, permission in held - wanted:
        link.objects.filter(group_id=group, permission_id=permission).delete()


def roles_of(user: AbstractBaseUser | AnonymousUser | None) -> frozenset[Role]:
    """The roles that an active user holds in the current schema. Being a superuser is no role."""
    if user is None or not user.is_active or user.pk is None:
        return frozenset()
    names = set(Group.objects.filter(user__pk=user.pk).values_list("name", flat=True))
    return frozenset(role for role in Role if role.value in names)


def people_with(*roles: Role) -> QuerySet[User]:
    """The active people of the current schema who hold one of the roles, each once."""
    return User.objects.filter(is_active=True, groups__name__in=[role.value for role in roles]).distinct()


def require_role(user: AbstractBaseUser | AnonymousUser | None, *wanted: Role) -> None:
    """Raise ``RoleRequired`` unless the user holds one of ``wanted``. Superusers too: a role is a named duty."""
    if not roles_of(user) & frozenset(wanted):
        name = user.get_username() if user is not None and user.pk is not None else "An anonymous visitor"
        raise RoleRequired(name, tuple(role.value for role in wanted))
