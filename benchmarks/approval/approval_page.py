"""The approval page of a request that was judged on many series, opened by a reviewer as a browser opens it."""

from __future__ import annotations

import statistics
import time
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_tenants.utils import schema_context

import benchmarks.place  # noqa: F401  # first: it sets Django up
from benchmarks.parts import Figure, Part
from forecasting.models import GateReport, PromotionRequest, RequestState
from forecasting.services import chain
from forecasting.services.policy import change_policy
from forecasting.services.promotion import approve_promotion
from tenants.roles import Role

MOST_MS, MOST_QUERIES, TIMES = 300.0, 15, 21
HORIZON = 14
PLUMBING = ("SET ", "BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")


def measure(part: Part, schema: str, *, series: int, families: list[str], named: str) -> None:
    """Train, judge and ask for a promotion by the real chain, measure its page, and approve it."""
    with schema_context(schema):
        seconds = time.perf_counter()
        outcome = chain.run_chain_inline(families=families, horizon=HORIZON)
        seconds = time.perf_counter() - seconds
        asked = PromotionRequest.objects.filter(state=RequestState.PENDING).first()
        if asked is None:
            part.text.append(f"- {named}: the gates said {outcome.verdict}, so there is no request to look at.")
            part.keep()
            return
        reviewer = _person("reviewer", Role.REVIEWER)
        report = GateReport.objects.get(pk=asked.gate_report_id)
        found = _opened(schema, reviewer, asked)
    size = f"{series:,} series"
    judged = report.evidence["holdout"]
    part.figures += [
        Figure(
            f"approval page, {size}, {named}: median of {TIMES} in ms", found["median"], MOST_MS,
            note=f"slowest {found['slowest']:.0f} ms, {found['bytes'] / 1024:.0f} KiB",
        ),
        Figure(f"approval page, {size}, {named}: queries", found["queries"], MOST_QUERIES),
    ]  # fmt: skip
    part.text.append(
        f"- {named}: {judged['series']:,} series and {judged['rows']:,} rows judged by the chain in {seconds:.0f} s."
    )
    part.facts[named] = {**found, "chain_seconds": seconds, "evidence_bytes": len(str(report.evidence))}
    part.keep()
    with schema_context(schema):
        approve_promotion(request_id=asked.pk, actor=reviewer, reason="Measured")


def open_gates(schema: str) -> None:
    """Thresholds so wide that the next candidate is asked for however it does: its page is measured, not the model."""
    with schema_context(schema):
        wide: dict[str, float] = dict.fromkeys(
            ("max_wape_ratio", "max_wrmsse_ratio", "max_winkler_ratio", "max_cost_ratio", "max_total_cost_ratio",
             "max_total_cost_ratio_with_fewer_stockouts"), 2.0,
        )  # fmt: skip
        wide |= dict.fromkeys(("bias_tolerance", "stockout_rate_tolerance", "overstock_rate_tolerance"), 1.0)
        wide |= {"coverage80_tolerance": 0.15, "min_p_lower": 0.5, "max_upper95_change": 1.0}
        admin = _person("admin", Role.TENANT_ADMIN)
        change_policy(body={"gates": wide}, actor=admin, reason="Only the page is measured")


def _person(name: str, role: Role) -> Any:
    from django.contrib.auth.models import Group, User  # after Django is set up

    person, _ = User.objects.get_or_create(username=name, defaults={"is_staff": True})
    person.groups.set(Group.objects.filter(name=role.value))
    return person


def _opened(schema: str, reviewer: Any, asked: PromotionRequest) -> dict[str, Any]:
    """The page, opened again and again in this process through every middleware; the first time is not counted."""
    client = Client(headers={"host": f"{schema.replace('_', '-')}.localhost"})
    client.force_login(reviewer)
    url = reverse("admin:forecasting_promotionrequest_change", urlconf="config.urls_tenant", args=[asked.pk])
    page = client.get(url)
    if page.status_code != 200:
        raise SystemExit(f"the page answered {page.status_code}")
    times = []
    for _ in range(TIMES):
        started = time.perf_counter()
        page = client.get(url)
        times.append(1000 * (time.perf_counter() - started))
    with CaptureQueriesContext(connection) as caught:
        client.get(url)
    queries = sum(not query["sql"].startswith(PLUMBING) for query in caught)
    return {"median": statistics.median(times), "slowest": max(times), "queries": queries, "bytes": len(page.content)}
