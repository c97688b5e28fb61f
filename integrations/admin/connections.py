"""SFTP connections: their form (secrets are only ever written), the server's key, and “Pull now”."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from integrations.connection_errors import ConnectionRefused
from integrations.models import SftpConnection, Source
from integrations.models.connection import AfterTaking, SftpAuth
from integrations.services.connections import (
    ConnectionValues,
    look_up_host_key,
    pin_host_key,
    save_connection,
    start_pull,
)
from integrations.services.credentials import Secret
from integrations.services.sftp_keys import fingerprint
from ledger.admin.base import ReadOnlyAdmin, View
from ledger.admin.forms import PlainForm
from ledger.errors import DomainError
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import ago, badge

_MANAGE = "integrations.change_source"
_SECRET_FIELDS = ("password", "private_key", "passphrase")
_KEEPS = "Leave it empty to keep the stored one."


class ConnectionForm(PlainForm):
    """Where the files are and how to get in."""

    source = forms.ModelChoiceField(Source.objects.none(), help_text="Whose files are pulled.")
    host = forms.CharField(max_length=253, help_text="Name or address alone, such as sftp.example.com.")
    port = forms.IntegerField(min_value=1, max_value=65535, initial=22)
    username = forms.CharField(max_length=120, label="User")
    folder = forms.CharField(
        max_length=500, initial=".", help_text="Where the files arrive; . is the folder after signing in."
    )
    auth = forms.ChoiceField(choices=SftpAuth.choices, label="Sign in with", widget=forms.RadioSelect)
    password = forms.CharField(
        required=False, max_length=500, strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )  # fmt: skip
    private_key = forms.CharField(
        required=False, max_length=16384, strip=False,
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
    )  # fmt: skip
    passphrase = forms.CharField(
        required=False, max_length=500, strip=False, label="Passphrase of the private key",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )  # fmt: skip
    after_taking = forms.ChoiceField(
        choices=AfterTaking.choices, widget=forms.RadioSelect, label="Once a file was taken",
    )  # fmt: skip
    move_to = forms.CharField(
        required=False, max_length=200, initial="taken", help_text="The folder to move it to, inside the folder above."
    )
    stable_seconds = forms.IntegerField(
        min_value=1, max_value=300, initial=10, label="Seconds without change",
        help_text="A file is taken when its size and time stayed the same for so long.",
    )  # fmt: skip
    enabled = forms.BooleanField(required=False, initial=True, label="Switched on")

    def __init__(self, *args: Any, connection: SftpConnection | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if connection is not None:
            del self.fields["source"]
            for name, stored in (("password", connection.sealed_password), ("private_key", connection.sealed_key)):
                self.fields[name].help_text = f"One is stored and never shown. {_KEEPS}" if stored else ""
            return
        field = self.fields["source"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101  # narrows the type; declared above
        field.queryset = Source.objects.filter(sftp=None).order_by("name")

    def values(self) -> ConnectionValues:
        """What was entered, its secrets hidden."""
        data = {name: value for name, value in self.cleaned_data.items() if name != "source"}
        return ConnectionValues(**{**data, **{name: Secret(data[name]) for name in _SECRET_FIELDS}})

    def tell(self, refused: ConnectionRefused) -> None:
        """Put each problem beside its field."""
        for name, problem in refused.problems.items():
            self.add_error(name if name in self.fields else None, problem)


class HostKeyForm(PlainForm):
    """A public key to trust: the one that was looked up, or one that the server's operator sent."""

    public_key = forms.CharField(
        max_length=16384,
        label="The server’s public key",
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="One line such as ssh-ed25519 AAAAC3Nza…, from the server’s operator.",
    )


