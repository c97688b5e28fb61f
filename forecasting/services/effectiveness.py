"""What a tenant's forecasting is worth, collected from what was measured: evaluation, gate, realised accuracy."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.core.files.storage import default_storage

from forecasting import selectors
from forecasting.models import AccuracyRecord, GateReport
from forecasting.services.evaluating import EVALUATE, evaluate_inline
from forecasting.services.gate_facts import realised_rows
from ledger.context import Listener
from ledger.errors import DomainError
from ledger.models import Run, RunState
from tenants.selectors import current_tenant

SETS_SHOWN = 8
_HOLDOUT = ("start", "end", "rows", "series", "accesses")


@dataclass(frozen=True)
class Effectiveness:
    """What is known of one tenant, as plain JSON values.

    evaluation: the report of the newest evaluation, or None with `absent["evaluation"]`. run: its id, when it ended and
    of which data. gate: the newest judgement. realised: the newest records of the version that serves (or, before
    anything serves, of the newest version that was measured). absent: part -> why it is not there.
    """

    schema: str
    name: str
    evaluation: dict[str, Any] | None = None
    run: dict[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] | None = None
    realised: list[dict[str, Any]] = field(default_factory=list)
    realised_of: str = ""
    absent: dict[str, str] = field(default_factory=dict)


def collect(*, evaluate: bool | None = None, listener: Listener | None = None) -> Effectiveness:
    """Of the schema that the connection is on.

    evaluate: True makes an evaluation anew, None only where there is none, False never. An evaluation that cannot be
    made is told, and the rest is collected.
    """
    tenant, absent = current_tenant(), {}
    if evaluate or (evaluate is None and _newest_evaluation() is None):
        try:
            evaluate_inline(listener=listener)
        except DomainError as error:
            absent["evaluation"] = str(error)
    run = _newest_evaluation()
    if run is None:
        absent.setdefault("evaluation", "Never evaluated: run manage.py evaluate, or this report with --evaluate.")
    report = GateReport.objects.select_related("candidate__spec", "champion__spec", "policy").first()
    if report is None:
        absent["gate"] = "No version was judged yet: run manage.py run_chain."
    of, realised = _realised()
    if not realised:
        absent["realised"] = "No forecast was measured on demand that came later."
    return Effectiveness(
        schema=tenant.schema_name,
        name=tenant.name,
        evaluation=None if run is None else _report_of(run),
        run={} if run is None else _made_from(run),
        gate=None if report is None else _gate(report),
        realised=realised,
        realised_of=of,
        absent=absent,
    )


def _newest_evaluation() -> Run | None:
    """The newest evaluation that ended well and kept its file."""
    ended = Run.objects.filter(kind=EVALUATE, state=RunState.SUCCEEDED).exclude(artifacts=[])
    return ended.order_by("-finished_at", "-pk").first()


def _report_of(run: Run) -> dict[str, Any]:
    with default_storage.open(run.artifacts[0]["path"], "rb") as file:
        report: dict[str, Any] = json.load(file)
    return report


def _made_from(run: Run) -> dict[str, Any]:
    return {
        "run": str(run.pk),
        "ended": run.finished_at.isoformat(timespec="seconds") if run.finished_at else "",
        "sha256": run.artifacts[0].get("sha256", ""),
        **{name: run.outputs.get(name) for name in ("as_of", "train_end", "fingerprint")},
    }


def _gate(report: GateReport) -> dict[str, Any]:
    evidence = report.evidence
    return {
        "verdict": report.verdict,
        "labels": evidence.get("labels", {}),
        "sentence": evidence.get("sentence", ""),
        "results": report.results,
        "holdout": {key: evidence.get("holdout", {}).get(key) for key in _HOLDOUT},
        "as_of": report.candidate.as_of.isoformat(),
        "fingerprint": report.candidate.evaluation_window.get("fingerprint", ""),
        "policy": report.policy.version,
        "run": str(report.run_id),
        "sha256": report.sha256,
        "judged": report.created_at.isoformat(timespec="seconds"),
    }


def _realised() -> tuple[str, list[dict[str, Any]]]:
    """Which version was measured on what it published, and its newest records."""
    served = AccuracyRecord.objects.filter(forecast_set__published_at__isnull=False)
    champion = selectors.current_champion()
    version = champion.version if champion is not None else None
    if version is None or not served.filter(version=version).exists():
        newest = served.select_related("version__spec").first()
        version = None if newest is None else newest.version
    return ("", []) if version is None else (str(version), realised_rows(version, SETS_SHOWN))
