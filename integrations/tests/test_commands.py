"""The two commands: what they print, write and end with, for good and for bad input."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from integrations.management.progress import Progress
from integrations.models import IngestBatch
from integrations.tests.conftest import BAD, CONTRACT, GOOD, HEADER, ProbeSink, Shop, probe_rows
from ledger.models import Run
from tenants.models import Tenant
from tenants.services.provisioning import change_status

STRICT = CONTRACT[: CONTRACT.index("dq_thresholds")]


def run(command: str, *args: object) -> str:
    out = io.StringIO()
    call_command(command, *map(str, args), stdout=out)
    return out.getvalue()


def refused(command: str, *args: object) -> tuple[int, str]:
    """Exit status and message of a command that ends badly."""
    with pytest.raises(CommandError) as caught:
        run(command, *args)
    message = str(caught.value)
    assert "\n" not in message
    return caught.value.returncode, message


@pytest.fixture
def contract_path(shop: Shop) -> Path:
    return shop.folder.parent / "contract.yaml"


# No test of validate_contract asks for the database, so pytest-django lets none of them reach it.


def test_validate_contract__sound_folder__prints_counts_and_writes_the_json(
    shop: Shop, contract_path: Path, tmp_path: Path
) -> None:
    shop.write(*GOOD, *BAD)
    out = tmp_path / "report.json"
    printed = run("validate_contract", contract_path, shop.folder, "--json", out)
    assert "sales.csv" in printed and "Verdict passed" in printed and "100%" in printed
    report = json.loads(out.read_text(encoding="utf-8"))
    assert set(report) >= {"verdict", "findings", "metrics", "thresholds", "files", "units", "returned_units"}
    (counts,) = report["files"]
    assert [counts[name] for name in ("rows_read", "rows_loaded", "rows_merged", "rows_rejected")] == [5, 3, 1, 1]
    assert (report["verdict"], report["units"]) == ("passed", 10)
    assert all(set(found) == {"code", "severity", "message", "column", "rows", "fix"} for found in report["findings"])


def test_validate_contract__verdict_failed__ends_with_1_and_still_writes_the_json(
    shop: Shop, contract_path: Path, tmp_path: Path
) -> None:
    contract_path.write_text(STRICT, encoding="utf-8")
    shop.write(*GOOD, *BAD)
    out = tmp_path / "report.json"
    status, message = refused("validate_contract", contract_path, shop.folder / "sales.csv", "--json", out)
    assert status == 1 and message.startswith("Verdict failed:")
    assert json.loads(out.read_text(encoding="utf-8"))["verdict"] == "failed"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 1, "empty"),
        ((HEADER + "\n").encode(), 1, ""),
        ("\n".join((HEADER.replace(",", ";"), *(row.replace(",", ";") for row in GOOD))).encode(), 1, "delimiter"),
        ("\n".join((HEADER, *GOOD)).replace("apple", "äpfel").encode("latin-1"), 1, "UTF-8"),
        (b"PAR1 this is none", 1, "parquet"),
    ],
    ids=["empty", "headings_only", "wrong_delimiter", "not_utf8", "binary"],
)
def test_validate_contract__bad_file__says_what_to_do(
    shop: Shop, contract_path: Path, tmp_path: Path, content: bytes, status: int, said: str
) -> None:
    (shop.folder / "sales.csv").write_bytes(content)
    out = tmp_path / "report.json"
    ended, message = refused("validate_contract", contract_path, shop.folder, "--json", out)
    assert ended == status and said.lower() in message.lower()
    assert json.loads(out.read_text(encoding="utf-8"))["verdict"] != "passed"


def test_validate_contract__cell_with_line_end_and_escape_sign__is_quoted_on_one_plain_line(
    shop: Shop, contract_path: Path
) -> None:
    contract_path.write_text(STRICT, encoding="utf-8")
    shop.write(*GOOD, '2024-03-03,s1,apple,"two\n\x1b[31mlines",1')
    _, message = refused("validate_contract", contract_path, shop.folder)
    assert "two" in message and "\x1b" not in message


def test_validate_contract__broken_parquet__says_what_to_do(shop: Shop, contract_path: Path) -> None:
    text = CONTRACT.replace('{pattern: "sales*.csv", format: csv}', '{pattern: "sales*.parquet", format: parquet}')
    contract_path.write_text(text, encoding="utf-8")
    (shop.folder / "sales.parquet").write_bytes(b"PAR1 and then nothing of use PAR1")
    status, message = refused("validate_contract", contract_path, shop.folder)
    assert status == 1 and "parquet" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("contract_version: v1\nhost: example.org\n", "host"),
        ("a: &x [1]\nb: *x\n", "Write each value out"),
        ("tenant: [", "not valid YAML"),
        ("", "contract_version"),
    ],
    ids=["unknown_key", "alias", "no_yaml", "empty"],
)
def test_validate_contract__malformed_contract__names_key_and_fix(
    shop: Shop, contract_path: Path, tmp_path: Path, text: str, said: str
) -> None:
    contract_path.write_text(text, encoding="utf-8")
    shop.write(*GOOD)
    out = tmp_path / "report.json"
    status, message = refused("validate_contract", contract_path, shop.folder, "--json", out)
    assert status == 2 and said in message
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["verdict"] == "failed" and report["findings"]


def test_validate_contract__paths_that_are_wrong__end_with_2(shop: Shop, contract_path: Path, tmp_path: Path) -> None:
    assert refused("validate_contract", tmp_path / "gone.yaml", shop.folder) == (
        2,
        f"{tmp_path / 'gone.yaml'} does not exist. Check the contract's path.",
    )
    assert refused("validate_contract", tmp_path, shop.folder)[0] == 2
    status, message = refused("validate_contract", contract_path, shop.folder)
    assert status == 2 and "'sales*.csv'" in message and "no files" in message
    assert refused("validate_contract", contract_path, shop.folder / "gone.csv")[0] == 2
    shop.write(*GOOD)
    assert refused("validate_contract", contract_path, shop.folder, "--json", tmp_path / "no" / "out.json")[0] == 2


def onboard_args(shop: Shop, contract_path: Path, *more: object, schema: str = "alpha") -> tuple[object, ...]:
    return (schema, "--contract", contract_path, "--data", shop.folder, *more)


def test_onboard__sound_folder__loads_and_again_is_a_no_op(
    sink: ProbeSink, shop: Shop, contract_path: Path, tmp_path: Path
) -> None:
    shop.write(*GOOD, *BAD)
    out = tmp_path / "report.json"
    printed = run("onboard", *onboard_args(shop, contract_path, "--json", out))
    assert "3 days of 2 series" in printed and "100%" in printed
    assert json.loads(out.read_text(encoding="utf-8"))["batch"] == IngestBatch.objects.get().pk
    assert "loaded before" in run("onboard", *onboard_args(shop, contract_path, "--json", out))
    assert json.loads(out.read_text(encoding="utf-8"))["repeated"] is True
    assert len(probe_rows()) == 3


def test_onboard__dry_run_as_of_a_day__measures_the_future_from_it(
    sink: ProbeSink, shop: Shop, contract_path: Path
) -> None:
    shop.write(*GOOD)
    args = onboard_args(shop, contract_path, "--dry-run")
    assert "nothing was loaded" in run("onboard", *args, "--as-of", "2024-02-28")
    status, message = refused("onboard", *args, "--as-of", "2024-01-01")
    assert status == 1 and "days after 2024-01-01" in message
    status, message = refused("onboard", *onboard_args(shop, contract_path, "--as-of", "2024-02-28"))
    assert status == 2 and "--dry-run" in message


def test_onboard__dry_run__says_so(sink: ProbeSink, shop: Shop, contract_path: Path) -> None:
    shop.write(*GOOD)
    assert "nothing was loaded" in run("onboard", *onboard_args(shop, contract_path, "--dry-run"))
    assert not Run.objects.exists()


def test_onboard__verdict_failed__ends_with_1_and_writes_the_json(
    sink: ProbeSink, shop: Shop, contract_path: Path, tmp_path: Path
) -> None:
    contract_path.write_text(STRICT, encoding="utf-8")
    shop.write(*GOOD, *BAD)
    out = tmp_path / "report.json"
    status, message = refused("onboard", *onboard_args(shop, contract_path, "--json", out))
    assert status == 1 and message.endswith("Nothing was loaded.")
    assert json.loads(out.read_text(encoding="utf-8"))["verdict"] == "failed"
    assert probe_rows() == []


def test_onboard__wrong_usage__ends_with_2_and_writes_nothing(
    sink: ProbeSink, shop: Shop, contract_path: Path, alpha: Tenant
) -> None:
    shop.write(*GOOD)
    status, message = refused("onboard", *onboard_args(shop, contract_path, schema="nobody"))
    assert status == 2 and "'nobody'" in message and "alpha" in message
    status, message = refused("onboard", *onboard_args(shop, contract_path, schema="beta"))
    assert status == 2 and "tenant: beta" in message
    change_status(schema_name="alpha", status="suspended", reason="unpaid")
    status, message = refused("onboard", *onboard_args(shop, contract_path))
    assert status == 2 and "suspended (unpaid)" in message
    assert not Run.objects.exists() and not IngestBatch.objects.exists()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("make", [io.StringIO, Terminal])
def test_progress__a_thousand_steps__draw_a_bar_or_eleven_lines(make: Callable[[], io.StringIO]) -> None:
    out = make()
    progress = Progress(out)
    for step in range(1001):
        progress(step, 1000, "Reading")
    progress.close()
    text = out.getvalue()
    if out.isatty():
        assert text.count("\n") == 1 and "\r[" in text and "100% Reading" in text
    else:
        assert text.count("\n") == 11 and "\r" not in text and text.endswith("100% Reading\n")
