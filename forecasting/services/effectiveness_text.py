"""The effectiveness report as Markdown, from what was collected; what is undefined is a dash, and told why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forecasting.services.effectiveness import Effectiveness

DASH = "–"
MIXED = ("ensemble", "chosen")
SCORES = {
    "wape": "WAPE", "bias": "bias", "wrmsse": "wRMSSE", "mase": "MASE", "scrps": "sCRPS", "winkler80": "Winkler80",
    "coverage80": "in 80%", "coverage95": "in 95%", "fva": "FVA",
}  # fmt: skip
MOST_RATIO, NEAR = 1.0, 0.03
OPEN, CLOSE = "<!-- made from -->", "<!-- /made from -->"


@dataclass(frozen=True)
class Aim:
    """What should be reached, and whether it is; `reached` is None where the value is undefined."""

    what: str
    value: float | None
    aim: str
    reached: bool | None

    @property
    def line(self) -> str:
        """As a line of a table."""
        verdict = {True: "reached", False: "**missed**", None: "**not known**"}[self.reached]
        return f"| {self.what} | {number(self.value, 4)} | {self.aim} | {verdict} |"


def markdown(tenants: Sequence[Effectiveness], figures: Sequence[Mapping[str, Any]], made: Sequence[str]) -> str:
    """The whole report. figures: of benchmarks/results.json. made: lines of the header that change from run to run."""
    aims = [aim for tenant in tenants for aim in tenant_aims(tenant)]
    lines = ["# How well the forecasts work", "", OPEN, *made, *_sources(tenants), CLOSE, "", *_INTRODUCTION]
    lines += _missed(aims, figures)
    lines += ["", "## The tenants at a glance", "", *_glance(tenants)]
    for tenant in tenants:
        lines += ["", *_tenant(tenant)]
    lines += ["", "## Speed, memory and accuracy in benchmarks", "", *_benchmarks(figures)]
    return "\n".join(lines) + "\n"


def lasting(text: str) -> str:
    """The report without the header that says what it was made from."""
    before, _, rest = text.partition(OPEN)
    return before + rest.partition(CLOSE)[2]


def number(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash."""
    return DASH if value is None else f"{value:.{digits}f}"


_INTRODUCTION = [
    "Every figure below was measured: on rolling origins before the sealed holdout (`manage.py evaluate`: families "
    "train before their origin; weights, choice and intervals come from the other origins), on the sealed holdout "
    "itself (the gate), and on demand that came after a forecast was published (realised accuracy). A dash is an "
    "undefined score; the reason stands below its table. Scores are defined in [evaluation.md](evaluation.md).",
]


# --- aims -------------------------------------------------------------------------------------------------------------


def best_single(report: Mapping[str, Any]) -> tuple[str, float] | None:
    """The family with the least WAPE among those that forecast every row that the choice forecast."""
    rows = {line["name"]: line["scores"]["rows"] for line in report["contenders"]}
    found = [
        (wape, line["name"])
        for line in report["contenders"]
        if line["name"] not in MIXED and rows[line["name"]] == rows.get("chosen")
        and (wape := line["scores"]["overall"]["wape"]["value"]) is not None
    ]  # fmt: skip
    return (min(found)[1], min(found)[0]) if found else None


