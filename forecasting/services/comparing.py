"""Two versions side by side: scores with what is better, and every difference of spec, features, data and gates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from forecasting.models import AccuracyRecord, ForecastSet, GateReport, ModelVersion
from forecasting.services.model_card import BASES, features_of, overall_of

TITLES = {
    "wape": "Error (WAPE)", "wrmsse": "wRMSSE", "mase": "MASE", "bias": "Bias", "coverage80": "Inside the 80% band",
    "coverage95": "Inside the 95% band", "winkler80": "Winkler 80", "scrps": "sCRPS", "fva": "Value over naive",
    "total_cost": "Total cost", "cost_stockout": "Cost of stockouts", "cost_overstock": "Cost of overstock",
    "lost_sales_qty": "Lost sales (units)", "stockout_miss_rate": "Stockout rate", "overstock_rate": "Overstock rate",
}  # fmt: skip
SHARES = frozenset({"wape", "bias", "coverage80", "coverage95", "fva", "stockout_miss_rate", "overstock_rate"})
HIGHER = frozenset({"fva"})
NOMINAL = {"bias": 0.0, "coverage80": 0.80, "coverage95": 0.95}
"""Scores that are best at a value, from either side. All others but HIGHER are better the lower they are."""
ACCURACY = tuple(name for name in TITLES if name not in {
    "total_cost", "cost_stockout", "cost_overstock", "lost_sales_qty", "stockout_miss_rate", "overstock_rate",
})  # fmt: skip
BUSINESS = tuple(name for name in TITLES if name not in ACCURACY)
CLOSE = 1e-9


@dataclass(frozen=True)
class ScoreRow:
    """One score of both sides. better: "a", "b", "same", or "" where one is not known."""

    name: str
    first: float | None
    second: float | None
    why_first: str = ""
    why_second: str = ""

    @property
    def title(self) -> str:
        return TITLES.get(self.name, self.name)

    @property
    def difference(self) -> float | None:
        """second - first."""
        return None if self.first is None or self.second is None else self.second - self.first

    @property
    def better(self) -> str:
        """Which side is better, by the score's own direction."""
        if self.first is None or self.second is None:
            return ""
        a, b = badness(self.name, self.first), badness(self.name, self.second)
        return "same" if abs(a - b) < CLOSE else "a" if a < b else "b"

    @property
    def direction(self) -> str:
        """What is better, in words."""
        if self.name in NOMINAL:
            return "towards 0" if NOMINAL[self.name] == 0 else f"towards {NOMINAL[self.name]:.0%}"
        return "higher" if self.name in HIGHER else "lower"


def badness(name: str, value: float) -> float:
    """How bad a score's value is; the lower the better."""
    if name in NOMINAL:
        return abs(value - NOMINAL[name])
    return -value if name in HIGHER else value


