"""Checks of what runs: each asks the database (or the declarations in the code) and answers with a finding.

They read the customers that serve, and write nothing. What cannot be asked is a finding, not a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from forecasting.models import DrillOutcome, PromotionRequest, RequestState, RollbackDrill, StrategyDecision
from forecasting.models.strategy import DecisionKind
from integrations.services.runbook import runbook_text
from ledger.errors import DomainError
from ledger.models import Run, RunState
from ledger.services.verify import verify_chain
from productization.proof.evidence import Finding, State
from productization.proof.markdown import headings
from productization.proof.verify import Check
from tenants.models import Dispatch, EntryOutcome
from tenants.selectors import missing_tables, serving_schemas
from tenants.services.slo_text import slo_document
from tenants.slos import SLOS

DRILL_DAYS, DECISION_DAYS = 31, 183
_NOBODY = Finding(State.MISSING, "No tenant is on trial or active: run manage.py demo.")


def live_checks() -> dict[str, Check]:
    """Every check by the name that evidence cites it by; none raises."""
    return {name: _safely(check) for name, check in _CHECKS.items()}


def readiness_tables() -> Finding:
    """Every serving tenant's schema holds every table it should and every migration of this code."""
    schemas = serving_schemas()
    if not schemas:
        return _NOBODY
    lacking = missing_tables(*schemas)
    if lacking:
        name, tables = next(iter(lacking.items()))
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        return Finding(State.FAILED, f"{name}{more} lack tables, such as {tables[0]}: run manage.py migrate_fleet.")
    behind = _behind(schemas)
    if behind:
        return Finding(
            State.FAILED, f"Not at the newest migration: {', '.join(behind[:5])}. Run manage.py migrate_fleet."
        )
    return Finding(State.VERIFIED, facts={"schemas": len(schemas)})


