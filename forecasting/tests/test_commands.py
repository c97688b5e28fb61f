"""The commands: exit statuses, one clear line, whole files or none, and the exact columns."""

from __future__ import annotations

import csv
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from forecasting.management.commands._shared import write_json
from forecasting.management.commands.run_chain import Command as RunChain
from forecasting.models import Series
from forecasting.services.chain import ChainOutcome
from forecasting.services.exporting import COLUMNS
from forecasting.services.publishing import forecast_version
from forecasting.tests.factories import make_candidate, promote
from forecasting.tests.synthetic import FIRST, LAST, load, make_demand, train

HEADER = "store_id,product_id,origin_date,target_date,horizon,yhat,lo80,hi80,lo95,hi95,family,model_version"


def refused(status: int, *args: Any, **options: Any) -> str:
    """The message of a command that ends with `status`."""
    with pytest.raises(CommandError) as caught:
        call_command(*args, **options)
    assert caught.value.returncode == status
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_run_chain__gate_says_no__status_1_and_the_json_is_whole(alpha, tmp_path, capsys):
    load(make_demand(stores=2, products=4))
    out = tmp_path / "chain.json"
    message = refused(1, "run_chain", "alpha", families="seasonal_naive", json=out)
    assert "beats_naive" in message
    outcome = json.loads(out.read_text())
    assert outcome["tenant"] == "alpha" and outcome["verdict"] == "blocked" and outcome["request"] is None
    assert outcome["request_reason"] == message
    assert set(outcome["scores"]) == {"wape", "wape_naive", "coverage80"}
    assert outcome["forecasts"] == 112 and outcome["version"] == 1 and outcome["seconds"]["retrain"] > 0
    said = capsys.readouterr()
    assert "Retrain   0%" in said.err and "v1 single_seasonal_naive; verdict blocked" in said.out


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        ({"families": "arima"}, 2, "Known: seasonal_naive"),
        ({"families": ""}, 2, "Known:"),
        ({"as_of": LAST + timedelta(days=3)}, 2, str(LAST)),
        ({"mode": "refresh"}, 2, "no champion"),
        ({"horizon": 3}, 2, "protection interval of 7 days"),
        ({"horizon": 70}, 1, "days are needed"),
        ({"as_of": FIRST + timedelta(days=20)}, 1, "days are needed"),
    ],
)
def test_run_chain__cannot_be_done__says_what_to_do(alpha, options, status, says):
    load(make_demand(stores=1, products=1))
    assert says in refused(status, "run_chain", "alpha", **options)


def test_run_chain__no_demand_or_unknown_tenant_or_folder__one_line(alpha, tmp_path):
    assert "onboard" in refused(1, "run_chain", "alpha")
    assert "alpha" in refused(2, "run_chain", "nobody")
    assert "does not exist" in refused(2, "run_chain", "alpha", json=tmp_path / "no" / "x.json")


def test_run_chain__every_day_stocked_out__0_usable_series(alpha):
    load(make_demand(stores=1, products=1, on_hand_qty=[0.0] * 150))
    assert "0 usable series" in refused(1, "run_chain", "alpha", families="seasonal_naive")


def test_run_chain__date_that_is_none__wrong_usage(alpha):
    with pytest.raises(CommandError, match="no date"):
        call_command("run_chain", "alpha", "--as-of", "31.05.2017")


def test_export_forecasts__csv_and_parquet__exact_columns_and_every_digit(alpha, tmp_path):
    load(make_demand(stores=1, products=2))
    version = train(horizon=7)
    made = forecast_version(ctx=None, version=version)
    text, table = tmp_path / "f.csv", tmp_path / "f.parquet"
    for target in (text, table):
        call_command("export_forecasts", "alpha", "--out", str(target), "--version", "candidate", verbosity=0)
    assert text.read_text().splitlines()[0] == HEADER == ",".join(COLUMNS)
    rows = list(csv.DictReader(text.open()))
    stored = pq.read_table(table)
    assert stored.column_names == list(COLUMNS) and stored.num_rows == len(rows) == 14
    assert (rows[0]["origin_date"], rows[0]["target_date"]) == (str(LAST), str(LAST + timedelta(days=1)))
    path = made.paths.get(series__product_id="P1")
    mine = [row for row in stored.to_pylist() if row["product_id"] == "P1"]
    assert [row["yhat"] for row in mine] == path.yhat and [row["hi95"] for row in mine] == path.hi95
    assert [float(row["lo80"]) for row in rows if row["product_id"] == "P1"] == path.lo80
    assert {row["model_version"] for row in mine} == {1} and {row["family"] for row in mine} == {"seasonal_naive"}


