"""The decision log: every decision once, with its evidence; the same data give the same bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from forecasting.models import ChampionAssignment, Decision, PromotionRequest
from forecasting.services import champions
from forecasting.services.decision_log import Entry, entries
from forecasting.services.decision_text import log_csv, log_markdown
from forecasting.services.policy import change_policy
from forecasting.services.promotion import reject_promotion, withdraw_promotion
from forecasting.services.strategy_decisions import decide_strategy
from forecasting.tests.factories import make_candidate, make_pending_request, make_person, promote
from forecasting.tests.strategy_sample import make_cycle
from tenants.models import Tenant
from tenants.roles import Role

ClientOf = Callable[..., Client]


@pytest.fixture
def decided(alpha: Tenant) -> PromotionRequest:
    """One decision of every kind; returns the approved request."""
    first = promote(make_candidate(family="lightgbm"))
    decider, admin = make_person("decider", Role.REVIEWER), make_person("admin", Role.TENANT_ADMIN)
    reject_promotion(
        request_id=make_pending_request(make_candidate(family="prophet")).pk, actor=decider, reason="=2+2 is too risky"
    )
    own = make_pending_request(make_candidate(family="seasonal_naive"))
    withdraw_promotion(request_id=own.pk, actor=own.requested_by, reason="Found | a mistake")
    make_pending_request(make_candidate(family="prophet", seed=2))
    change_policy(body={"gates": {"min_p_lower": 0.9}}, actor=admin, reason="Surer")
    champions.assign(version=make_candidate(family="lightgbm", mode="refresh"), kind="refresh", reason="Newer data")
    champions.assign(version=first.version, kind="rollback", reason="Errors doubled", actor=decider)
    cycle = make_cycle(by=make_person("ann", Role.ANALYST))
    proposed = cycle.decisions.get(kind="proposed").point
    decide_strategy(cycle_id=cycle.pk, point=proposed, actor=make_person("ann", Role.ANALYST), reason="Simplest")
    assert first.request is not None
    return first.request


def test_entries__every_kind_of_decision__once_in_order_with_who_and_why(decided: PromotionRequest) -> None:
    log = list(entries())
    assert [(one.kind, one.who) for one in log] == [
        ("promotion.approved", "decider"), ("promotion.rejected", "decider"), ("promotion.withdrawn", "asker"),
        ("promotion.lapsed", "the policy"), ("policy.changed", "admin"), ("refresh", "system"), ("rollback", "decider"),
        ("strategy.decided", "ann"),
    ]  # fmt: skip
    assert [one.sequence for one in log] == sorted(one.sequence for one in log)
    assert all(one.reason for one in log)


def test_entries__approval__has_gates_costs_and_the_hashes_it_was_bound_to(decided: PromotionRequest) -> None:
    one = next(entries())
    hashes = dict(one.hashes)
    assert len(one.gates) == len(decided.gate_report.results) and one.verdict == "eligible"
    before, after = one.costs["total_cost"]
    assert before == 2000.0 and after == pytest.approx(1900.0)
    assert hashes["Evidence that it was bound to"] == decided.evidence_hash
    assert hashes["Gate report"] == decided.gate_report.sha256
    assert hashes["Spec of v1"] == decided.candidate.spec.sha256
    assert hashes["v1 serving/manifest.json"] == decided.candidate.artifacts.get(role="serving").sha256


def test_log__same_data__same_bytes_and_tables_that_hold(decided: PromotionRequest) -> None:
    log: list[Entry] = list(entries())
    text = log_markdown([("Alpha", log)])
    assert text == log_markdown([("Alpha", list(entries()))])
    assert "| total_cost | yes | 2,000 | 1,900 |" in text and "-5.0%" in text
    assert "Found \\| a mistake" in text, "a bar in a reason does not break the table"
    assert "gates.min_p_lower | 0.8 → 0.9" in text
    assert log_markdown([("Alpha", [])]).endswith("Nothing was decided yet.\n")


def test_csv__reason_that_looks_like_a_formula__is_text(decided: PromotionRequest) -> None:
    rows = list(csv.DictReader(io.StringIO(log_csv(entries()))))
    assert len(rows) == 8 and rows[1]["why"] == "'=2+2 is too risky"
    assert rows[0]["evidence_hash"] == decided.evidence_hash


def test_pages__list_filter_detail_and_export__for_everybody_in_the_tenant(
    decided: PromotionRequest, client_of: ClientOf
) -> None:
    client = client_of("alpha", make_person("vera", Role.VIEWER))
    url = reverse("admin:forecasting_decision_changelist")
    text = client.get(url).content.decode()
    assert "Promotion approved" in text and "Gate policy changed" in text and "Rolled back" in text
    only = client.get(f"{url}?decision=rollback").context["cl"].result_count
    assert only == 1 and client.get(f"{url}?q=Surer").context["cl"].result_count == 1
    row = Decision.objects.get(event="promotion.approved")
    page = client.get(reverse("admin:forecasting_decision_change", args=[row.pk])).content.decode()
    assert decided.evidence_hash in page and "Does it lower the total cost of stock?" in page
    told = client.get(reverse("admin:forecasting_decision_export", args=["csv"]) + "?decision=refresh")
    assert told["Content-Type"].startswith("text/csv") and len(told.content.decode().splitlines()) == 2
    assert client.get(reverse("admin:forecasting_decision_export", args=["md"])).content.startswith(b"# Production")


def test_page__event_that_is_no_decision__is_not_there(decided: PromotionRequest, client_of: ClientOf) -> None:
    asked = ChampionAssignment.objects.earliest("pk")
    assert asked.request_id is not None, "what a person approved stands in their decision, not twice"
    assert not Decision.objects.filter(event="champion.assigned", subject_id=str(asked.pk)).exists()
    assert not Decision.objects.filter(event="promotion.requested").exists()


def test_command__tenants__writes_the_log_and_the_strategy(decided: PromotionRequest, tmp_path: Path) -> None:
    out = tmp_path / "docs" / "LOG.md"
    call_command("export_decision_log", tenants="alpha", out=out)
    first = out.read_bytes()
    call_command("export_decision_log", tenants="alpha", out=out)
    assert out.read_bytes() == first and b"## Alpha" in first
    (strategy,) = (tmp_path / "docs").glob("MODEL_STRATEGY_DECISION_*.md")
    assert "Strategy decided" in strategy.read_text() and "Simplest" in strategy.read_text()
    with pytest.raises(CommandError):
        call_command("export_decision_log", tenants="nobody", out=out)
