"""One tenant with something on every admin page, for the tests of the pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from forecasting.models import AccuracyRecord, ForecastSet, HoldoutAccess, PromotionRequest, StrategyCycle
from forecasting.tests import factories
from forecasting.tests.drill_world import make_drill
from forecasting.tests.replay_sample import make_replay_rows
from forecasting.tests.shadow_sample import make_chain, make_standing
from forecasting.tests.strategy_sample import make_cycle
from forecasting.tests.synthetic import make_contract
from integrations.engine.contract import contract_sha256
from integrations.models import (
    ApiToken,
    BatchFile,
    Contract,
    Delivery,
    DeliveryFile,
    DriftItem,
    IngestBatch,
    OnboardingDraft,
    RejectedRow,
    SftpConnection,
    Source,
    WebhookDelivery,
)
from integrations.services.drafts import create_draft
from integrations.services.incidents import open_incident
from integrations.services.tokens import issue_token
from integrations.services.webhook_sending import send_test
from integrations.services.webhooks import create_endpoint
from ledger.models import Run
from tenants.roles import Role


@dataclass(frozen=True)
class World:
    """What was made."""

    people: dict[Role, User]
    pending: PromotionRequest
    token: ApiToken
    batch: IngestBatch
    draft: Contract
    running: Run
    failed: Run
    onboarding: OnboardingDraft
    cycle: StrategyCycle
    hook: WebhookDelivery

    @property
    def analyst(self) -> User:
        return self.people[Role.ANALYST]

    @property
    def reviewer(self) -> User:
        return self.people[Role.REVIEWER]

    @property
    def admin(self) -> User:
        return self.people[Role.TENANT_ADMIN]


def make_world(series_count: int = 6) -> World:
    """Champion v1, candidate v2 with a pending request, data, runs, a token and one person of each role."""
    people = {role: factories.make_person(f"the-{role.value}", role) for role in Role}
    series = factories.make_series(series_count)
    factories.make_demand(series=series, days=60)
    factories.promote(factories.make_candidate(family="seasonal_naive", series=series))
    candidate = factories.make_candidate(series=series, created_by=people[Role.ANALYST])
    pending = factories.make_pending_request(candidate, requester=people[Role.ANALYST])
    served = ForecastSet.objects.get(version__number=1)
    AccuracyRecord.objects.create(
        version=served.version, forecast_set=served, actuals_until=date(2026, 4, 10), days=10, rows=60, wape=0.31,
        wape_naive=0.38, scores={**factories.score_set(1.0).to_json(), "sums": {}},
    )  # fmt: skip
    running, failed = _runs()
    make_chain()
    make_standing(candidate, served.version)
    HoldoutAccess.objects.create(
        candidate=candidate, run_id=running.pk, holdout_start=date(2026, 3, 4), holdout_end=date(2026, 3, 31)
    )
    batch, draft = _delivery()
    token, _ = issue_token(
        name="Ordering",
        user=people[Role.VIEWER],
        expires_at=timezone.now() + timedelta(days=9),
        actor=people[Role.TENANT_ADMIN],
    )
    onboarding = create_draft(
        title="Webshop", source_type="smb_csv", country_code="DE", currency="EUR", time_zone="Europe/Berlin",
        actor=people[Role.TENANT_ADMIN],
    )  # fmt: skip
    make_drill()
    make_replay_rows(people[Role.ANALYST])
    cycle = make_cycle(by=people[Role.ANALYST])
    hook = _hook(people[Role.TENANT_ADMIN])
    return World(people, pending, token, batch, draft, running, failed, onboarding, cycle, hook)


def _hook(admin: User) -> WebhookDelivery:
    open_incident(trigger="stale_source", subject="pos", summary="pos brought nothing for two days.")
    endpoint, _ = create_endpoint(
        name="Ordering", url="https://hooks.example.com/forecourt?key=abc", events=["promotion.approved"], actor=admin
    )
    return send_test(endpoint_id=endpoint.pk, actor=admin)


def _runs() -> tuple[Run, Run]:
    now = timezone.now()
    common: dict[str, Any] = {"started_at": now - timedelta(minutes=2), "heartbeat_at": now, "attempt": 1}
    running = Run.objects.create(
        kind="forecasting.forecast", idempotency_key="running", state="running", progress_done=30, progress_total=120,
        progress_message="Forecasting", **common,
    )  # fmt: skip
    failed = Run.objects.create(
        kind="integrations.ingest", idempotency_key="failed", state="failed", error="sales.csv is empty.",
        finished_at=now, **common,
    )  # fmt: skip
    return running, failed


def _delivery() -> tuple[IngestBatch, Contract]:
    source = Source.objects.create(name="pos", source_type="smb_csv", state="active")
    body, changed = (make_contract(**changes).model_dump(mode="json") for changes in ({}, {"currency": "EUR"}))
    contract = Contract.objects.create(
        source=source, version=1, body=body, sha256=contract_sha256(make_contract()), state="active"
    )
    draft = Contract.objects.create(source=source, version=2, body=changed, sha256="b" * 64)
    counts = {"rows_read": 10, "rows_loaded": 8, "rows_merged": 0, "rows_rejected": 2}
    finding = {
        "code": "no_quantity",
        "severity": "warning",
        "message": "2 rows",
        "column": "qty",
        "rows": 2,
        "fix": "Fill",
    }
    batch = IngestBatch.objects.create(
        source=source, contract=contract, fingerprint="c" * 64, state="loaded",
        report={"verdict": "passed", "findings": [finding], "metrics": {"bad_row_rate": 0.2}, "thresholds": {}},
        **counts,
    )  # fmt: skip
    file = BatchFile.objects.create(
        batch=batch, role="transactions", name="sales.csv", sha256="d" * 64, bytes=99, **counts
    )
    for line, raw in ((3, "=cmd|' /C calc'!A0;1"), (7, "+1;2")):
        RejectedRow.objects.create(batch_file=file, line=line, column="qty", reason="quantity is empty", raw=raw)
    delivery = Delivery.objects.create(
        source=source, via="upload", state="loaded", content_sha256="e" * 64, batch=batch, contract=contract
    )
    DeliveryFile.objects.create(delivery=delivery, role="transactions", name="sales.csv", sha256="d" * 64, bytes=99)
    held = Delivery.objects.create(
        source=source, via="sftp", state="held", content_sha256="f" * 64, problem="New column"
    )
    DeliveryFile.objects.create(delivery=held, role="transactions", name="more.csv", sha256="0" * 64, bytes=99)
    new = {"role": "transactions", "kind": "new", "column": "weather", "before": None, "after": "text", "field": None}
    DriftItem.objects.create(
        source=source, delivery=held, contract=contract, changes=[new], columns={"transactions": {"weather": "text"}}
    )
    SftpConnection.objects.create(source=source, host="sftp.example.com", username="shop")
    return batch, draft
