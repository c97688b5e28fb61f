"""Takes what documents are rendered from out of the demo tenants' schemas. Reads only, but for evaluations that are
wanted and were never made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.db.models import Max, Min
from django_tenants.utils import tenant_context

from forecasting import selectors
from forecasting.models import ForecastSet, GateReport, KnownFuture, ModelVersion, RollbackDrill, Series
from forecasting.models.demand import Demand
from forecasting.services.decision_log import Entry, entries
from forecasting.services.effectiveness import collect
from integrations.models import IngestBatch
from integrations.models.source import Contract, ContractState
from ledger.models import Run
from productization.documents.sources import BRIEF, DECISIONS, DRILL, EFFECTIVENESS
from tenants.errors import UnknownTenant
from tenants.models import Heartbeat, Tenant
from tenants.selectors import get_tenant

TENANTS = ("smb_tenant_a", "smb_tenant_b", "enterprise_like")
"""Whose figures the documents tell: the demo's."""


def demo_tenants() -> list[Tenant]:
    """The demo's tenants; none where not all are there, so that a part of them is never taken for the whole."""
    try:
        return [get_tenant(name) for name in TENANTS]
    except UnknownTenant:
        return []


def take_sources(tenants: list[Tenant]) -> dict[str, dict[str, Any]]:
    """The body of each source, by its file."""
    effects, logs, briefs, drills = [], [], [], []
    for tenant in tenants:
        with tenant_context(tenant):
            effects.append(asdict(collect()))
            logs.append({"schema": tenant.schema_name, "name": tenant.name, "entries": [asdict(e) for e in entries()]})
            briefs.append(_brief(tenant))
            drill = RollbackDrill.objects.first()
            if drill is not None:
                drills.append((drill.finished_at, tenant.schema_name, _drill(drill)))
    taken: dict[str, dict[str, Any]] = {
        EFFECTIVENESS: {"tenants": effects},
        DECISIONS: {"tenants": logs},
        BRIEF: {"tenants": briefs},
    }
    if drills:
        _, schema, body = max(drills, key=lambda one: one[0])
        taken[DRILL] = {"tenant": schema, "drill": body}
    return taken


_DRILL = ("outcome", "sentence", "days_to_detect", "seconds_to_detect", "seconds_to_restore", "bit_identical", "report",
          "report_sha256", "started_at", "finished_at", "asked_by_name", "reason")  # fmt: skip


def _drill(drill: RollbackDrill) -> dict[str, Any]:
    body = {name: getattr(drill, name) for name in _DRILL}
    return {**body, "started_at": drill.started_at.isoformat(), "finished_at": drill.finished_at.isoformat()}


def drill_of(body: Mapping[str, Any]) -> RollbackDrill:
    """The drill that a source keeps, as a row that is in no database."""
    from datetime import datetime

    moments = {name: datetime.fromisoformat(body[name]) for name in ("started_at", "finished_at")}
    return RollbackDrill(**{**body, **moments})


def entry_of(body: Mapping[str, Any]) -> Entry:
    """The entry of the decision log that a source keeps."""
    from datetime import datetime

    return Entry(**{
        **body,
        "at": datetime.fromisoformat(body["at"]),
        "gates": tuple(body["gates"]),
        "costs": {name: (before, after) for name, (before, after) in body["costs"].items()},
        "facts": tuple((name, value) for name, value in body["facts"]),
        "hashes": tuple((name, value) for name, value in body["hashes"]),
    })  # fmt: skip


def _brief(tenant: Tenant) -> dict[str, Any]:
    batches = IngestBatch.objects.filter(state="loaded")
    contracts = Contract.objects.filter(state=ContractState.ACTIVE).select_related("source")
    days = Demand.objects.aggregate(first=Min("date"), last=Max("date"))
    champion = selectors.current_champion()
    report = GateReport.objects.select_related("candidate__spec").order_by("-created_at").first()
    serving = ForecastSet.objects.filter(published_at__isnull=False).order_by("-published_at", "-pk").first()
    row = Heartbeat.objects.filter(schema_name=tenant.schema_name).first()
    return {
        "schema": tenant.schema_name,
        "name": tenant.name,
        "tier": tenant.tier,
        "sources": sorted({str(contract.source.get_source_type_display()) for contract in contracts}),
        "formats": sorted({file.get("format", "csv") for one in contracts for file in _files_of(one.body)}),
        "rows_read": sum(batches.values_list("rows_read", flat=True)),
        "rows_rejected": sum(batches.values_list("rows_rejected", flat=True)),
        "stores": Series.objects.values("store_id").distinct().count(),
        "products": Series.objects.values("product_id").distinct().count(),
        "series": Series.objects.count(),
        "days": (days["last"] - days["first"]).days + 1 if days["last"] else 0,
        "demand": Demand.objects.count(),
        "known_future": KnownFuture.objects.exists(),
        "champion": str(champion.version) if champion is not None else None,
        "candidate": str(report.candidate) if report is not None else None,
        "verdict": report.verdict if report is not None else None,
        "training_seconds": _training_seconds(report.candidate if report is not None else None),
        "forecasts": serving.series_count * serving.horizon if serving is not None else 0,
        "readiness": row.readiness if row is not None else None,
    }


def _files_of(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    files = body.get("files")
    found = files.values() if isinstance(files, dict) else files if isinstance(files, list) else []
    return [one for one in found if isinstance(one, dict)]


def _training_seconds(version: ModelVersion | None) -> float | None:
    run = Run.objects.filter(pk=version.run_id).first() if version is not None else None
    return run.worked_seconds if run is not None else None
