"""The roles of a tenant: groups in its own schema, and what each may see and do."""

from __future__ import annotations

from enum import StrEnum

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, Permission, User
from django.db.models import Q, QuerySet

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
    viewing = Permission.objects.filter(content_type__app_label__in=_VIEWED_APPS, codename__startswith="view_")
    for role, edited in _EDITED.items():
        group, _ = Group.objects.get_or_create(name=role.value)
        wanted = Q(pk__in=viewing.values("pk"))
        for app_label, model in edited:
            wanted |= Q(content_type__app_label=app_label, content_type__model=model) & ~Q(
                codename__startswith="delete_"
            )
        group.permissions.set(Permission.objects.filter(wanted))


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
