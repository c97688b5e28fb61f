"""The committed packages of the demo's dry runs are what the data and the reader give, on any day."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from config.management.commands.dry_runs import KEPT
from integrations.demo.dry_runs import DryRun, differing


def test_dry_runs__committed_packages__are_made_again_byte_for_byte(capsys):
    call_command("dry_runs", "--check")
    assert "smb_tenant_b: passed" in capsys.readouterr().out


@pytest.mark.parametrize("tenant", ["smb_tenant_a", "smb_tenant_b", "enterprise_like"])
def test_dry_runs__committed_report__accounts_for_every_row_and_unit(tenant):
    report = json.loads((KEPT / tenant / "contract_validation_report.json").read_text(encoding="utf-8"))
    totals = report["totals"]
    assert report["verdict"] == "passed"
    assert totals["rows_read"] == totals["rows_loaded"] + totals["rows_merged"] + totals["rows_rejected"] > 0
    snapshot = json.loads((KEPT / tenant / "canonical_schema_snapshot.json").read_text(encoding="utf-8"))
    assert snapshot["rows"] == report["metrics"]["demand_rows"]


def test_differing__changed_missing_and_surplus_files__are_all_named(tmp_path: Path):
    fresh, kept = tmp_path / "fresh", tmp_path / "kept"
    for folder in (fresh / "shop", kept / "shop"):
        folder.mkdir(parents=True)
        (folder / "same.json").write_text("{}")
    (fresh / "shop" / "changed.json").write_text("1")
    (kept / "shop" / "changed.json").write_text("2")
    (fresh / "shop" / "missing.json").write_text("1")
    (kept / "shop" / "surplus.json").write_text("1")
    run = DryRun("shop", "passed", 1, 0, tuple((fresh / "shop").iterdir()))
    assert {path.name for path in differing([run], kept=kept)} == {"changed.json", "missing.json", "surplus.json"}


def test_dry_runs__other_packages_kept__ends_with_what_to_do(tmp_path: Path):
    with pytest.raises(CommandError, match=r"smb_tenant_a/rejected_rows\.csv.*manage\.py dry_runs"):
        call_command("dry_runs", "--check", "--out", tmp_path)
