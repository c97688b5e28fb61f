"""The examples of docs/api.md are asked of the real API, in their order, and answered as they say."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from forecasting.models import PromotionRequest
from forecasting.tests.api_helpers import key_of
from forecasting.tests.factories import make_candidate, make_eligible_report, make_person, promote
from tenants.models import Tenant
from tenants.roles import Role

PEOPLE = {"analyst": ("anna", Role.ANALYST), "reviewer": ("rita", Role.REVIEWER), "viewer": ("vera", Role.VIEWER)}


@dataclass(frozen=True)
class Example:
    """One exchange: as whom, what, and what comes back."""

    person: str
    method: str
    address: str
    body: str
    status: int
    answer: dict[str, Any]


def examples() -> list[Example]:
    """The ``http`` blocks of the document."""
    text = (settings.BASE_DIR / "docs" / "api.md").read_text(encoding="utf-8")
    found = []
    for block in re.findall(r"```http\n(.*?)```", text, re.DOTALL):
        asked, answered = block.strip().split("\n\n", 1)
        first, line, *body = asked.split("\n")
        status, answer = answered.split("\n", 1)
        method, address = line.split()
        person = first.removeprefix("# as ")
        found.append(Example(person, method, address, "\n".join(body), int(status), json.loads(answer)))
    return found


def missing(wanted: Any, given: Any, path: str = "") -> list[str]:
    """Where `given` does not hold what is wanted of it; further keys and rows are its own affair."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        found = [f"{path}.{key} is missing" for key in wanted if key not in given]
        return found + [p for key in wanted if key in given for p in missing(wanted[key], given[key], f"{path}.{key}")]
    if isinstance(wanted, list) and isinstance(given, list) and len(wanted) == len(given):
        return [p for k, pair in enumerate(zip(wanted, given, strict=True)) for p in missing(*pair, f"{path}[{k}]")]
    return [] if wanted == given else [f"{path}: {given!r} instead of {wanted!r}"]


def test_examples__in_their_order__are_answered_as_the_document_says(alpha: Tenant) -> None:
    promote(make_candidate(family="seasonal_naive"))
    make_eligible_report(make_candidate(created_by=make_person("anna", Role.ANALYST)))
    keys = {person: key_of(make_person(name, role)) for person, (name, role) in PEOPLE.items()}
    asked = examples()
    assert len(asked) >= 9
    with timezone.override(alpha.time_zone):
        today = timezone.localdate().isoformat()
    client = Client()
    for example in asked:
        newest = PromotionRequest.objects.order_by("-pk").first()
        known = {"{request}": str(newest.pk if newest else ""), "{today}": today}
        address = example.address
        for name, value in known.items():
            address = address.replace(name, value)
        response = client.generic(
            example.method, address, data=example.body, content_type="application/json",
            headers={"host": "alpha.localhost", "Authorization": f"Token {keys[example.person]}"},
        )  # fmt: skip
        assert response.status_code == example.status, (address, response.content[:300])
        assert missing(example.answer, response.json()) == [], address


@pytest.mark.parametrize(
    ("wanted", "given"),
    [({"a": 1}, {}), ({"a": 1}, {"a": 2}), ({"a": [1]}, {"a": [1, 2]}), ([{"b": None}], [{"b": 0}])],
)
def test_missing__what_differs__is_named(wanted: Any, given: Any) -> None:
    assert missing(wanted, given)
