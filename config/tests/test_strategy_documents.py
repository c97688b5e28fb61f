"""The strategy cycle in the docs: made by a command from a tenant's own run, and whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from config.management.commands.strategy_documents import DECISION_FILE
from forecasting.models import StrategyCycle, StrategyDecision
from forecasting.services.strategy import CHART_FILE, JSON_FILE, MARKDOWN_FILE
from forecasting.services.strategy_chart import to_svg
from forecasting.services.strategy_report import to_markdown
from forecasting.tests.factories import make_person
from forecasting.tests.synthetic import load, make_demand
from tenants.roles import Role

FILES = (JSON_FILE, MARKDOWN_FILE, CHART_FILE)


def whole(folder: Path) -> dict[str, Any]:
    """The decision of a folder, after every file beside it was held to it."""
    body: dict[str, Any] = json.loads((folder / DECISION_FILE).read_text(encoding="utf-8"))
    content = {name: (folder / name).read_bytes() for name in FILES}
    assert body["files"] == {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    report = json.loads(content[JSON_FILE])
    assert content[MARKDOWN_FILE].decode() == to_markdown(report) and content[CHART_FILE].decode() == to_svg(report)
    assert body["fingerprint"] == report["window"]["fingerprint"] and body["as_of"] == report["window"]["as_of"]
    accepted, proposed = body["decisions"]
    assert (accepted["kind"], proposed["kind"]) == ("accepted", "proposed")
    assert accepted["spec_sha256"] == proposed["spec_sha256"] == report["decision"]["spec_sha256"]
    assert body["run"] and body["revision"] and accepted["reason"] and accepted["decided_by"] != "system"
    return body


def test_command__a_tenant__runs_a_cycle_decides_and_writes_what_was_kept(alpha: Any, tmp_path: Path) -> None:
    load(make_demand(stores=1, products=3))
    make_person("ann", Role.ANALYST)
    call_command(
        "strategy_documents", tenant="alpha", person="ann", families="seasonal_average", out=tmp_path, verbosity=0
    )
    body, cycle = whole(tmp_path), StrategyCycle.objects.get()
    assert (body["tenant"], body["run"], body["cycle"]) == ("alpha", str(cycle.run_id), cycle.pk)
    assert StrategyDecision.objects.filter(kind="accepted").get().decided_by_name == "ann"


def test_command__nobody_of_that_name__says_so_and_runs_nothing(alpha: Any, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="has no nobody") as caught:
        call_command("strategy_documents", tenant="alpha", person="nobody", out=tmp_path)
    assert caught.value.returncode == 2 and not StrategyCycle.objects.exists() and not list(tmp_path.iterdir())
