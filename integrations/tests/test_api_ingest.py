"""The door for programs: a body is received once for a key, and every refusal says what to send instead."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django_tenants.utils import schema_context
from pytest_django.fixtures import Settings

from integrations.api.ingest import _Body
from integrations.delivery_errors import UploadBroken
from integrations.engine.contract import DataContract
from integrations.models import Delivery, DeliveryFile, Source
from integrations.services.deliveries import Upload, Via, receive
from integrations.services.sources import create_source, pause_source
from integrations.services.tokens import issue_token
from integrations.tests.conftest import GOOD, HEADER, ProbeSink, stored_files, till_source, work
from ledger.models import Run
from tenants.roles import Role

BODY = "\n".join((HEADER, *GOOD)).encode() + b"\n"
Send = Callable[..., Any]


@pytest.fixture
def till(sink: ProbeSink, contract: DataContract) -> Source:
    return till_source(contract)


def key_of(make_user: Callable[..., User], *roles: Role) -> str:
    """The key of a token whose user holds these roles in the current schema."""
    admin = make_user("issuer", Role.TENANT_ADMIN)
    user = make_user("robot", *roles)
    return issue_token(name="till", user=user, expires_at=timezone.now() + timedelta(days=1), actor=admin)[1]


@pytest.fixture
def send(till: Source, make_user: Callable[..., User], client_of: Callable[..., Client]) -> Send:
    key = key_of(make_user, Role.TENANT_ADMIN)

    def post(
        body: bytes = BODY, *, path: str = "till/", content_type: str = "text/csv", idempotency: str | None = "monday",
        host: str = "alpha", **headers: str,
    ) -> Any:  # fmt: skip
        wanted = {"Authorization": f"Token {key}", **headers}
        if idempotency is not None:
            wanted["Idempotency-Key"] = idempotency
        return client_of(host).post(f"/api/v1/ingest/{path}", body, content_type=content_type, headers=wanted)

    return post


def test_ingest__sound_body__is_accepted_and_its_run_shows_the_verdict(send: Send, till: Source) -> None:
    answer = send(path="till/?name=Kasse.csv")
    assert answer.status_code == 202, answer.content
    told = answer.json()
    run = Run.objects.get(pk=told["run"])
    assert answer["Location"] == told["run_url"] == f"http://alpha.localhost/api/v1/runs/{run.pk}/"
    assert (told["source"], told["state"], told["delivery"]) == ("till", "queued", Delivery.objects.get().pk)
    assert DeliveryFile.objects.get().name == "Kasse.csv"
    assert Delivery.objects.get().received_by_name == "robot"
    work(run.pk)
    outputs = Run.objects.get(pk=run.pk).outputs
    assert (outputs["verdict"], outputs["findings"], outputs["totals"]["rows_read"]) == (
        "passed",
        outputs["findings"],
        4,
    )


def test_ingest__same_key__gives_the_same_run_or_a_conflict(send: Send) -> None:
    first, again, other = send(), send(), send(BODY + b"2024-03-05,s1,apple,1,1\n")
    assert first.json() == again.json()
    assert (again.status_code, again["Idempotency-Replayed"]) == (202, "true")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert Delivery.objects.count() == 1


def test_ingest__packed_body__is_loaded(send: Send) -> None:
    answer = send(gzip.compress(BODY), **{"Content-Encoding": "gzip"})
    assert answer.status_code == 202
    assert work(answer.json()["run"]) == "succeeded"


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        ({"body": b"", "Content-Type": "text/csv"}, 400, "file_empty"),
        ({"idempotency": None}, 400, "idempotency_key_missing"),
        ({"idempotency": "k" * 201}, 400, "idempotency_key_unusable"),
        ({"path": "nothing/"}, 404, "not_found"),
        ({"path": "till/?role=stores"}, 400, "invalid_query"),
        ({"Transfer-Encoding": "chunked"}, 411, "length_required"),
        ({"path": "till/?name=../.."}, 400, "file_name_unusable"),
        ({"path": "till/?rolle=stores"}, 400, "invalid_query"),
        ({"content_type": "application/json"}, 415, "unsupported_media_type"),
        ({"content_type": "application/x-ndjson"}, 415, "format_not_in_contract"),
        ({"Content-Encoding": "br"}, 415, "unsupported_encoding"),
        ({"Content-Encoding": "gzip"}, 400, "upload_broken"),
        ({"host": "beta"}, 401, "token_unknown"),
    ],
)
def test_ingest__what_cannot_be_used__is_a_problem_that_says_why(
    wanted: dict[str, Any], status: int, code: str, send: Send, storage_folder: Path
) -> None:
    answer = send(**wanted)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert (Delivery.objects.count(), stored_files(storage_folder)) == (0, [])


def test_ingest__too_large__is_refused_by_its_length_and_by_count(
    send: Send, settings: Settings, till: Source, make_user: Callable[..., User], client_of: Callable[..., Client]
) -> None:
    settings.UPLOAD_MAX_BYTES = 40
    assert send().status_code == 413
    announced = send(**{"Content-Length": "41"})
    assert (announced.status_code, announced.json()["code"]) == (413, "file_too_large")


class Cut:
    """A request whose client goes away after some bytes."""

    def __init__(self, *blocks: bytes) -> None:
        self.blocks = list(blocks)

    def read(self, size: int) -> bytes:
        return self.blocks.pop(0) if self.blocks else b""


def test_ingest__body_that_breaks_off__is_refused_and_leaves_nothing(till: Source, storage_folder: Path) -> None:
    body = _Body(Cut(BODY[:30]), len(BODY), False)  # type: ignore[arg-type]  # all that is used of a request
    with pytest.raises(UploadBroken, match="before its Content-Length"):
        receive(source=till, uploads=[Upload("sales.csv", body)], via=Via.API, actor=None)
    assert (stored_files(storage_folder), Delivery.objects.count()) == ([], 0)


def test_ingest__paused_or_without_a_contract__is_a_conflict(send: Send, till: Source) -> None:
    create_source(name="empty", source_type="smb_csv", actor=None)
    assert send(path="empty/").json()["code"] == "no_contract_in_force"
    pause_source(source_id=till.pk, reason="Stocktaking", actor=None)
    answer = send()
    assert (answer.status_code, answer.json()["code"]) == (409, "source_paused")


@pytest.mark.parametrize("role", [Role.ANALYST, Role.REVIEWER, Role.VIEWER])
def test_ingest__token_of_another_role__is_refused(
    role: Role, till: Source, make_user: Callable[..., User], client_of: Callable[..., Client]
) -> None:
    headers = {"Authorization": f"Token {key_of(make_user, role)}", "Idempotency-Key": "a"}
    answer = client_of("alpha").post("/api/v1/ingest/till/", BODY, content_type="text/csv", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "role_required")


def test_ingest__source_of_another_tenant__does_not_exist(
    till: Source, beta_tenant: object, make_user: Callable[..., User], client_of: Callable[..., Client]
) -> None:
    with schema_context("beta"):
        key = key_of(make_user, Role.TENANT_ADMIN)
    headers = {"Authorization": f"Token {key}", "Idempotency-Key": "a"}
    answer = client_of("beta").post("/api/v1/ingest/till/", BODY, content_type="text/csv", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "content_type", ["text/csv", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
)
def test_ingest__browser_session__needs_its_token_as_a_header(
    content_type: str, till: Source, make_user: Callable[..., User], client_of: Callable[..., Client]
) -> None:
    client = client_of("alpha")
    client.force_login(make_user("boss", Role.TENANT_ADMIN))
    client.handler.enforce_csrf_checks = True
    client.cookies["csrftoken"] = "a" * 32
    headers = {"Idempotency-Key": "a"}
    forged = client.post("/api/v1/ingest/till/", BODY, content_type=content_type, headers=headers)
    assert forged.status_code == 403, forged.content
    assert not Delivery.objects.exists()
    headers["X-CSRFToken"] = "a" * 32
    own = client.post("/api/v1/ingest/till/", BODY, content_type=content_type, headers=headers)
    assert own.status_code == (202 if content_type == "text/csv" else 415), own.content