@dataclass(frozen=True)
class ScoreTable:
    """Scores of one basis. warning: why the two are not of the same rows; empty where they are."""

    basis: str
    title: str
    rows: tuple[ScoreRow, ...]
    warning: str
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same on both sides."""

    what: str
    first: str
    second: str


@dataclass(frozen=True)
class Comparison:
    """Everything that two versions differ in. sets: the newest forecasts that both made from one origin."""

    first: ModelVersion
    second: ModelVersion
    scores: tuple[ScoreTable, ...]
    spec: tuple[Difference, ...]
    features: tuple[Difference, ...]
    data: tuple[Difference, ...]
    windows: tuple[Difference, ...]
    gates: tuple[dict[str, Any], ...]
    reports: tuple[GateReport | None, GateReport | None]
    sets: tuple[ForecastSet, ForecastSet] | None


def compare_versions(first: ModelVersion, second: ModelVersion) -> Comparison:
    """Hold two versions against each other; both may be the same one."""
    reports = (_newest(first), _newest(second))
    return Comparison(
        first=first,
        second=second,
        scores=tuple(_score_tables(first, second, reports)),
        spec=tuple(_differences(_spec(first), _spec(second))),
        features=tuple(_feature_differences(first, second)),
        data=tuple(_differences(_data(first), _data(second))),
        windows=tuple(_differences(_windows(first), _windows(second))),
        gates=tuple(_gates(*reports)),
        reports=reports,
        sets=_same_origin(first, second),
    )


# --- scores -----------------------------------------------------------------------------------------------------------


def _score_tables(
    first: ModelVersion, second: ModelVersion, reports: tuple[GateReport | None, GateReport | None]
) -> Iterator[ScoreTable]:
    judged = _judged_together(first, second, reports)
    held = [version.evaluation for version in (first, second)]
    if judged is not None:
        yield ScoreTable(
            "holdout", BASES["holdout"], _rows(*judged, (*ACCURACY, *BUSINESS)), "",
            "Judged against each other: both specs were trained on the same window and forecast the same sealed rows.",
        )  # fmt: skip
    elif any(held):
        ours, theirs = ({**_overall(one), **(one.get("business") or {})} for one in held)
        yield ScoreTable(
            "holdout", BASES["holdout"], _rows(ours, theirs, (*ACCURACY, *BUSINESS)), _holdout_warning(*held),
            "Costs and quantities are sums over each version’s own holdout.",
        )  # fmt: skip
    yield ScoreTable(
        "backtest", BASES["backtest"], _rows(_overall(first.backtest), _overall(second.backtest), ACCURACY),
        _backtest_warning(first, second),
    )  # fmt: skip
    pair = _realised_pair(first, second)
    if pair is not None:
        ours, theirs = (_overall(one.scores) for one in pair)
        yield ScoreTable("realised", BASES["realised"], _rows(ours, theirs, ACCURACY), *_realised_words(*pair))


def _judged_together(
    first: ModelVersion, second: ModelVersion, reports: tuple[GateReport | None, GateReport | None]
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Scores of both sides from a judgement of one against the other: the only ones of the same sealed rows."""
    for report, sides, other in (
        (reports[0], ("candidate", "champion"), second),
        (reports[1], ("champion", "candidate"), first),
    ):
        evidence = report.evidence if report is not None else {}
        if report is None or report.champion_id != other.pk or evidence.get("kind") != "gate":
            continue
        scores, business = evidence.get("scores") or {}, evidence.get("business") or {}
        ours, theirs = ({**_overall(scores.get(side)), **(business.get(side) or {})} for side in sides)
        return ours, theirs
    return None


def _overall(report: Any) -> dict[str, Any]:
    found: dict[str, Any] = overall_of(report).get("overall") or {}
    return found


def _rows(ours: Mapping[str, Any], theirs: Mapping[str, Any], names: tuple[str, ...]) -> tuple[ScoreRow, ...]:
    made = (ScoreRow(n, _value(ours, n), _value(theirs, n), _why(ours, n), _why(theirs, n)) for n in names)
    return tuple(row for row in made if row.first is not None or row.second is not None)


def _value(scores: Mapping[str, Any], name: str) -> float | None:
    value = (scores.get(name) or {}).get("value")
    return float(value) if isinstance(value, int | float) else None


def _why(scores: Mapping[str, Any], name: str) -> str:
    return str((scores.get(name) or {}).get("reason") or "not computed")


