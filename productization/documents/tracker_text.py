"""The tracker and its evidence as documents, from the record of the last verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from productization.declared import Declarations
from productization.documents.tables import table


def verification_body(verdicts: Sequence[Any], declared: Declarations, owners: Mapping[str, str]) -> dict[str, Any]:
    """What a verification found, as it is kept: states, and the hashes of artifacts. Of rendered documents no hash is
    kept, as some of them are rendered from this very record."""
    return {
        "items": [
            {
                "id": verdict.code,
                "workstream": item.workstream,
                "task": item.task,
                "owner": owners.get(verdict.code, item.owner),
                "status": verdict.status.value,
                "reason": verdict.reason,
                "evidence": [
                    {"kind": piece.kind.value, "ref": piece.ref, "state": finding.state.value,
                     "reason": finding.reason, "facts": _facts(piece.kind.value, finding.facts)}
                    for piece, finding in verdict.findings
                ],
            }
            for verdict in verdicts
            if (item := declared.item(verdict.code)) is not None
        ]
    }  # fmt: skip


_KEPT = {
    "test": ("revision", "cases"), "artifact": ("step", "command", "made_at", "revision", "files"),
    "document": ("path",),
}  # fmt: skip


def _facts(kind: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    kept = _KEPT.get(kind)
    return {key: value for key, value in facts.items() if kept is None or key in kept}


def tracker_markdown(record: Mapping[str, Any]) -> str:
    """docs/PRODUCTIZATION_TRACKER.md."""
    items = record["items"]
    done = sum(item["status"] == "done" for item in items)
    rows = [
        (item["id"], item["workstream"], item["task"], f"`{item['status']}`", _refs(item), item["owner"])
        for item in items
    ]
    lines = [
        "# Productization tracker",
        "",
        f"{done} of {len(items)} rows are done. A status is computed from its evidence by `manage.py verify_evidence`; "
        "nobody types it. What each piece proves stands in the [evidence index](PRODUCTIZATION_EVIDENCE_INDEX.md).",
        "",
        "## Status legend",
        "",
        *table(("status", "means"), _LEGEND),
        "",
        "## Tracker",
        "",
        *table(("id", "workstream", "task", "status", "evidence", "owner"), rows),
    ]
    open_rows = [item for item in items if item["status"] != "done"]
    if open_rows:
        lines += ["", "## What is not done, and why", ""]
        lines += [f"- **{item['id']}** (`{item['status']}`): {item['reason']}" for item in open_rows]
    return "\n".join(lines) + "\n"


_LEGEND = [
    ("`open`", "no evidence was looked at yet"),
    ("`in_progress`", "a piece of evidence is missing, altered, failed or stale"),
    ("`blocked`", "something outside of the project is wanting, or a person blocked it with a reason"),
    ("`done`", "every piece of evidence verifies"),
]


def _refs(item: Mapping[str, Any]) -> str:
    """Files and checks, each once; tests by their file."""
    shown = [piece["facts"].get("path", piece["ref"]).partition("::")[0] for piece in item["evidence"]]
    return ", ".join(f"`{ref}`" for ref in dict.fromkeys(shown))


def index_markdown(record: Mapping[str, Any]) -> str:
    """docs/PRODUCTIZATION_EVIDENCE_INDEX.md."""
    lines = [
        "# Evidence index",
        "",
        "Every piece of evidence that the [tracker](PRODUCTIZATION_TRACKER.md) cites, with what the last verification "
        "found. `manage.py verify_evidence` looks again.",
    ]
    for week in dict.fromkeys(item["workstream"] for item in record["items"]):
        lines += ["", f"## {week}"]
        for item in record["items"]:
            if item["workstream"] == week:
                lines += ["", f"### {item['id']}: {item['task']}", "", f"`{item['status']}`. {item['reason']}", ""]
                lines += table(
                    ("kind", "evidence", "state", "what it is"),
                    [(piece["kind"], f"`{piece['ref']}`", piece["state"], _what(piece)) for piece in item["evidence"]],
                )
    return "\n".join(lines) + "\n"


def _what(piece: Mapping[str, Any]) -> str:
    if piece["state"] != "verified":
        return str(piece["reason"])
    facts = piece["facts"]
    if piece["kind"] == "artifact":
        hashes = "; ".join(f"{name.rsplit('/', 1)[-1]} `{sha256[:12]}`" for name, sha256 in facts["files"].items())
        return f"Made by `{facts['command']}` of revision {facts['revision']}. SHA-256: {hashes}"
    if piece["kind"] == "test":
        cases = f"{facts['cases']} cases" if facts["cases"] != 1 else "passed"
        return f"{cases}, revision {facts['revision']}"
    if piece["kind"] == "document":
        return f"[{facts['path']}]({_from_docs(facts['path'])})"
    return ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in facts.items()) or "holds"


def _from_docs(path: str) -> str:
    return path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}"


def _short(value: Any) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
