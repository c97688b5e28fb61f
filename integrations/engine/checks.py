"""From counts to findings: thresholds, references, and what only the figures themselves give away."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from integrations.engine.contract import DataContract
from integrations.engine.contract_model import NUMERIC_FIELDS, DedupePolicy, Grain
from integrations.engine.dates import EPOCH
from integrations.engine.findings import Finding, adapter, error, warning
from integrations.engine.headings import ColumnPlan
from integrations.engine.pieces import Pieces
from integrations.engine.rows import MAX_REJECTED, REASONS, Tally

Metrics = dict[str, float | int | str | None]
_SEVERAL = re.compile(r"\s*[-+]?\d+([.,]\d+)?(\s*[;|/]\s*[-+]?\d+([.,]\d+)?)+\s*")
_NESTED = re.compile(r"\s*[\[{].*[\]}]\s*", re.DOTALL)
_NUMBER_REASONS = ("not_a_number", "number_out_of_range", "not_whole", "not_true_or_false")
_DATE_REASONS = ("not_a_date", "ambiguous_date", "date_implausible")
_YES = frozenset(
    ("1", "j", "ja", "y", "yes", "x", "true", "t", "s", "si", "sí", "sì", "sim", "oui", "o", "tak", "evet")
)
_YEAR = 365.25


def check_tally(contract: DataContract, plan: ColumnPlan, tally: Tally, name: str, metrics: Metrics) -> list[Finding]:
    """The findings of one transactions or covariates file. Fills `metrics` with the observed rates."""
    if not tally.read:
        return [error("no_rows", f"{name} has headings and no rows.", fix="Export it again for a period with sales.")]
    limits = contract.dq_thresholds
    findings: list[Finding] = []
    source = plan.columns.get
    for field in ("date", *(n for n in (*NUMERIC_FIELDS, *contract.extra_regressors) if source(n))):
        column = source(field, field)
        reasons = _DATE_REASONS if field == "date" else _NUMBER_REASONS
        bad = tally.bad(column, *reasons) + tally.ragged
        success = 1 - bad / tally.read
        key = "date_parse_success" if field == "date" else f"{field}_parse_success"
        _worst(metrics, key, success, min)
        limit = limits.min_date_parse_success if field == "date" else limits.min_quantity_parse_success
        if success < limit:
            findings.append(_unreadable(contract, tally, name, field, column, bad, success, limit))
    ambiguous = tally.bad(source("date", "date"), "ambiguous_date")
    if ambiguous:
        findings.append(
            error(
                "ambiguous_date",
                f"{name}: {ambiguous:,} dates could be read two ways, such as {_example(tally, source('date'))}.",
                column=source("date"),
                rows=ambiguous,
                fix="Set date_format to the exact order, such as %d/%m/%Y or %m/%d/%Y.",
            )
        )
    nulls = {field: tally.empty[field] for field in ("date", "store_id", "product_id", "quantity") if source(field)}
    for field, count in nulls.items():
        rate = count / tally.read
        _worst(metrics, "required_null_rate", rate, max)
        if rate > limits.max_required_null_rate and contract.fill_for(field) is None:
            fix = "Fill the cells in, or raise max_required_null_rate if these rows may be left out."
            observed = f"{rate:.2%}, allowed are {limits.max_required_null_rate:.2%}"
            message = f"{name}: {source(field)} is empty in {count:,} rows ({observed})."
            findings.append(error("max_required_null_rate", message, column=source(field), rows=count, fix=fix))
    return findings + _watched(contract, tally, name, plan) + rejected_findings(tally, name)


def _worst(metrics: Metrics, key: str, value: float, pick: Any) -> None:
    known = metrics.get(key)
    metrics[key] = round(value if known is None else pick(known, value), 6)


def _example(tally: Tally, column: str | None) -> str:
    texts = tally.examples.get(column or "", [])
    return f"'{texts[0]}'" if texts else "the first one"


def _unreadable(
    contract: DataContract, tally: Tally, name: str, field: str, column: str, bad: int, success: float, limit: float
) -> Finding:
    texts = tally.examples.get(column, [])
    for pattern, code, what in (
        (_SEVERAL, "several_records_in_one_cell", "several figures in one cell"),
        (_NESTED, "nested_values", "lists or records inside its cells"),
    ):
        if field != "date" and texts and sum(bool(pattern.fullmatch(text)) for text in texts) * 2 > len(texts):
            return adapter(
                code,
                f"{name}: {column} holds {what}, such as '{texts[0]}'.",
                column=column,
                rows=bad,
                fix="Export one row per store, product and day, with one figure in each cell.",
            )
    shown = f", such as {_example(tally, column)}" if texts else ""
    broken = f" {tally.ragged:,} of these rows are no rows. {REASONS[tally.ragged_reason]}" if tally.ragged else ""
    if field == "date":
        fix = f"The contract says date_format: {contract.date_format}; set it to how the file writes dates."
        code, what = "min_date_parse_success", "dates"
    else:
        fix = "Check decimal, thousands and delimiter of this file, or mend the cells."
        code, what = "min_quantity_parse_success", "figures"
    message = f"{name}: {bad:,} {what} in {column} cannot be read ({success:.2%} can, {limit:.2%} must){shown}.{broken}"
    return error(code, message, column=column, rows=bad, fix=fix)


def _watched(contract: DataContract, tally: Tally, name: str, plan: ColumnPlan) -> list[Finding]:
    findings = []
    for kind, values in tally.watched.items():
        column, shown = plan.watched[kind], ", ".join(sorted(values)[:5])
        if kind == "void":
            if len(values) > 1 or {value.lower() for value in values} & _YES:
                message = (
                    f"{name}: {column} seems to mark cancelled rows ({shown}). It is not read: they count as sales."
                )
                fix = "If they should not count, export without them, or with a type of transaction for each row."
                findings.append(warning("cancelled_rows_count", message, column=column, fix=fix))
        elif len(values) > 1:
            what = "currencies" if kind == "currency" else "companies"
            fix = "Export one file for each of them."
            findings.append(
                adapter(f"several_{what}", f"{name}: {column} mixes {what}: {shown}.", column=column, fix=fix)
            )
        elif kind == "currency" and values and shown.upper() != contract.currency:
            message = f"{name} is in {shown}, the contract says {contract.currency}."
            fix = f"Set currency: {shown.upper()} if that is right."
            findings.append(error("currency_differs", message, column=column, fix=fix))
    return findings


def rejected_findings(tally: Tally, name: str) -> list[Finding]:
    """One warning per reason for rows that were left out, and an error when they are too many to keep."""
    counts: list[tuple[str, str, int]] = [(column, why, count) for (column, why), count in tally.reasons.items()]
    if tally.ragged:
        counts.append(("", tally.ragged_reason, tally.ragged))
    findings = [
        warning(
            f"rejected_{why}",
            f"{name}: {count:,} rows are left out. {REASONS[why]}",
            column=column or None,
            rows=count,
            fix="Download the list of rejected rows, mend them in the source, and send the file again.",
        )
        for column, why, count in sorted(counts)
    ]
    if tally.rejected_count > MAX_REJECTED:
        message = (
            f"{name}: {tally.rejected_count:,} rows are rejected, more than the {MAX_REJECTED:,} that can be kept."
        )
        findings.append(error("too_many_rejected", message, rows=tally.rejected_count, fix="Mend the file first."))
    return findings


def check_references(
    contract: DataContract, plan: ColumnPlan, tally: Tally, name: str, metrics: Metrics
) -> list[Finding]:
    """Stores and products that the reference files do not know."""
    findings = []
    limits = contract.dq_thresholds
    for kind, limit in (
        ("store", limits.max_store_ref_missing_rate),
        ("product", limits.max_product_ref_missing_rate),
    ):
        column = plan.columns[f"{kind}_id"]
        count = tally.bad(column, f"unknown_{kind}")
        rate = count / max(tally.read, 1)
        _worst(metrics, f"{kind}_ref_missing_rate", rate, max)
        if rate > limit:
            message = (
                f"{name}: {count:,} rows name a {kind} that the {kind}s file lacks ({rate:.2%}, allowed {limit:.2%})."
            )
            fix = f"Add it to the {kind}s file, or raise max_{kind}_ref_missing_rate."
            findings.append(error(f"max_{kind}_ref_missing_rate", message, column=column, rows=count, fix=fix))
    return findings


def check_line_breaks(field: str, broken: Sequence[str]) -> list[Finding]:
    """Identifiers that reach over a line's end: a quote that closes in a later row swallows what is between."""
    if not broken:
        return []
    message = f"Some values of {field} reach over the end of a line, such as '{broken[0][:60]}'."
    fix = "Look for a quote that is opened in one row and closed in another: the rows between are read as one value."
    return [warning("line_break_in_id", message, column=field, fix=fix)]


