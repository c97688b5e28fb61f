"""What a watched chain came to: each step with its times, what it made, checks that nothing was lost or doubled."""

from __future__ import annotations

import subprocess
from typing import Any

from django.conf import settings

from config.staging.chain import Pass
from forecasting.models import AccuracyRecord, ForecastSet, GateReport, HoldoutAccess, ModelVersion, PromotionRequest
from forecasting.services.chain import GATE, REQUEST, next_step
from forecasting.services.loading import window_fingerprint
from forecasting.services.windows import plan_window
from ledger.jobs import job_title, what_came
from ledger.models import Run, RunState
from ledger.services.verify import verify_chain


def revision() -> str:
    """The commit that runs, with a mark where files differ from it; "unknown" outside of a checkout."""
    try:
        described = subprocess.run(  # fixed words
            ["git", "describe", "--always", "--abbrev=12", "--dirty"],  # noqa: S607  # wherever git is
            cwd=settings.BASE_DIR, capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()


def data_fingerprint() -> str:
    """SHA-256 of the content of all demand of the current tenant."""
    return window_fingerprint(plan_window(mode="serving"))


def evidence_of(done: Pass) -> dict[str, Any]:
    """A pass as plain JSON values, with its checks."""
    tree = done.tree
    version = ModelVersion.objects.select_related("spec").filter(run_id=tree.root.pk).first()
    checks = _checks(done, version)
    return {
        "name": done.name,
        "chain": str(tree.root.pk),
        "correlation_id": str(tree.root.correlation_id),
        "state": tree.state,
        "worked_seconds": round(tree.worked_seconds, 2),
        "waited_seconds": round(tree.waited_seconds, 2),
        "elapsed_seconds": round(tree.elapsed_seconds or 0.0, 2),
        "killed": done.killed,
        "steps": [_step(run) for run in tree.runs],
        "version": _version(version),
        "verdict": _verdict(tree.runs),
        "checks": checks,
        "passed": all(check["passed"] for check in checks),
    }


def _step(run: Run) -> dict[str, Any]:
    return {
        "kind": run.kind,
        "title": job_title(run.kind),
        "run": str(run.pk),
        "state": run.state,
        "queued_at": run.first_queued_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "queue_wait_seconds": round(run.waited_seconds, 2),
        "worked_seconds": round(run.worked_seconds or 0.0, 2),
        "attempts": [entry["outcome"] for entry in run.attempts_log],
        "error": run.error,
        "outputs": run.outputs,
        "in_words": [one.text for one in what_came(run)],
    }


def _version(version: ModelVersion | None) -> dict[str, Any] | None:
    if version is None:
        return None
    serving = version.manifest.get("serving", {})
    return {
        "number": version.number,
        "spec": version.spec.label,
        "spec_sha256": version.spec.sha256,
        "as_of": version.as_of.isoformat(),
        "data_fingerprint": {
            "evaluation": version.evaluation_window.get("fingerprint"),
            "serving": version.serving_window.get("fingerprint"),
        },
        "libraries": serving.get("libraries") or serving.get("versions") or {},
        "files": _files(version),
    }


def _files(version: ModelVersion) -> dict[str, str]:
    rows = version.artifacts.order_by("role", "name").values_list("role", "name", "sha256")
    return {f"{role}/{name}": sha256 for role, name, sha256 in rows}


def _verdict(runs: list[Run]) -> dict[str, Any] | None:
    gate = next((run for run in runs if run.kind == GATE and run.state == RunState.SUCCEEDED), None)
    report = GateReport.objects.filter(run_id=gate.pk).first() if gate is not None else None
    if report is None:
        return None
    passed = [one["name"] for one in report.results if one["passed"]]
    failed = {one["name"]: one["reason"] for one in report.results if not one["passed"]}
    return {"verdict": report.verdict, "passed": passed, "failed": failed, "report_sha256": report.sha256}


def _checks(done: Pass, version: ModelVersion | None) -> list[dict[str, Any]]:
    runs = done.tree.runs
    kinds = [run.kind for run in runs]
    last = runs[-1]
    checks = [
        _check("every step succeeded", all(run.state == RunState.SUCCEEDED for run in runs),
               ", ".join(f"{job_title(run.kind)}: {run.state}" for run in runs)),
        _check("the chain came to its end", next_step(last.kind, last.outputs) is None, job_title(last.kind)),
        _check("each step is one run", len(kinds) == len(set(kinds)), f"{len(kinds)} runs, {len(set(kinds))} kinds"),
        _check("one version was made", ModelVersion.objects.filter(run_id=done.root.pk).count() == 1, _label(version)),
        _check("the audit trail is whole", verify_chain().intact, "hash chain verified"),
    ]  # fmt: skip
    if version is not None:
        checks += _counted(version, runs)
    if done.killed:
        killed = Run.objects.get(pk=done.killed["run"])
        outcomes = [entry["outcome"] for entry in killed.attempts_log]
        good = outcomes == [RunState.LOST, RunState.SUCCEEDED]
        checks.append(_check("the killed step was lost and done again", good, ", ".join(outcomes)))
    else:
        once = all(len(run.attempts_log) == 1 for run in runs)
        checks.append(_check("every step was done at the first attempt", once, f"{len(runs)} steps"))
    return checks


def _counted(version: ModelVersion, runs: list[Run]) -> list[dict[str, Any]]:
    """That what the steps wrote is there once."""
    of = {run.kind: run for run in runs}
    sets = ForecastSet.objects.filter(version=version).count()
    checks = [_check("one set of forecasts was made", sets == 1, f"{sets} of {version.label}")]
    if GATE in of:
        reports = GateReport.objects.filter(run_id=of[GATE].pk).count()
        opened = HoldoutAccess.objects.filter(candidate=version).count()
        said = f"{reports} report(s), {opened} opening(s)"
        checks.append(_check("one judgement, one opening of the holdout", reports == 1 and opened == 1, said))
    asked, expected = PromotionRequest.objects.filter(candidate=version).count(), 0
    if REQUEST in of:
        expected = int(of[REQUEST].outputs.get("request") is not None)
    checks.append(_check("a request exactly where the last step says so", asked == expected, f"{asked} request(s)"))
    doubled = AccuracyRecord.objects.filter(forecast_set__version=version)
    ends = list(doubled.values_list("forecast_set", "actuals_until"))
    checks.append(_check("no day was measured twice", len(ends) == len(set(ends)), f"{len(ends)} record(s)"))
    return checks


def compared(passes: list[dict[str, Any]], before: str, after: str) -> list[dict[str, Any]]:
    """Checks over the passes: the data stayed as it was, and a kill changed no byte of the model."""
    checks = [_check("the data stayed as they were", before == after, before)]
    if len(passes) == 2 and all(one["version"] for one in passes):
        first, second = (one["version"] for one in passes)
        same = {name for name in first["files"] if first["files"][name] == second["files"].get(name)}
        said = f"{len(same)} of {len(first['files'])} files are the same bytes; spec {first['spec']}"
        whole = first["spec_sha256"] == second["spec_sha256"] and first["files"] == second["files"]
        checks.append(_check("the killed chain made the same model", whole, said))
    return checks


def _label(version: ModelVersion | None) -> str:
    return version.label if version is not None else "none"


def _check(name: str, passed: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "passed": bool(passed), "detail": detail}
