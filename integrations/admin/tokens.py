"""Keys of REST clients: issue (the key is shown once) and revoke."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.safestring import SafeString

from integrations.models import ApiToken
from integrations.services.tokens import issue_token, revoke_token
from ledger.admin.base import ReadOnlyAdmin, View, attempt
from ledger.admin.forms import PlainForm
from ledger.errors import DomainError
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import ago, badge, moment

_MANAGE = "integrations.add_apitoken"


class TokenForm(PlainForm):
    """A key to be made."""

    name = forms.CharField(max_length=80, help_text="What uses it, such as the ordering system.")
    user = forms.ModelChoiceField(
        User.objects.none(), label="Acts as", help_text="The key may do what this person’s roles may do."
    )
    expires_on = forms.DateField(
        label="Valid until",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="Its last day, at most a year ahead.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["user"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101  # narrows the type; declared above
        field.queryset = User.objects.filter(is_active=True).order_by("username")

    def expires_at(self) -> datetime:
        """The end of the chosen day, in the tenant's time zone."""
        return timezone.make_aware(datetime.combine(self.cleaned_data["expires_on"], time.max))


@admin.register(ApiToken, site=tenant_site)
class ApiTokenAdmin(ReadOnlyAdmin):
    """Keys to this tenant's API."""

    list_display = ["name", "start", "validity", "acts_as", "expires", "last_used"]
    list_select_related = ["user"]
    search_fields = ["name", "prefix", "user__username"]
    search_help_text = "Name, start of the key, or person"
    page_template = "forecourt/token.html"
    empty_hint = "No client can read the API yet. A tenant admin issues a token; its key is shown once."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        tokens: QuerySet[ApiToken] = super().get_queryset(request).select_related("user")
        return tokens

    @display(description="Key")
    def start(self, token: ApiToken) -> str:
        return f"{token.prefix}…"

    @display(description="State")
    def validity(self, token: ApiToken) -> SafeString:
        return badge(validity_of(token))

    @display(description="Acts as", ordering="user__username")
    def acts_as(self, token: ApiToken) -> str:
        return token.user.get_username()

    @display(description="Valid until", ordering="expires_at")
    def expires(self, token: ApiToken) -> str:
        return moment(token.expires_at)

    @display(description="Last used", ordering="last_used_at")
    def last_used(self, token: ApiToken) -> str:
        return ago(token.last_used_at)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(_MANAGE))

    def own_views(self) -> list[tuple[str, str, View]]:
        return [("<path:object_id>/revoke/", "revoke", self.revoke_view)]

    def page_context(self, request: HttpRequest, obj: ApiToken) -> dict[str, Any]:
        state = validity_of(obj)
        return {"token": obj, "state": state, "can_revoke": state == "valid" and request.user.has_perm(_MANAGE)}

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Issue a token. The answer to the POST shows the key; it is nowhere else and never again."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        initial = {"expires_on": timezone.localdate() + timedelta(days=90)}
        form = TokenForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            try:
                token, key = issue_token(
                    name=form.cleaned_data["name"],
                    user=form.cleaned_data["user"],
                    expires_at=form.expires_at(),
                    actor=request.user,
                )
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                page = self.render_page(
                    request, "forecourt/token_issued.html", title=f"Key of {token.name}", token=token, key=key
                )
                page.headers["Cache-Control"] = "no-store"
                return page
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title="Issue an API token",
            form=form,
            lead="The key is shown once, right after it was made. Only its hash is kept.",
            submit="Issue the token",
            back=self.url("changelist"),
        )

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """End the key's life: GET asks, POST does it."""
        token: ApiToken = self.object_or_404(request, object_id)
        if not request.user.has_perm(_MANAGE):
            raise PermissionDenied
        if request.method == "POST":
            attempt(
                request,
                lambda: revoke_token(token=token, actor=request.user),
                done=f"{token.name} is revoked. Its key opens nothing now.",
            )
            return self.to_object(token)
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"Revoke {token.name}",
            obj=token,
            form=forms.Form(),
            lead=f"Whoever uses the key {token.prefix}… will be refused from now on.",
            lines=["This cannot be undone; a new token can be issued."],
            submit="Revoke it",
            danger=True,
            back=self.url("change", token.pk),
        )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        if not ApiToken.objects.exists() and not self.has_add_permission(request):
            messages.info(request, "Only a tenant admin can issue tokens.")
        return super().changelist_view(request, extra_context)


def validity_of(token: ApiToken) -> str:
    """valid, revoked or expired."""
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at <= timezone.now() else "valid"