def _overall(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The overall scores of a contender; none where it is not in the report."""
    found = (line["scores"]["overall"] for line in report["contenders"] if line["name"] == name)
    return dict(next(found, {}))


def ratio_to_best(report: Mapping[str, Any], name: str) -> float | None:
    """WAPE of a contender divided by that of the best single; None where either is undefined."""
    best, wape = best_single(report), _overall(report, name).get("wape", {}).get("value")
    return None if best is None or wape is None or not best[1] > 0 else wape / best[1]


def tenant_aims(tenant: Effectiveness) -> list[Aim]:
    """What a tenant's evaluation is held to."""
    if tenant.evaluation is None:
        return [Aim(f"{tenant.schema}: an evaluation", None, "made", None)]
    chosen = _overall(tenant.evaluation, "chosen")
    ratio = ratio_to_best(tenant.evaluation, "chosen")
    inside = chosen.get("coverage80", {}).get("value")
    fva = chosen.get("fva", {}).get("value")
    return [
        Aim(
            f"{tenant.schema}: chosen ÷ best single family, WAPE", ratio, f"≤ {MOST_RATIO:.2f}",
            None if ratio is None else ratio <= MOST_RATIO + 1e-12,
        ),
        Aim(
            f"{tenant.schema}: share inside the 80% interval", inside, f"0.80 ± {NEAR}",
            None if inside is None else abs(inside - 0.8) <= NEAR,
        ),
        Aim(f"{tenant.schema}: FVA over seasonal naive", fva, "> 0", None if fva is None else fva > 0),
    ]  # fmt: skip


def _missed(aims: Sequence[Aim], figures: Sequence[Mapping[str, Any]]) -> list[str]:
    """What does not reach its aim, first and plainly."""
    short = [f"- {aim.what}: {number(aim.value, 4)}, to reach {aim.aim}." for aim in aims if not aim.reached]
    low = [one for one in figures if one["reached"] is False]
    short += [f"- {one['name']}: {number(one['value'], 4)}, to reach {_bound(one)}." for one in low]
    if not short:
        return ["", "## Where it does not reach its aims", "", "Every aim that is measured is reached."]
    return ["", "## Where it does not reach its aims", "", *short]


def _bound(figure: Mapping[str, Any]) -> str:
    return f"{'≤' if figure['better'] == 'lower' else '≥'} {figure['to_reach']:g}"


# --- parts ------------------------------------------------------------------------------------------------------------


def _sources(tenants: Sequence[Effectiveness]) -> list[str]:
    """Which run, day and data each part was made from."""
    lines = ["", "| tenant | part | run | ended | as of | data fingerprint |", "|---|---|---|---|---|---|"]
    for one in tenants:
        if one.run:
            cells = (one.run["run"], one.run["ended"], one.run["as_of"], one.run["fingerprint"])
            lines.append(f"| {one.schema} | evaluation | {' | '.join(str(cell) for cell in cells)} |")
        if one.gate is not None:
            cells = (one.gate["run"], one.gate["judged"], one.gate["as_of"], one.gate["fingerprint"])
            lines.append(f"| {one.schema} | gate | {' | '.join(str(cell) for cell in cells)} |")
    return lines


def _glance(tenants: Sequence[Effectiveness]) -> list[str]:
    lines = [
        "| tenant | series | best single | its WAPE | ensemble | chosen | chosen ÷ best | in 80% | newest verdict |",
        "|---|--:|---|--:|--:|--:|--:|--:|---|",
    ]
    for one in tenants:
        verdict = DASH if one.gate is None else one.gate["verdict"]
        if one.evaluation is None:
            lines.append(f"| {one.schema} | {' | '.join([DASH] * 7)} | {verdict} |")
            continue
        best = best_single(one.evaluation)
        chosen, ensemble = (_overall(one.evaluation, name) for name in ("chosen", "ensemble"))
        cells = [
            DASH if best is None else best[0], number(None if best is None else best[1]),
            *(number(scores.get("wape", {}).get("value")) for scores in (ensemble, chosen)),
            number(ratio_to_best(one.evaluation, "chosen"), 4), number(chosen.get("coverage80", {}).get("value")),
        ]  # fmt: skip
        lines.append(f"| {one.schema} | {one.evaluation['series']:,} | {' | '.join(cells)} | {verdict} |")
    return lines


def _tenant(one: Effectiveness) -> list[str]:
    lines = [f"## {one.schema}: {one.name}", ""]
    lines += [f"No evaluation: {one.absent['evaluation']}"] if one.evaluation is None else _evaluation(one.evaluation)
    if one.evaluation is not None:
        lines += ["", *_HELD, *(aim.line for aim in tenant_aims(one))]
    lines += ["", "### The newest judgement on the sealed holdout", ""]
    lines += [one.absent["gate"]] if one.gate is None else _gate(one.gate)
    lines += ["", "### Realised accuracy in service", ""]
    return lines + ([one.absent["realised"]] if not one.realised else _realised(one))


_HELD = ["| aim | value | to reach | |", "|---|--:|--:|---|"]


def _evaluation(report: Mapping[str, Any]) -> list[str]:
    window, lines = report["window"], list(report["contenders"])
    step = {"D": "days", "W": "weeks"}[report["grain"]]
    classes = ", ".join(f"{count:,} {name}" for name, count in sorted(report["classes"].items()))
    out = [
        f"{report['series']:,} series ({classes}); {len(report['origins'])} origins of {report['horizon']} {step} "
        f"until {window['train_end']}; {window['holdout_start']} to {window['holdout_end']} stayed sealed. A search on "
        f"all of these origins proposes **{report['proposed']['spec']}**: {report['proposed']['reason']}.",
        "",
    ]
    notes: list[str] = []
    rows = []
    for line in lines:
        cells = [_cell(line["scores"]["overall"], name, line["name"], notes) for name in SCORES]
        rows.append([line["name"], *cells, f"{line['scores']['rows']:,}", f"{line['declined']['series']:,}"])
    out += _table(["", *SCORES.values(), "rows", "series declined"], rows, notes)
    for title, group in (("demand class", "by_class"), ("week ahead", "by_week")):
        for score in ("wape", "coverage80"):
            out += ["", f"### {SCORES[score]} by {title}", "", *_grouped(lines, group, score)]
    return out


def _grouped(lines: Sequence[Mapping[str, Any]], group: str, score: str) -> list[str]:
    names = {name for line in lines for name in line["scores"][group]}
    ordered = sorted(names, key=lambda name: (int(name) if name.isdecimal() else 0, name))
    notes: list[str] = []
    rows = [
        [line["name"], *(_cell(line["scores"][group].get(n), score, f"{line['name']}, {n}", notes) for n in ordered)]
        for line in lines
    ]
    return _table(["", *ordered], rows, notes)


def _cell(scores: Mapping[str, Any] | None, name: str, whose: str, notes: list[str]) -> str:
    """A score; where it is undefined a dash, and its reason among the notes."""
    found: Mapping[str, Any] = {"reason": "no rows"} if scores is None else scores.get(name, {})
    value: float | None = found.get("value")
    if value is None:
        notes.append(f"{whose}, {SCORES[name]}: {found.get('reason', 'not computed')}")
    return number(value)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], notes: Sequence[str]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", "|---" + "|--:" * (len(heads) - 1) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return lines + (["", f"{DASH}: " + "; ".join(notes) + "."] if notes else [])