def check_dates(
    contract: DataContract, row_days: dict[int, int], as_of: date | None, metrics: Metrics
) -> list[Finding]:
    """Days too far ahead of `as_of` (or none), too far behind it, and weekly dates on different weekdays."""
    if not row_days:
        return []
    days = sorted(row_days)
    oldest, newest = (date.fromordinal(day + EPOCH) for day in (days[0], days[-1]))
    reference = as_of or newest
    ahead, years = (newest - reference).days, (reference - oldest).days / _YEAR
    metrics |= {"oldest_date": oldest.isoformat(), "newest_date": newest.isoformat(), "days": len(days)}
    metrics |= {"future_days": max(ahead, 0), "history_years": round(max(years, 0.0), 3)}
    limits, findings = contract.dq_thresholds, []
    if ahead > limits.max_future_days:
        last = reference.toordinal() - EPOCH + limits.max_future_days
        rows = sum(count for day, count in row_days.items() if day > last)
        message = (
            f"Sales are dated up to {newest}, {ahead} days after {reference}; {limits.max_future_days} are allowed."
        )
        findings.append(error("max_future_days", message, rows=rows, fix="Correct these dates, or raise the limit."))
    if years > limits.max_history_years:
        first = reference.toordinal() - EPOCH - int(limits.max_history_years * _YEAR)
        rows = sum(count for day, count in row_days.items() if day < first)
        message = (
            f"Sales reach from {oldest} to {reference}: {years:.1f} years, {limits.max_history_years:g} are allowed."
        )
        fix = "Correct the dates that are far off, or send a shorter history."
        findings.append(error("max_history_years", message, rows=rows, fix=fix))
    weekdays = {(day + EPOCH) % 7 for day in days}
    if contract.grain is Grain.WEEKLY and len(weekdays) > 1:
        message = f"The contract says weekly, but the dates fall on {len(weekdays)} different weekdays."
        findings.append(
            error("weekly_dates_differ", message, fix="Date each week by its last day, or set grain: daily.")
        )
    return findings