def test_export_forecasts__identifiers_that_look_like_formulas__are_defused_in_csv_only(alpha, tmp_path):
    bad, quoted = "=HYPERLINK(1)", 'a,"b"\nc'
    keys = [(bad, "-2+3"), (quoted, "P1")]
    series = [Series.objects.create(store_id=store, product_id=product) for store, product in keys]
    make_candidate(series=series)
    text, table = tmp_path / "f.csv", tmp_path / "f.parquet"
    for target in (text, table):
        call_command("export_forecasts", "alpha", "--out", str(target), "--version", "1", verbosity=0)
    with text.open(newline="") as file:
        stores = {(row["store_id"], row["product_id"]) for row in csv.DictReader(file)}
    assert stores == {("'" + bad, "'-2+3"), (quoted, "P1")}
    assert set(pq.read_table(table)["store_id"].to_pylist()) == {bad, quoted}


def test_export_forecasts__as_of__what_served_on_that_day(alpha, tmp_path):
    load(make_demand(stores=1, products=2))
    champion = train(as_of=LAST - timedelta(days=7))
    forecast_version(ctx=None, version=champion, origin=champion.as_of)
    promote(champion)
    forecast_version(ctx=None, version=champion)
    out = tmp_path / "f.parquet"
    call_command("export_forecasts", "alpha", "--out", str(out), verbosity=0)
    assert pq.read_table(out)["origin_date"][0].as_py() == LAST
    call_command("export_forecasts", "alpha", "--out", str(out), as_of=LAST - timedelta(days=1), verbosity=0)
    assert pq.read_table(out)["origin_date"][0].as_py() == LAST - timedelta(days=7)
    assert "Nothing served" in refused(2, "export_forecasts", "alpha", out=out, as_of=LAST - timedelta(days=30))


def test_export_forecasts__nothing_to_export__status_2_and_no_file(alpha, tmp_path):
    out = tmp_path / "f.csv"
    assert "no champion" in refused(2, "export_forecasts", "alpha", out=out)
    assert "candidate" in refused(2, "export_forecasts", "alpha", out=out, model_version="candidate")
    assert "'17'" in refused(2, "export_forecasts", "alpha", out=out, model_version="17")
    assert "nobody" in refused(2, "export_forecasts", "nobody", out=out)
    assert ".parquet" in refused(2, "export_forecasts", "alpha", out=tmp_path / "f.xlsx")
    assert "does not exist" in refused(2, "export_forecasts", "alpha", out=tmp_path / "no" / "f.csv")
    assert "cannot be written to" in refused(2, "export_forecasts", "alpha", out=Path("/proc/f.csv"))
    assert list(tmp_path.iterdir()) == []


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Let no file of this process grow beyond ``room`` bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["f.csv", "f.parquet"])
def test_export_forecasts__disk_fills_while_writing__status_2_and_the_old_file_stays(alpha, tmp_path, name):
    make_candidate()
    out = tmp_path / name
    out.write_text("of yesterday")
    with full_disk(room=64):
        message = refused(2, "export_forecasts", "alpha", out=out, model_version="1", verbosity=0)
    assert f"{out} could not be written (" in message
    assert list(tmp_path.iterdir()) == [out] and out.read_text() == "of yesterday"


def test_write_json__disk_fills__status_2_and_no_file(tmp_path):
    with full_disk(room=64), pytest.raises(CommandError, match="could not be written") as caught:
        write_json(tmp_path / "chain.json", {"run": "x" * 200})
    assert caught.value.returncode == 2 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("request_id", [None, 9])
def test_run_chain__eligible__says_why_no_request_was_made_where_none_was(request_id):
    told = StringIO()
    scores = {"wape": 0.3, "wape_naive": 0.4, "coverage80": None}
    outcome = ChainOutcome(
        run="r", mode="search", as_of="2017-05-31", version=2, spec="single_lightgbm", verdict="eligible", gates=[],
        scores=scores, scores_of="holdout", forecasts=14, series=1, request=request_id,
        request_reason="v1 is waiting for a decision already.", champion=None, seconds={"total": 1.0},
    )  # fmt: skip
    RunChain(stdout=told)._report(outcome)
    said = "no request was made: v1 is waiting for a decision already." in told.getvalue()
    assert said == (request_id is None) and not outcome.refused


@pytest.mark.parametrize("command", ["run_chain", "export_forecasts"])
def test_commands__target_is_a_device_or_pipe__is_refused_and_stays(alpha, tmp_path, command):
    pipe = tmp_path / "f.csv"
    os.mkfifo(pipe)
    assert "not a file" in refused(2, command, "alpha", **{"json" if command == "run_chain" else "out": pipe})
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_export_forecasts__target_is_a_link__the_file_behind_it_is_written(alpha, tmp_path):
    make_candidate()
    link, real = tmp_path / "f.csv", tmp_path / "real.csv"
    link.symlink_to(real)
    call_command("export_forecasts", "alpha", "--out", str(link), "--version", "1", verbosity=0)
    assert link.is_symlink() and real.read_text().startswith(HEADER)
