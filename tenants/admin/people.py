"""Who may enter, and with which roles."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from ledger.admin.base import BaseAdmin
from ledger.services.audit import record
from ledger.sites import platform_site, tenant_site
from ledger.templatetags.forecourt import moment, words
from tenants.admin.inviting import ROLES_HELP, InvitingAdmin
from tenants.roles import Role


class RoleField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]  # generic only for the type checker
    """The roles of this schema, by name."""

    def label_from_instance(self, obj: models.Model) -> str:
        return words(str(obj))


def role_field() -> RoleField:
    return RoleField(
        Group.objects.filter(name__in=list(Role)).order_by("name"),
        label="Roles",
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=ROLES_HELP,
    )


class PersonForm(UserChangeForm):  # type: ignore[misc]  # the library has no type information
    """A person and their roles."""

    groups = role_field()

    def clean(self) -> dict[str, Any]:
        """Refuse to take the last tenant admin away."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        chosen = {group.name for group in cleaned.get("groups") or []}
        stays = cleaned.get("is_active", True) and Role.TENANT_ADMIN in chosen
        admins = User.objects.filter(is_active=True, groups__name=Role.TENANT_ADMIN)
        if (
            not stays
            and admins.filter(pk=self.instance.pk).exists()
            and not admins.exclude(pk=self.instance.pk).exists()
        ):
            raise ValidationError("This is the only active tenant admin. Make another one first.")
        return cleaned


class NewPersonForm(UserCreationForm):  # type: ignore[misc]  # the library has no type information
    """A new person, with roles from the start."""

    groups = role_field()


class PeopleAdmin(BaseAdmin, DjangoUserAdmin):  # type: ignore[type-arg,misc]  # the theme is untyped
    """People are deactivated, never deleted: their names stand in decisions."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "full_name", "email", "active", "last_seen"]
    list_filter = ["is_active"]
    search_help_text = "Name or e-mail"
    actions = None
    empty_hint = "Add the first person."

    @display(description="Name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @display(description="Active", ordering="is_active", boolean=True)
    def active(self, user: User) -> bool:
        return user.is_active

    @display(description="Last seen", ordering="last_login")
    def last_seen(self, user: User) -> str:
        return moment(user.last_login)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        people: QuerySet[User] = super().get_queryset(request)
        return people if getattr(request.user, "is_superuser", False) else people.filter(is_superuser=False)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._record(request, "user.created", obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self._record(request, "user.changed", obj, changed=_changed(message))
        return super().log_change(request, obj, message)

    def _record(self, request: HttpRequest, event: str, person: User, **data: Any) -> None:
        roles = sorted(person.groups.values_list("name", flat=True))
        facts = {"roles": roles, "is_active": person.is_active, "is_superuser": person.is_superuser, **data}
        record(event=event, actor=request.user, subject=person, data=facts)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        with transaction.atomic():  # the new password and its event, or neither
            response: HttpResponse = super().user_change_password(request, id, form_url)
            return response


@admin.register(User, site=tenant_site)
class TenantPeopleAdmin(InvitingAdmin, PeopleAdmin):  # type: ignore[misc]  # the theme is untyped
    """People of one tenant."""

    form = PersonForm
    add_form = NewPersonForm
    list_display = ["username", "full_name", "roles", "active", "last_seen"]
    list_filter = ["groups", "is_active"]
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password", ("first_name", "last_name"), "email")}),
        ("Access", {"fields": ("groups", "is_active")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2", "groups")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @display(description="Roles")
    def roles(self, user: User) -> str:
        return ", ".join(words(group.name) for group in user.groups.all()) or "–"

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        obj.is_staff = True  # everyone of a tenant enters by the same door; the roles say what they may do
        super().save_model(request, obj, form, change)


@admin.register(User, site=platform_site)
class PlatformPeopleAdmin(PeopleAdmin):
    """The platform's staff."""

    fieldsets = (
        (None, {"fields": ("username", "password", ("first_name", "last_name"), "email")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if getattr(request.user, "is_superuser", False) else ("is_superuser", "is_staff")


def _changed(message: Any) -> list[str]:
    parts = message if isinstance(message, list) else []
    return [field for part in parts for field in part.get("changed", {}).get("fields", [])]
