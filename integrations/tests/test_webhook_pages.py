"""The pages of webhooks: for tenant admins, a secret shown once, nothing changed by GET."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from forecasting.tests.admin_world import World, make_world
from integrations.models import EndpointState, SendState, WebhookDelivery, WebhookEndpoint
from integrations.services.webhooks import signing_secrets
from tenants.models import Tenant
from tenants.roles import Role

ClientOf = Callable[..., Client]
FORM = {"name": "Till", "url": "https://till.example.com/hook", "events": ["promotion.approved", "promotion.rejected"]}


@pytest.fixture
def world(alpha: Tenant) -> World:
    return make_world(series_count=2)


def _url(action: str, *args: object) -> str:
    return reverse(f"admin:integrations_webhookendpoint_{action}", args=args)


def test_webhook__added__shows_its_secret_once_and_uncached(world: World, client_of: ClientOf) -> None:
    client = client_of("alpha", world.admin)
    page = client.post(_url("add"), FORM)
    made = WebhookEndpoint.objects.get(name="Till")
    (secret,) = signing_secrets(made)
    assert secret in page.content.decode() and "no-store" in page.headers["Cache-Control"]
    for url in (_url("change", made.pk), _url("changelist"), _url("settings", made.pk)):
        assert secret not in client.get(url).content.decode()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": "http://10.0.0.1:99999/"}, "cannot be read"), ({"url": "ftp://x"}, "https://"),
        ({"events": []}, "required"),
        ({"events": ["nonsense"]}, "not one of the available choices"), ({"name": "Ordering"}, "of this name already"),
    ],
)  # fmt: skip
def test_webhook__bad_input__is_refused_with_the_form_kept(
    world: World, client_of: ClientOf, changes: dict[str, object], said: str
) -> None:
    page = client_of("alpha", world.admin).post(_url("add"), {**FORM, **changes})
    text = page.content.decode()
    assert page.status_code == 409 and said in text and str(changes.get("url", FORM["url"])) in text
    assert WebhookEndpoint.objects.count() == 1


def test_webhook__pages__work_by_post_alone_and_say_what_came_of_it(world: World, client_of: ClientOf) -> None:
    client, endpoint = client_of("alpha", world.admin), world.hook.endpoint
    client.get(_url("switch", endpoint.pk) + "?to=off")
    client.get(_url("test", endpoint.pk))
    client.get(_url("again", endpoint.pk, world.hook.pk))
    endpoint.refresh_from_db()
    assert endpoint.state == EndpointState.ACTIVE and WebhookDelivery.objects.count() == 1
    assert "A test is on its way" in client.post(_url("test", endpoint.pk), follow=True).content.decode()
    rotated = client.post(_url("rotate", endpoint.pk), {"overlap_hours": "24"}).content.decode()
    endpoint.refresh_from_db()
    assert signing_secrets(endpoint)[0] in rotated and signing_secrets(endpoint)[1] not in rotated
    client.post(_url("settings", endpoint.pk), {**FORM, "name": "Renamed"})
    client.post(_url("switch", endpoint.pk), {"to": "off"})
    endpoint.refresh_from_db()
    assert (endpoint.name, endpoint.state) == ("Renamed", EndpointState.OFF)
    text = client.post(_url("again", endpoint.pk, world.hook.pk), follow=True).content.decode()
    assert "Switch it on first" in text
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {SendState.FAILED}


def test_webhook__delivery_of_another_endpoint_or_none__is_404(world: World, client_of: ClientOf) -> None:
    client = client_of("alpha", world.admin)
    client.post(_url("add"), FORM)
    other = WebhookEndpoint.objects.get(name="Till")
    assert client.get(_url("delivery", other.pk, world.hook.pk)).status_code == 404
    assert client.get(_url("delivery", other.pk, 999_999)).status_code == 404
    assert client.get(_url("delivery", world.hook.endpoint_id, world.hook.pk)).status_code == 200


@pytest.mark.parametrize("role", [Role.ANALYST, Role.REVIEWER, Role.VIEWER])
def test_webhook__other_roles__see_nothing_of_it(world: World, client_of: ClientOf, role: Role) -> None:
    client = client_of("alpha", world.people[role])
    assert client.post(_url("add"), FORM).status_code == 403
    for action in ("settings", "rotate", "switch", "test"):
        assert client.post(_url(action, world.hook.endpoint_id), {**FORM, "to": "off"}).status_code == 403
    assert "hooks.example.com" not in client.get(reverse("admin:index")).content.decode()
