"""A model card as Markdown, for a person who has no account here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from forecasting.services.model_card import BASES

_SHOWN = {"wape": "WAPE", "bias": "Bias", "wrmsse": "wRMSSE", "coverage80": "In 80% band", "fva": "Over naive"}
_SHARES = frozenset({"wape", "bias", "coverage80", "fva"})
_GROUPS = {"by_week": "week ahead", "by_class": "demand class", "by_store": "store", "by_level": "level"}
NOT_RECORDED = "not recorded"


def card_markdown(card: Mapping[str, Any]) -> str:
    """The whole card. Texts from outside (stores, sources, reasons) cannot break its tables."""
    model = card["model"]
    parts = [
        f"# Model card: v{model['version']} {_cell(model['spec'])}",
        card["intended_use"],
        "\n".join(f"- {line}" for line in _model_lines(card)),
        "## Limits\n" + ("\n".join(f"- {_cell(one)}" for one in card["limits"]) or "- None is known."),
        "## Data\n" + _data(card),
        "## Partition\n" + _partition(card["partition"]),
        "## Features\n" + _features(card["features"]),
        *_scores(card["scores"]),
        "## Lineage\n" + "\n".join(f"- {line}" for line in _lineage(card["lineage"])),
        "## Files\n" + _table(
            ("Fit", "File", "Bytes", "SHA-256"),
            [(one["role"], one["name"], f"{one['bytes']:,}", f"`{one['sha256']}`") for one in card["artifacts"]],
        ),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _model_lines(card: Mapping[str, Any]) -> Iterator[str]:
    model, judged = card["model"], card["judgement"]
    yield f"Status: {model['status']}; made by {model['mode']}, asked for by {_cell(model['created_by'])}"
    yield f"Spec: `{model['spec_sha256']}`; horizon {model['horizon']} steps, grain {model['grain']}"
    if model["why"]:
        yield f"Why this spec: {_cell(model['why'])}"
    if judged is None:
        yield "It was not judged yet."
    else:
        failing = f" (not passed: {', '.join(judged['failing'])})" if judged["failing"] else ""
        yield f"Judged against {judged['against']} under policy v{judged['policy']}: {judged['verdict']}{failing}"


def _data(card: Mapping[str, Any]) -> str:
    data = card["data"]
    if not data:
        return "What the training data held was not recorded with this version."
    facts = [
        ("Rows (series-days)", f"{data['rows']:,}"),
        ("Series, stores, products", f"{data['series']:,}, {data['stores']:,}, {data['products']:,}"),
        ("Span", f"{data['first_day']} to {data['last_day']}"),
        ("Series with less than 28 days, less than a year", f"{data['short_history']:,}, {data['under_a_year']:,}"),
        ("Sold-out days", f"{data['stocked_out']:,}"),
        ("Country of the holidays", data["country"] or "none"),
        ("Known ahead", ", ".join(data["regressors"]["known_future"]) or "nothing"),
        ("Demand classes", ", ".join(f"{name} {n:,}" for name, n in card["classes"].items()) or NOT_RECORDED),
    ]
    return _table(("What", "Value"), facts)


def _partition(partition: Mapping[str, Any]) -> str:
    rows = []
    for name, title in (("judged_fit", "Judged fit"), ("serving_fit", "Serving fit")):
        window = partition[name]
        sealed = f"{window['holdout_start']} to {window['holdout_end']}" if window.get("holdout_start") else "none"
        rows.append((title, f"{window['train_start']} to {window['train_end']}", sealed, f"`{window['fingerprint']}`"))
    return _table(("Fit", "Learns from", "Sealed holdout", "Fingerprint"), rows)


def _features(families: list[dict[str, Any]]) -> str:
    lines = []
    for family in families:
        lines.append(f"### {family['family']}")
        if family["features"]:
            rows = [(one["group"], one["meaning"], f"`{one['name']}`") for one in family["features"]]
            lines.append(_table(("Group", "Meaning", "Name"), rows))
        else:
            told = "; ".join(f"{k.replace('_', ' ')}: {v}" for k, v in family["setting"].items())
            lines.append(_cell(told) or "It sees the series' own sales alone.")
    return "\n\n".join(lines) or "None was recorded."


def _scores(scores: Mapping[str, Any]) -> Iterator[str]:
    for basis, title in BASES.items():
        found = scores[basis]
        if found is None:
            yield f"## Scores: {title}\nNot scored."
            continue
        rows = [("all", "", *_figures(found["overall"]))]
        for group, what in _GROUPS.items():
            rows += [(what, _cell(name), *_figures(row)) for name, row in (found.get(group) or {}).items()]
        yield f"## Scores: {title}\n" + _table(("Of", "", *_SHOWN.values(), "n"), rows)


def _figures(row: Mapping[str, Any]) -> tuple[str, ...]:
    cells = []
    for name in _SHOWN:
        value = (row.get(name) or {}).get("value")
        if not isinstance(value, int | float):
            cells.append("–")
        else:
            cells.append(f"{value * 100:.1f}%" if name in _SHARES else f"{value:.3f}")
    return (*cells, str((row.get("wape") or {}).get("n", "–")))


def _lineage(lineage: Mapping[str, Any]) -> Iterator[str]:
    if not lineage["recorded"]:
        yield "Batches, contracts and code were not recorded with this version."
        return
    for row in lineage["contracts"]:
        yield f"Contract {_cell(row['source'])} v{row['version']} (`{row['sha256'][:12]}`)"
    shown = lineage["batches"][:20]
    for row in shown:
        told = f"{row['source']} under v{row['contract']}" if row["known"] else "no longer known"
        yield f"Batch {row['batch']} ({_cell(told)}): {row['rows']:,} rows, {row['first_day']} to {row['last_day']}"
    more = len(lineage["batches"]) - len(shown) + int(lineage["earlier_batches"].get("batches") or 0)
    if more:
        yield f"and {more:,} further batches"
    code = lineage["code"] or {}
    yield (
        f"Code: revision {code.get('revision') or NOT_RECORDED}, package {code.get('package')}, "
        f"engine `{str(code.get('engine_sha256'))[:12]}`, Python {code.get('python')}"
    )
    yield "Libraries: " + (", ".join(f"{k} {v}" for k, v in sorted(lineage["libraries"].items())) or NOT_RECORDED)
    champion = lineage["follows"].get("champion")
    if champion:
        yield f"Champion when it was trained: v{champion['version']}"
    if lineage["follows"].get("strategy_decision"):
        yield f"Strategy decision: {lineage['follows']['strategy_decision']}"
    if lineage["reason"]:
        yield f"Reason: {_cell(lineage['reason'])}"


def _table(heads: tuple[str, ...], rows: list[Any]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows)])


def _cell(value: Any) -> str:
    """A text on one line that is neither a table's bar nor markup of ours."""
    text = " ".join(str(value).split())
    return text.replace("|", "\\|").replace("<", "&lt;")