def _holdout_warning(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    if not ours or not theirs:
        return "Only one of them was judged on a sealed holdout; there is nothing to hold it against."
    if not ours.get("rows_sha256") or ours["rows_sha256"] != theirs.get("rows_sha256"):
        return (
            "Not the same rows: each was judged on its own holdout, so a difference may be the days’, not the model’s."
        )
    return ""


def _backtest_warning(first: ModelVersion, second: ModelVersion) -> str:
    """Backtests are of the same rows where origins, horizon, data and number of forecasts agree."""
    reasons = []
    ours, theirs = first.backtest, second.backtest
    if ours.get("origins") != theirs.get("origins"):
        reasons.append("other origins")
    if ours.get("horizon") != theirs.get("horizon"):
        reasons.append("another horizon")
    if first.evaluation_window.get("fingerprint") != second.evaluation_window.get("fingerprint"):
        reasons.append("other training data")
    counts = [(_overall(one).get("wape") or {}).get("n") for one in (ours, theirs)]
    if not reasons and counts[0] != counts[1]:
        reasons.append(f"{counts[0]} forecasts against {counts[1]}")
    return f"Not the same rows: {', '.join(reasons)}. The scores cannot be held against each other." if reasons else ""


def _realised_pair(first: ModelVersion, second: ModelVersion) -> tuple[AccuracyRecord, AccuracyRecord] | None:
    """The newest records of the same origin and days where there are such; else each side's newest."""
    rows = AccuracyRecord.objects.filter(version__in=(first, second)).select_related("forecast_set")
    mine: dict[int, dict[tuple[Any, ...], AccuracyRecord]] = {first.pk: {}, second.pk: {}}
    for row in rows.order_by("-actuals_until", "-forecast_set__origin_date")[:200]:
        mine[row.version_id].setdefault((row.forecast_set.origin_date, row.actuals_until), row)
    ours, theirs = mine[first.pk], mine[second.pk]
    shared = [key for key in ours if key in theirs]
    if shared:
        return ours[shared[0]], theirs[shared[0]]
    if not ours or not theirs:
        return None
    return next(iter(ours.values())), next(iter(theirs.values()))


def _realised_words(ours: AccuracyRecord, theirs: AccuracyRecord) -> tuple[str, str]:
    """Warning and note."""
    days = [(one.forecast_set.origin_date, one.actuals_until) for one in (ours, theirs)]
    told = [f"forecast from {origin}, actuals until {until}" for origin, until in days]
    if days[0] != days[1]:
        return f"Not the same rows: {told[0]} against {told[1]}.", ""
    if ours.rows != theirs.rows:
        return f"Not the same rows: {ours.rows:,} series-days against {theirs.rows:,}.", ""
    return "", f"Both: {told[0]}, {ours.rows:,} series-days."


# --- what differs -----------------------------------------------------------------------------------------------------


def _differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> Iterator[Difference]:
    for what in dict.fromkeys([*ours, *theirs]):
        first, second = ours.get(what, "–"), theirs.get(what, "–")
        if first != second:
            yield Difference(what, first, second)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of nested mappings by dotted name; a list is one leaf."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        yield name, ", ".join(map(str, value)) or "none"
    else:
        yield name, "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _spec(version: ModelVersion) -> dict[str, str]:
    return dict(_flat(version.spec.body))


def _windows(version: ModelVersion) -> dict[str, str]:
    fits = {"judged fit": version.evaluation_window, "serving fit": version.serving_window}
    named = {
        name: {**window, "fingerprint": str(window.get("fingerprint", ""))[:16] or None}
        for name, window in fits.items()
    }
    return {name.replace("_", " "): value for name, value in _flat(named)}


def _data(version: ModelVersion) -> dict[str, str]:
    lineage = version.manifest.get("lineage") or {}
    told = dict(_flat({"data": lineage.get("data") or {}, "classes": lineage.get("classes") or {}}))
    told["contracts"] = ", ".join(f"{row['source']} v{row['version']}" for row in lineage.get("contracts") or [])
    told["newest batch"] = next((str(row["batch"]) for row in lineage.get("batches") or []), "–")
    code = lineage.get("code") or {}
    told |= {"code revision": str(code.get("revision") or "–"), "engine": str(code.get("engine_sha256") or "–")[:16]}
    libraries = (version.manifest.get("serving") or {}).get("libraries") or {}
    return {**told, **{f"library {name}": str(number) for name, number in sorted(libraries.items())}}


def _feature_differences(first: ModelVersion, second: ModelVersion) -> Iterator[Difference]:
    """Features that one side's family sees and the other's does not; a family of one side alone is one line."""
    sides = [{one["family"]: one["features"] for one in features_of(version)} for version in (first, second)]
    for family in dict.fromkeys([*sides[0], *sides[1]]):
        title = family.replace("_", " ")
        if family not in sides[0] or family not in sides[1]:
            counts = [f"{len(side[family])} features" if family in side else "not used" for side in sides]
            yield Difference(title, *counts)
            continue
        told = [{f"{title}: {one['meaning']} ({one['name']})": "yes" for one in side[family]} for side in sides]
        yield from _differences(*told)


def _newest(version: ModelVersion) -> GateReport | None:
    rows = version.gate_reports.select_related("champion", "policy").order_by("-created_at", "-pk")
    return rows.first()


def _gates(ours: GateReport | None, theirs: GateReport | None) -> Iterator[dict[str, Any]]:
    """Every gate of either judgement: passed by whom (None: not judged)."""
    sides = [{row["name"]: row for row in report.results} if report is not None else {} for report in (ours, theirs)]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        rows = [side.get(name) for side in sides]
        yield {
            "name": name,
            "passed": [None if row is None else row.get("passed") is True for row in rows],
            "reasons": ["" if row is None else str(row.get("reason", "")).replace("_", " ") for row in rows],
        }


def _same_origin(first: ModelVersion, second: ModelVersion) -> tuple[ForecastSet, ForecastSet] | None:
    """The forecasts of the newest origin from which both have forecast."""
    rows = ForecastSet.objects.filter(version__in=(first, second), channel="live").order_by("-origin_date")
    seen: dict[Any, dict[int, ForecastSet]] = {}
    for made in rows.select_related("version")[:400]:
        both = seen.setdefault(made.origin_date, {})
        both[made.version_id] = made
        if first.pk in both and second.pk in both:
            return both[first.pk], both[second.pk]
    return None