def check_duplicates(contract: DataContract, repeated: int, read: int, metrics: Metrics) -> list[Finding]:
    """Rows whose store, product and day occurred before."""
    rate = repeated / max(read, 1)
    metrics["duplicate_rate"] = round(rate, 6)
    if rate <= contract.max_duplicate_rate:
        return []
    what = {
        DedupePolicy.SUM: "If several rows a day are normal (till lines), set max_duplicate_rate: 1",
        DedupePolicy.KEEP_LAST: "Send each store, product and day once, or raise max_duplicate_rate",
        DedupePolicy.REJECT: "If several rows a day belong together, set dedupe_policy: sum",
    }[contract.dedupe_policy]
    share = f"({rate:.2%}, allowed are {contract.max_duplicate_rate:.2%})"
    message = f"{repeated:,} rows repeat a store, product and day {share}."
    return [error("max_duplicate_rate", message, rows=repeated, fix=f"{what}.")]


def check_counters(demand: Pieces) -> list[Finding]:
    """Figures that only ever rise, in nearly every series of at least 14 days, are a counter's reading, not sales."""
    counting = long = 0
    for piece in demand:
        of_piece = _counting(piece)
        counting, long = counting + of_piece[0], long + of_piece[1]
    if not long or counting < 0.9 * long:
        return []
    return [
        adapter(
            "cumulative_counter",
            "The quantity never falls from one day to the next: it looks like a running total, not sales per day.",
            column="quantity",
            rows=demand.num_rows,
            fix="Export the units sold on each day instead of the total so far.",
        )
    ]


def _counting(piece: pa.Table) -> tuple[int, int]:
    """How many series of at least 14 days only ever rise, and how many there are."""
    stores = piece["store_id"].combine_chunks().indices.to_numpy().astype(np.int64)
    series = stores << 32 | piece["product_id"].combine_chunks().indices.to_numpy()
    starts = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), series[1:] != series[:-1])))
    long = np.diff(np.append(starts, len(series))) >= 14
    if not long.any():
        return 0, 0
    inner = np.concatenate((np.zeros(1, np.bool_), series[1:] == series[:-1]))
    steps = np.concatenate((np.zeros(1), np.diff(piece["quantity"].to_numpy())))
    falls = np.add.reduceat((inner & (steps < 0)).astype(np.int64), starts)
    rises = np.add.reduceat((inner & (steps > 0)).astype(np.int64), starts)
    return int(np.count_nonzero((falls == 0) & (rises >= 10) & long)), int(np.count_nonzero(long))
