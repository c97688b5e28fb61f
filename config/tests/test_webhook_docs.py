"""docs/webhooks.md says what the code sends, and its snippet checks what the code signs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from integrations.services.webhook_signing import new_secret, signature
from integrations.webhook_events import all_events


@pytest.fixture
def is_genuine() -> Any:
    """The snippet of the document, as a receiver would copy it."""
    text = (settings.BASE_DIR / "docs" / "webhooks.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.S)
    assert code
    scope: dict[str, Any] = {}
    exec(code.group(1), scope)  # noqa: S102  # our own document
    return scope["is_genuine"]


def test_catalogue__committed__is_what_the_code_sends() -> None:
    call_command("webhook_catalogue", "--check")


def test_catalogue__every_event__is_described() -> None:
    assert all(event.title and event.when and event.data and all(event.data.values()) for event in all_events())


def test_snippet__signature_of_ours__is_genuine_and_what_was_touched_is_not(is_genuine: Any) -> None:
    secret, former, body = new_secret(), new_secret(), b'{"type": "webhook.ping"}'
    header = signature(body, at=1_000_000, keys=[secret, former])
    assert is_genuine(secret, header, body, now=1_000_100) and is_genuine(former, header, body, now=1_000_100)
    assert not is_genuine(new_secret(), header, body, now=1_000_100)
    assert not is_genuine(secret, header, body + b" ", now=1_000_100)
    assert not is_genuine(secret, header.replace("t=1000000", "t=1000050"), body, now=1_000_100)
    assert not is_genuine(secret, header, body, now=1_000_400), "too old"
    for nonsense in ("", "t=,v1=", "t=x", "v1=ä", header.partition(",")[0]):
        assert not is_genuine(secret, nonsense, body, now=1_000_100)
