"""How an enterprise's tenant differs from a small business' one, from the demo's own figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from productization.documents.tables import table

_SAME = [
    ("Code and process", "one code base, one web process and one worker serve every tenant"),
    ("Isolation", "a PostgreSQL schema of its own, own users, roles, files and audit chain"),
    ("Way in", "versioned data contracts; every row is loaded, merged or rejected with its reason"),
    ("Way to serve", "sealed holdout, gates, a second person's approval, rollback; the same for both"),
    ("Evidence", "runs, hashed artifacts and decisions in the tenant's own ledger"),
]
_ROWS = (
    ("Tier", "tier"), ("Sources", "sources"), ("Format of its files", "formats"), ("Rows read", "rows_read"),
    ("Rows rejected", "rows_rejected"), ("Stores", "stores"), ("Products", "products"), ("Series", "series"),
    ("Days of history", "days"), ("Rows of demand", "demand"), ("Known beyond the last sale", "known_future"),
    ("Champion", "champion"), ("Newest candidate", "candidate"), ("Verdict on it", "verdict"),
    ("Seconds of its training", "training_seconds"), ("Forecasts that serve", "forecasts"), ("Readiness", "readiness"),
)  # fmt: skip


def brief_markdown(source: Mapping[str, Any]) -> str:
    """docs/ENTERPRISE_VS_SMB_ARCHITECTURE_BRIEF.md."""
    tenants = source["tenants"]
    heads = ("", *(f"{one['name']} (`{one['schema']}`)" for one in tenants))
    rows = [(title, *(_cell(one.get(key)) for one in tenants)) for title, key in _ROWS]
    lines = [
        "# Enterprise and small business: one architecture",
        "",
        "What a tenant with many stores and one with few have in common, and where they differ. Every figure is read "
        "from the demo's tenants.",
        "",
        "## What is the same",
        "",
        *table(("", ""), _SAME),
        "",
        "## What differs",
        "",
        *table(heads, rows),
        "",
        "## What it means",
        "",
        *_meaning(tenants),
        "",
        "How it scales beyond this machine: [scaling.md](scaling.md). What a contract can express: "
        "[onboarding.md](onboarding.md).",
    ]
    return "\n".join(lines) + "\n"


def _meaning(tenants: list[Mapping[str, Any]]) -> list[str]:
    large = [one for one in tenants if one["tier"] == "enterprise"]
    small = [one for one in tenants if one["tier"] != "enterprise"]
    lines = []
    if large and small:
        most, least = max(large, key=lambda one: one["demand"]), min(small, key=lambda one: one["demand"])
        times = most["demand"] / least["demand"] if least["demand"] else 0
        lines.append(
            f"- The tier changes no code path: it proposes a kind of source in the onboarding form. {most['name']} has "
            f"{times:.1f} times the demand rows of {least['name']} in the same tables, each in its own schema."
        )
        ahead = [one["name"] for one in tenants if one["known_future"]]
        if ahead:
            lines.append(
                f"- A promotion plan or prices that are known ahead come with the contract, not with the tier: "
                f"{', '.join(ahead)} {'has' if len(ahead) == 1 else 'have'} them."
            )
    for one in tenants:
        champion, verdict = _cell(one.get("champion")), _cell(one.get("verdict"))
        lines.append(f"- {one['name']}: {champion} serves; the newest candidate is {verdict}.")
    return lines


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return str(value).replace("_", " ")