def _behind(schemas: list[str]) -> list[str]:
    """Schemas that miss a migration of an app that stands in tenants, in one query."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    labels = {name.rpartition(".")[2] for name in settings.TENANT_APPS}
    wanted = sorted(f"{app}.{name}" for app, name in loader.disk_migrations if app in labels)
    tables = [f"{connection.ops.quote_name(schema)}.django_migrations" for schema in schemas]
    parts = " UNION ALL ".join(
        f"SELECT {index}, count(DISTINCT app || '.' || name) FROM {table} "  # noqa: S608  # quoted names
        "WHERE app || '.' || name = ANY(%(wanted)s)"
        for index, table in enumerate(tables)
    )
    with connection.cursor() as cursor:
        cursor.execute(parts, {"wanted": wanted})
        return [schemas[index] for index, applied in cursor.fetchall() if applied < len(wanted)]


def slo_published() -> Finding:
    """The published service levels are those that the code measures by."""
    found = _published("docs/OPERATIONS_SLO.md", slo_document())
    return found or Finding(State.VERIFIED, facts={"service_levels": len(SLOS)})


def runbook_published() -> Finding:
    """The published runbook has every trigger of the code, with its steps."""
    return _published("docs/INTEGRATION_INCIDENT_RUNBOOK.md", runbook_text()) or Finding(State.VERIFIED)


def _published(where: str, text: str) -> Finding | None:
    path = settings.BASE_DIR / where
    if not path.is_file():
        return Finding(State.MISSING, f"{where} is not published: run manage.py render_docs.")
    kept = path.read_text(encoding="utf-8")
    if set(headings(text)) - set(headings(kept)) or not _lines(text) <= _lines(kept):
        return Finding(State.FAILED, f"{where} is not what the code says: run manage.py render_docs.")
    return None


def _lines(text: str) -> set[str]:
    return {line for line in text.splitlines() if line.strip()}


def drill_recent() -> Finding:
    """A rollback drill passed in some tenant within the last month."""
    newest: tuple[datetime, str, str] | None = None
    for schema in serving_schemas():
        with schema_context(schema):
            drill = RollbackDrill.objects.only("finished_at", "outcome").first()
        if drill is not None and (newest is None or drill.finished_at > newest[0]):
            newest = (drill.finished_at, drill.outcome, schema)
    if newest is None:
        return Finding(State.MISSING, "No drill was ever run: run manage.py rollback_drill SCHEMA.")
    at, outcome, schema = newest
    facts = {"tenant": schema, "finished_at": at.isoformat(timespec="seconds")}
    if outcome != DrillOutcome.PASSED:
        return Finding(State.FAILED, f"The newest drill, of {schema}, did not pass.", facts)
    if timezone.now() - at > timedelta(days=DRILL_DAYS):
        return Finding(State.STALE, f"The newest drill is more than {DRILL_DAYS} days old: run another.", facts)
    return Finding(State.VERIFIED, facts=facts)


def dispatch_fan_out() -> Finding:
    """The newest dispatch to several tenants reached each, and each did its own run."""
    asked = Dispatch.objects.filter(schedule="")[:20]
    made = next((one for one in asked if one.entries.filter(outcome=EntryOutcome.QUEUED).count() > 1), None)
    if made is None:
        return Finding(State.MISSING, "No job was dispatched to several tenants: run manage.py dispatch KIND.")
    entries = list(made.entries.all())
    facts = {"dispatch": made.pk, "kind": made.kind, "tenants": len(entries)}
    lost = [one.schema_name for one in entries if one.outcome in (EntryOutcome.FAILED, EntryOutcome.REFUSED)]
    if lost:
        return Finding(State.FAILED, f"Dispatch {made.pk} did not reach {', '.join(lost)}.", facts)
    waiting, failed = [], []
    for one in entries:
        if one.run_id is None:
            continue
        with schema_context(one.schema_name):
            run = Run.objects.filter(pk=one.run_id).first()
        if run is None or run.state in (RunState.FAILED, RunState.CANCELLED, RunState.LOST):
            failed.append(one.schema_name)
        elif run.state != RunState.SUCCEEDED:
            waiting.append(one.schema_name)
    if failed:
        return Finding(State.FAILED, f"Its run did not succeed in {', '.join(failed)}.", facts)
    if waiting:
        return Finding(State.MISSING, f"Its run has not ended in {', '.join(waiting)}: start a worker.", facts)
    return Finding(State.VERIFIED, facts=facts)


def strategy_decided() -> Finding:
    """A person decided on a strategy cycle, with a reason, within the last half year."""
    since = timezone.now() - timedelta(days=DECISION_DAYS)
    for schema in serving_schemas():
        with schema_context(schema):
            made = StrategyDecision.objects.exclude(kind=DecisionKind.PROPOSED).filter(created_at__gt=since).first()
        if made is not None:
            return Finding(State.VERIFIED, facts={"tenant": schema, "mode": made.mode, "spec": made.spec_sha256})
    return Finding(
        State.MISSING, f"Nobody decided on a strategy cycle in {DECISION_DAYS} days: run strategy_documents."
    )


def promotion_gated() -> Finding:
    """A promotion was approved by another person than asked, on a report whose gates all passed."""
    for schema in serving_schemas():
        with schema_context(schema):
            request = PromotionRequest.objects.filter(state=RequestState.APPROVED).select_related("gate_report").first()
        if request is not None and all(gate["passed"] for gate in request.gate_report.results):
            facts = {"tenant": schema, "asked": request.requested_by_name, "approved": request.decided_by_name}
            return Finding(State.VERIFIED, facts={**facts, "evidence": request.evidence_hash})
    return Finding(State.MISSING, "No promotion was approved on a report whose gates all passed.")


def audit_intact() -> Finding:
    """The hash chains of the platform and of every serving tenant are whole."""
    counted = 0
    for schema in [get_public_schema_name(), *serving_schemas()]:
        with schema_context(schema):
            report = verify_chain()
        if not report.intact:
            return Finding(State.FAILED, f"The audit trail of {schema} is broken: run manage.py verify_ledger.")
        counted += 1
    return Finding(State.VERIFIED, facts={"schemas": counted})


_CHECKS: dict[str, Callable[[], Finding]] = {
    "readiness_tables": readiness_tables,
    "slo_published": slo_published,
    "runbook_published": runbook_published,
    "drill_recent": drill_recent,
    "dispatch_fan_out": dispatch_fan_out,
    "strategy_decided": strategy_decided,
    "promotion_gated": promotion_gated,
    "audit_intact": audit_intact,
}


def _safely(check: Callable[[], Finding]) -> Check:
    def ask() -> Finding:
        try:
            with transaction.atomic(), schema_context(get_public_schema_name()):
                return check()
        except (DatabaseError, DomainError, OSError) as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            return Finding(State.FAILED, f"It could not be asked: {first}")

    return ask