@admin.register(SftpConnection, site=tenant_site)
class SftpConnectionAdmin(ReadOnlyAdmin):
    """Servers that files are pulled from."""

    list_display = ["source_name", "address", "state_badge", "key_badge", "last_pull"]
    list_filter = ["enabled"]
    search_fields = ["source__name", "host", "username"]
    search_help_text = "Source, host or user"
    page_template = "forecourt/connection.html"
    empty_hint = "No source pulls its files by SFTP. A tenant admin adds a connection on the source’s page."

    def get_queryset(self, request: HttpRequest) -> QuerySet[SftpConnection]:
        rows: QuerySet[SftpConnection] = super().get_queryset(request).select_related("source")
        return rows

    @display(description="Source", ordering="source__name")
    def source_name(self, row: SftpConnection) -> str:
        return row.source.name

    @display(description="Server", ordering="host")
    def address(self, row: SftpConnection) -> str:
        return f"{row.username}@{row.host}:{row.port}"

    @display(description="State")
    def state_badge(self, row: SftpConnection) -> SafeString:
        return _state(row)

    @display(description="Server’s key")
    def key_badge(self, row: SftpConnection) -> SafeString:
        return badge("valid", "Pinned") if row.host_key else badge("warning", "Not pinned")

    @display(description="Last pull", ordering="last_pull_at")
    def last_pull(self, row: SftpConnection) -> str:
        return ago(row.last_pull_at)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(_MANAGE))

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("<path:object_id>/settings/", "settings", self.edit_view),
            ("<path:object_id>/host-key/", "hostkey", self.host_key_view),
            ("<path:object_id>/pull/", "pull", self.pull_view),
        ]

    def page_context(self, request: HttpRequest, obj: SftpConnection) -> dict[str, Any]:
        return {
            "connection": obj,
            "state": _state(obj),
            "fingerprint": fingerprint(obj.host_key) if obj.host_key else "",
            "left": obj.last_result.get("left", []),
            "taken": obj.last_result.get("taken", []),
            "ignored": obj.last_result.get("ignored", 0),
            "pulled": obj.pulled.select_related("delivery")[:20],
            "may_change": request.user.has_perm(_MANAGE),
        }

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Connect a source to its server; ``source`` names it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        initial: dict[str, Any] = {"auth": SftpAuth.PASSWORD, "after_taking": AfterTaking.MOVE}
        chosen = request.GET.get("source", "")
        form = ConnectionForm(
            request.POST or None, initial={**initial, "source": chosen if chosen.isdecimal() else None}
        )
        if request.method == "POST" and form.is_valid():
            saved = self._save(request, form, form.cleaned_data["source"].pk)
            if saved is not None:
                messages.success(request, "Saved. Now pin the server’s key: without it, nothing is sent to the server.")
                return HttpResponseRedirect(self.url("hostkey", saved.pk))
        return self._form_page(request, form, None, self.url("changelist"))

    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Change the connection; the stored secrets are never shown."""
        row = self._managed(request, object_id)
        plain = [name for name in ConnectionForm.base_fields if name not in ("source", *_SECRET_FIELDS)]
        initial = {name: getattr(row, name) for name in plain}
        form = ConnectionForm(request.POST or None, connection=row, initial=initial)
        if request.method == "POST" and form.is_valid():
            saved = self._save(request, form, row.source_id)
            if saved is not None:
                dropped = bool(row.host_key) and not saved.host_key
                more = " It is another server now: pin its key." if dropped else ""
                messages.success(request, f"Saved.{more}")
                return self.to_object(saved)
        return self._form_page(request, form, row, self.url("change", row.pk))

    def _save(self, request: HttpRequest, form: ConnectionForm, source_id: int) -> SftpConnection | None:
        try:
            return save_connection(source_id=source_id, values=form.values(), actor=request.user)  # type: ignore[arg-type]  # logged in here
        except ConnectionRefused as refused:
            form.tell(refused)
        except DomainError as error:
            form.add_error(None, str(error))
        return None

    def _form_page(
        self, request: HttpRequest, form: ConnectionForm, row: SftpConnection | None, back: str
    ) -> HttpResponseBase:
        page = self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"Change {row}" if row else "Pull files by SFTP",
            obj=row,
            form=form,
            lead="Secrets are encrypted when they are stored, and never shown again.",
            lines=["A stored password is not sent to another host, port or user: with those, enter it again."]
            if row
            else ["The server’s key is looked up and pinned in the next step."],
            submit="Save",
            back=back,
        )
        page.headers["Cache-Control"] = "no-store"
        return page

    def host_key_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Which key the server must show: GET shows the pinned one, POST looks up (``look``) or pins (``pin``)."""
        row = self._managed(request, object_id)
        form = HostKeyForm(request.POST if "pin" in request.POST else None)
        shown = ""
        try:
            if "look" in request.POST:
                shown = look_up_host_key(connection=row, actor=request.user)  # type: ignore[arg-type]  # logged in here
            elif request.method == "POST" and form.is_valid():
                saved = pin_host_key(
                    connection_id=row.pk, public_key=form.cleaned_data["public_key"], actor=request.user  # type: ignore[arg-type]  # logged in here
                )  # fmt: skip
                messages.success(request, "The server’s key is pinned: files may be pulled from it now.")
                return self.to_object(saved)
        except DomainError as error:
            if "pin" in request.POST:
                form.add_error("public_key", str(error))
            else:
                messages.error(request, str(error))
        return self.render_page(
            request,
            "forecourt/host_key.html",
            title=f"Key of {row.host}",
            obj=row,
            connection=row,
            pinned=fingerprint(row.host_key) if row.host_key else "",
            shown=shown,
            shown_fingerprint=fingerprint(shown) if shown else "",
            same=bool(shown) and shown == row.host_key,
            form=form,
            back=self.url("change", row.pk),
        )

    def pull_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Take now what lies ready: GET asks, POST queues the run."""
        row = self._managed(request, object_id)
        if request.method == "POST":
            try:
                run = start_pull(connection_id=row.pk, actor=request.user)  # type: ignore[arg-type]  # logged in here
            except DomainError as error:
                messages.error(request, str(error))
                return self.to_object(row)
            return HttpResponseRedirect(reverse("admin:ledger_run_change", args=[run.pk]))
        return self.render_page(
            request,
            "forecourt/form_page.html",
            title=f"Pull the files of {row.source.name} now",
            obj=row,
            form=forms.Form(),
            lead=f"What lies ready on {row.host} is taken and loaded, each file once.",
            lines=["A file is taken when its size and time stayed the same between two looks."],
            submit="Pull now",
            back=self.url("change", row.pk),
        )

    def _managed(self, request: HttpRequest, object_id: str) -> SftpConnection:
        row: SftpConnection = self.object_or_404(request, object_id)
        if not request.user.has_perm(_MANAGE):
            raise PermissionDenied
        return row


def _state(row: SftpConnection) -> SafeString:
    if not row.enabled:
        return badge("paused", "Switched off")
    if row.last_error:
        return badge("error", "Trouble")
    return badge("active", "Works") if row.last_pull_at else badge("draft", "Not pulled yet")
