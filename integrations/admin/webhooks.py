"""Webhooks: where a tenant is told of decisions. For tenant admins; a secret is shown once."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Max, QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils.safestring import SafeString

from integrations.models import SendState, WebhookDelivery, WebhookEndpoint
from integrations.models.webhook import EndpointState
from integrations.services.webhook_post import target_of
from integrations.services.webhook_sending import redeliver, send_test
from integrations.services.webhooks import (
    OVERLAP_HOURS,
    change_endpoint,
    create_endpoint,
    rotate_secret,
    switch_endpoint,
)
from integrations.webhook_errors import WebhookRefused
from integrations.webhook_events import PING, all_events
from ledger.admin.base import ReadOnlyAdmin, View, attempt
from ledger.admin.forms import PlainForm
from ledger.errors import DomainError
from ledger.models import AuditEvent
from ledger.sites import tenant_site
from ledger.templatetags.forecourt import ago, badge

MANAGE = "integrations.change_webhookendpoint"
_TONES = {
    EndpointState.ACTIVE: "good", EndpointState.OFF: "plain", EndpointState.DISABLED: "bad",
    SendState.WAITING: "info", SendState.DELIVERED: "good", SendState.FAILED: "bad",
}  # fmt: skip


class EndpointForm(PlainForm):
    """Where to, and what of."""

    name = forms.CharField(max_length=80, help_text="What listens there, such as the ordering system.")
    url = forms.CharField(
        max_length=500, label="Address", widget=forms.TextInput(attrs={"inputmode": "url", "spellcheck": "false"}),
        help_text="An https:// address that takes POST, reachable from the internet.",
    )  # fmt: skip
    events = forms.MultipleChoiceField(label="Tell it when", widget=forms.CheckboxSelectMultiple, required=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["events"]
        assert isinstance(field, forms.MultipleChoiceField)  # noqa: S101  # narrows the type; declared above
        field.choices = [(event.name, f"{event.title} ({event.name})") for event in all_events() if event != PING]

    def tell(self, refused: DomainError) -> None:
        """Put each problem beside its field."""
        problems = refused.problems if isinstance(refused, WebhookRefused) else {"": str(refused)}
        for name, problem in problems.items():
            self.add_error(name if name in self.fields else None, problem)


class RotateForm(PlainForm):
    """For how long both secrets sign."""

    overlap_hours = forms.TypedChoiceField(
        coerce=int, label="The former secret", widget=forms.RadioSelect, initial=24,
        choices=[(0, "ends at once (it leaked)"), (24, "signs too, for a day"), (168, "signs too, for a week")],
    )  # fmt: skip


@admin.register(WebhookEndpoint, site=tenant_site)
class WebhookEndpointAdmin(ReadOnlyAdmin):
    """Addresses that are told of events."""

    list_display = ["name", "host", "state_badge", "told_of", "last_delivery"]
    list_filter = ["state"]
    search_fields = ["name"]
    search_help_text = "Name"
    page_template = "forecourt/webhook.html"
    empty_hint = (
        "No system is told of decisions yet. Add a webhook: its address gets a signed message when a promotion is "
        "asked for, decided, lapses, or a champion is rolled back."
    )

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(MANAGE))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm(MANAGE))

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookEndpoint]:
        rows: QuerySet[WebhookEndpoint] = super().get_queryset(request).annotate(newest=Max("deliveries__created_at"))
        return rows

    @display(description="Host")
    def host(self, endpoint: WebhookEndpoint) -> str:
        return host_of(endpoint)

    @display(description="State", ordering="state")
    def state_badge(self, endpoint: WebhookEndpoint) -> SafeString:
        return state_badge(endpoint)

    @display(description="Told of")
    def told_of(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.events)

    @display(description="Last delivery")
    def last_delivery(self, endpoint: WebhookEndpoint) -> str:
        last = getattr(endpoint, "newest", None)
        return ago(last) if last is not None else "–"

    def own_views(self) -> list[tuple[str, str, View]]:
        return [
            ("<path:object_id>/settings/", "settings", self.settings_view),
            ("<path:object_id>/rotate/", "rotate", self.rotate_view),
            ("<path:object_id>/switch/", "switch", self.switch_view),
            ("<path:object_id>/test/", "test", self.test_view),
            ("<path:object_id>/deliveries/<int:delivery_id>/", "delivery", self.delivery_view),
            ("<path:object_id>/deliveries/<int:delivery_id>/again/", "again", self.again_view),
        ]

    def page_context(self, request: HttpRequest, obj: WebhookEndpoint) -> dict[str, Any]:
        rows = obj.deliveries.select_related("event").prefetch_related("log")
        return {
            "endpoint": obj,
            "badge": state_badge(obj),
            "deliveries": Paginator(rows, 50).get_page(request.GET.get("page")),
            "titles": {event.name: event.title for event in all_events()},
            "events": AuditEvent.objects.filter(subject_type=obj._meta.label, subject_id=str(obj.pk))[:10],
        }

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Add an endpoint. The answer to the POST shows its secret; never again."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = EndpointForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                endpoint, secret = create_endpoint(**form.cleaned_data, actor=request.user)  # type: ignore[arg-type]  # logged in
            except DomainError as error:
                form.tell(error)
            else:
                return self._shown_once(request, endpoint, secret)
        return self._form_page(request, form, "Add a webhook", submit="Add it", back=self.url("changelist"))

    def settings_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Change name, address or events (GET asks, POST does it)."""
        endpoint = self._managed(request, object_id)
        initial = {"name": endpoint.name, "url": endpoint.url, "events": endpoint.events}
        form = EndpointForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            try:
                change_endpoint(endpoint_id=endpoint.pk, **form.cleaned_data, actor=request.user)  # type: ignore[arg-type]  # logged in
            except DomainError as error:
                form.tell(error)
            else:
                messages.success(request, "Saved. Send a test to see whether it arrives.")
                return self.to_object(endpoint)
        return self._form_page(
            request, form, f"Change {endpoint.name}", submit="Save", back=self.url("change", endpoint.pk)
        )

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """A new secret: GET asks for how long the former one signs too, POST does it and shows the new one once."""
        endpoint = self._managed(request, object_id)
        form = RotateForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                endpoint, secret = rotate_secret(
                    endpoint_id=endpoint.pk, overlap_hours=form.cleaned_data["overlap_hours"], actor=request.user,  # type: ignore[arg-type]  # logged in
                )  # fmt: skip
            except DomainError as error:
                form.add_error(None, str(error))
            else:
                return self._shown_once(request, endpoint, secret)
        return self._form_page(
            request, form, f"A new secret for {endpoint.name}", submit="Make a new secret",
            back=self.url("change", endpoint.pk),
        )  # fmt: skip

    def switch_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Switch on or off (POST)."""
        endpoint = self._managed(request, object_id)
        on = request.POST.get("to") == "on"
        if request.method == "POST" and request.POST.get("to") in ("on", "off"):
            attempt(
                request,
                lambda: switch_endpoint(endpoint_id=endpoint.pk, on=on, actor=request.user),  # type: ignore[arg-type]  # logged in
                done="Switched on." if on else "Switched off. Nothing is sent to it until it is switched on.",
            )
        return self.to_object(endpoint)

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Send a test (POST)."""
        endpoint = self._managed(request, object_id)
        if request.method == "POST":
            attempt(
                request,
                lambda: send_test(endpoint_id=endpoint.pk, actor=request.user),  # type: ignore[arg-type]  # logged in
                done="A test is on its way; what came of it stands in the log below in a moment.",
            )
        return self.to_object(endpoint)

    def delivery_view(self, request: HttpRequest, object_id: str, delivery_id: int) -> HttpResponseBase:
        """One delivery: what was sent, and every attempt with its answer."""
        endpoint, delivery = self._delivery(request, object_id, delivery_id)
        return self.render_page(
            request, "forecourt/webhook_delivery.html", title=str(delivery), obj=endpoint, endpoint=endpoint,
            delivery=delivery, badge=send_badge(delivery), log=delivery.log.all(),
            may_send=endpoint.state == EndpointState.ACTIVE,
        )  # fmt: skip

    def again_view(self, request: HttpRequest, object_id: str, delivery_id: int) -> HttpResponseBase:
        """Send one delivery again (POST)."""
        endpoint, delivery = self._delivery(request, object_id, delivery_id)
        if request.method == "POST":
            attempt(
                request,
                lambda: redeliver(delivery_id=delivery.pk, actor=request.user),  # type: ignore[arg-type]  # logged in
                done="It is sent again, with the same id.",
            )
        return self.to_object(endpoint)

    def _managed(self, request: HttpRequest, object_id: str) -> WebhookEndpoint:
        endpoint: WebhookEndpoint = self.object_or_404(request, object_id)
        return endpoint

    def _delivery(
        self, request: HttpRequest, object_id: str, delivery_id: int
    ) -> tuple[WebhookEndpoint, WebhookDelivery]:
        endpoint = self._managed(request, object_id)
        delivery = endpoint.deliveries.select_related("event", "endpoint").filter(pk=delivery_id).first()
        if delivery is None:
            raise Http404(f"Delivery {delivery_id} does not exist here.")
        return endpoint, delivery

    def _shown_once(self, request: HttpRequest, endpoint: WebhookEndpoint, secret: str) -> HttpResponseBase:
        page = self.render_page(
            request, "forecourt/webhook_secret.html", title=f"Secret of {endpoint.name}", endpoint=endpoint, key=secret
        )
        page.headers["Cache-Control"] = "no-store"
        return page

    def _form_page(
        self, request: HttpRequest, form: forms.Form, title: str, *, submit: str, back: str
    ) -> HttpResponseBase:
        return self.render_page(
            request, "forecourt/form_page.html", title=title, form=form, submit=submit, back=back,
            status=409 if form.is_bound else 200,
        )  # fmt: skip


def host_of(endpoint: WebhookEndpoint) -> str:
    """The host alone: the rest of an address may hold a token."""
    try:
        return target_of(endpoint.url).host
    except WebhookRefused:
        return "–"


def state_badge(endpoint: WebhookEndpoint) -> SafeString:
    """An endpoint's state."""
    return badge(endpoint.state, endpoint.get_state_display(), _TONES[endpoint.state])  # type: ignore[index]  # the choices' values


def send_badge(delivery: WebhookDelivery) -> SafeString:
    """A delivery's state; one that waits after a failed attempt says so."""
    if delivery.state == SendState.WAITING and delivery.attempts:
        return badge(delivery.state, "Failed, tried again soon", "warn")
    return badge(delivery.state, delivery.get_state_display(), _TONES[delivery.state])  # type: ignore[index]  # the choices' values


__all__ = ["OVERLAP_HOURS", "WebhookEndpointAdmin"]
