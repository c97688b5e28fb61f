"""The validation as a document."""

from __future__ import annotations

from typing import Any


def as_markdown(report: dict[str, Any]) -> str:
    """The report for people; the same facts as the JSON beside it."""
    began = report["started_at"][:16].replace("T", " ")
    lines = [
        "# Runtime chain, validated in staging",
        "",
        f"Tenant `{report['tenant']}`, revision `{report['revision']}`, {began} UTC. Verdict: **{report['verdict']}**.",
        "",
        "The chain of retrain, forecast, accuracy, gate and request ran through the real queue and a real worker "
        f"({report['worker']}). It is made again with `manage.py validate_runtime_chain {report['tenant']}`; only ids "
        "and times differ.",
        "",
        f"Data fingerprint (SHA-256 of all demand): `{report['data_fingerprint']}`.",
    ]
    for one in report["passes"]:
        lines += ["", *_pass(one)]
    lines += ["", "## Over both passes", "", *_checks(report["checks"])]
    if report.get("not_done"):
        lines += ["", f"Not done: {report['not_done']}"]
    return "\n".join(lines) + "\n"


def _pass(one: dict[str, Any]) -> list[str]:
    lines = [f"## {one['name']}", ""]
    if one["killed"]:
        killed = one["killed"]
        lines += [
            f"The worker was killed (SIGKILL) during `{killed['step']}`, at {killed['progress']}. A new one began; "
            f"the reaper calls a run lost after {killed['lost_after_seconds']:g} s without a sign of life.",
            "",
        ]
    lines += [
        f"Chain `{one['chain']}`: {one['state']}. Worked {one['worked_seconds']} s, waited {one['waited_seconds']} s "
        f"in the queue, {one['elapsed_seconds']} s from start to end.",
        "",
        "| step | run | state | waited, s | worked, s | attempts | what came of it |",
        "|---|---|---|---|---|---|---|",
    ]
    for step in one["steps"]:
        words = "; ".join(step["in_words"]) or step["error"] or "–"
        lines.append(
            f"| {step['title']} | `{step['run'][:8]}` | {step['state']} | {step['queue_wait_seconds']} "
            f"| {step['worked_seconds']} | {', '.join(step['attempts'])} | {words} |"
        )
    version, verdict = one["version"], one["verdict"]
    if version is not None:
        lines += [
            "",
            f"v{version['number']} `{version['spec']}`, spec `{version['spec_sha256'][:12]}`, data until "
            f"{version['as_of']}; trained on `{version['data_fingerprint']['evaluation'][:12]}` (judged) and "
            f"`{version['data_fingerprint']['serving'][:12]}` (serves).",
        ]
    if verdict is not None:
        failed = "; ".join(f"{name}: {why}" for name, why in verdict["failed"].items())
        lines += ["", f"Verdict: {verdict['verdict']}; {len(verdict['passed'])} gates passed. {failed}".rstrip()]
    return [*lines, "", *_checks(one["checks"])]


def _checks(checks: list[dict[str, Any]]) -> list[str]:
    rows = [f"| {'yes' if one['passed'] else '**no**'} | {one['name']} | {one['detail']} |" for one in checks]
    return ["| holds | check | found |", "|---|---|---|", *rows]