def _gate(gate: Mapping[str, Any]) -> list[str]:
    labels, holdout = gate["labels"], gate["holdout"]
    sides = [f"{labels.get(side, DASH)} ({labels.get(f'{side}_spec', DASH)})" for side in ("candidate", "champion")]
    lines = [
        f"{' against '.join(sides)}, {holdout['start']} to {holdout['end']}, {holdout['series']} series, "
        f"{holdout['rows']} rows, opened {holdout['accesses']} time(s), policy v{gate['policy']}: "
        f"**{gate['verdict']}**. {gate['sentence']}",
        "",
        "| gate | champion | candidate | threshold | | reason |",
        "|---|--:|--:|--:|---|---|",
    ]
    for result in gate["results"]:
        cells = [_value(result.get(key)) for key in ("champion", "candidate", "threshold")]
        passed = "passed" if result["passed"] else "**failed**"
        lines.append(f"| {result['name']} | {' | '.join(cells)} | {passed} | {result['reason'] or ''} |")
    return lines


def _value(value: Any) -> str:
    return number(value) if value is None or isinstance(value, float) else str(value)


def _realised(one: Effectiveness) -> list[str]:
    lines = [
        f"{one.realised_of}, newest first:", "",
        "| origin | measured until | days | rows | WAPE | seasonal naive | bias | in 80% |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for row in one.realised:
        scores = [number(row[key]) for key in ("wape", "wape_naive", "bias", "coverage80")]
        lines.append(f"| {row['origin']} | {row['until']} | {row['days']} | {row['rows']:,} | {' | '.join(scores)} |")
    return lines


def _benchmarks(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    if not figures:
        return ["Not measured here: run `make bench`."]
    lines = ["How they were made: [benchmarks/RESULTS.md](../benchmarks/RESULTS.md).", "",
             "| figure | value | to reach | |", "|---|--:|--:|---|"]  # fmt: skip
    for one in figures:
        verdict = {True: "reached", False: "**missed**", None: ""}[one["reached"]]
        bound = "" if one["to_reach"] is None else _bound(one)
        lines.append(f"| {one['name']} | {number(one['value'], 4)} | {bound} | {verdict} |")
    return lines
