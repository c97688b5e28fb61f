"""The questions about what the figures stand for, and how their answers read in a contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from integrations.admin.onboarding_columns import FIELD_LABELS
from integrations.engine.contract_model import NUMERIC_FIELDS, Thresholds
from integrations.services.drafts_body import mapping_of
from ledger.admin.forms import PlainForm

_SIGNS = [
    ("non_negative", "There are none; a row that has one is left out and listed"),
    ("allow_negative_returns", "Goods that came back: kept as returns, beside what was sold"),
    ("clip_negative", "Corrections that count as zero"),
]
_SEVERAL = [
    ("sum", "Each is a sale: add them up"),
    ("keep_last", "The last one corrects the ones before: it counts"),
    ("reject", "That is a mistake: leave all of them out and list them"),
]
_MISSING = [
    ("zero", "Nothing was sold that day"),
    ("closed", "The store was closed that day"),
    ("unknown", "Nobody knows: leave the day out"),
]
_GRAINS = [("daily", "One day"), ("weekly", "One week (the date is its last day)")]
_HANDLING = [
    ("source_local_date", "Take the day as it is written"),
    ("convert_to_profile_tz_date", "Times are in UTC: turn them into the stores’ time first"),
    ("utc_date", "Times are local: turn them into UTC first"),
]
_FACTORS = [("as_is", "As it stands"), ("multiply", "Multiply it by"), ("divide", "Divide it by")]
_KNOWN = [
    ("known_future", "Known ahead, such as a plan"),
    ("historic_only", "Known only afterwards"),
    ("static", "Always the same"),
]
_CASES = [("as_is", "Take them as written"), ("upper", "Treat a and A alike")]
_ZEROS = [("as_is", "Take them as written"), ("strip", "Leave out leading zeros"), ("pad", "Fill up with zeros to")]
_DRIFT = [("freeze", "Hold the delivery and ask"), ("evolve", "Take it along"), ("discard", "Ignore it")]
_DRIFTS = {
    "new_column": "A later file has a new column",
    "missing_column": "A later file lacks a column",
    "type_change": "A column turns from figures to text, or the like",
}
_LIMITS: dict[str, str] = {
    "min_date_parse_success": "Share of dates that must be readable",
    "min_quantity_parse_success": "Share of figures that must be readable",
    "max_required_null_rate": "Share of rows that may lack a date, store, product or quantity",
    "max_duplicate_rate": "Share of rows that may repeat a store, product and day",
    "max_future_days": "Days that a sale may lie ahead",
    "max_history_years": "Years that a sale may lie back",
    "max_store_ref_missing_rate": "Share of rows whose store may lack in the stores file",
    "max_product_ref_missing_rate": "Share of rows whose product may lack in the products file",
}
_NO_REGRESSOR = {"date", "store_id", "product_id", "quantity", "transaction_type"}


class MeaningForm(PlainForm):
    """The questions that this draft's columns raise. ``groups`` orders them for the page."""

    grain = forms.ChoiceField(label="What does one row stand for?", choices=_GRAINS, widget=forms.RadioSelect)
    quantity_uom = forms.CharField(
        label="What is counted?", max_length=40, help_text="Such as units, kg or litres. Reports say it."
    )
    quantity_sign_policy = forms.ChoiceField(
        label="What does a negative quantity mean?", choices=_SIGNS, widget=forms.RadioSelect
    )
    dedupe_policy = forms.ChoiceField(
        label="What if a store, product and day has several rows?", choices=_SEVERAL, widget=forms.RadioSelect
    )
    missing_days = forms.ChoiceField(
        label="What does a day without a row mean?", choices=_MISSING, widget=forms.RadioSelect
    )
    timezone_handling = forms.ChoiceField(
        label="If the dates have a time of day", choices=_HANDLING, help_text="Plain dates are taken as they are."
    )
    sla_max_age_hours = forms.FloatField(
        label="Hours after which the data counts as late", min_value=0.5, max_value=24 * 366
    )

    def __init__(
        self, body: Mapping[str, Any], *args: Any, why: Mapping[str, str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._body, self._why = body, dict(why or {})
        mapped = set(mapping_of(body).values())
        self.numbers = [name for name in NUMERIC_FIELDS if name in mapped]
        self.regressors = [name for name in sorted(mapped) if name not in _NO_REGRESSOR]
        self._add_factors()
        self._add_known()
        self._add_ids()
        self._add_advanced()
        for name, text in self._why.items():
            if name in self.fields:
                self.fields[name].help_text = " ".join(filter(None, (text, str(self.fields[name].help_text))))

    def _label(self, name: str) -> str:
        sources = [heading for heading, target in mapping_of(self._body).items() if target == name]
        label = FIELD_LABELS.get(name, name.replace("_", " "))
        return f"{label} ({', '.join(sources)})" if sources else label

    def _add_factors(self) -> None:
        for name in self.numbers:
            self.fields[f"unit_{name}"] = forms.ChoiceField(
                label=f"How is “{self._label(name)}” turned into "
                + ("single units?" if name == "quantity" else "the currency?" if "unit" in name else "single units?"),
                choices=_FACTORS,
                widget=forms.RadioSelect,
            )
            self.fields[f"factor_{name}"] = forms.FloatField(
                label="Factor",
                required=False,
                min_value=1e-9,
                max_value=1e9,
                help_text="Such as 10 where the file counts in tens, or 100 where prices are in cents.",
            )
            self.fields[f"empty_{name}"] = forms.CharField(
                label=f"An empty cell in “{self._label(name)}” counts as",
                required=False,
                max_length=30,
                help_text="Leave it empty: "
                + ("such a row is left out and listed." if name == "quantity" else "it stays unknown."),
            )

    def _add_known(self) -> None:
        extras = set(self._body.get("extra_regressors") or ())
        for name in self.regressors:
            choices = _KNOWN if name in extras else [*_KNOWN, ("", "Do not use it for the forecast")]
            self.fields[f"known_{name}"] = forms.ChoiceField(
                label=f"When is “{self._label(name)}” known?", choices=choices, required=name in extras
            )

    def _add_ids(self) -> None:
        for name in ("store_id", "product_id"):
            what = "store names or numbers" if name == "store_id" else "product codes"
            self.fields[f"case_{name}"] = forms.ChoiceField(label=f"Letters in {what}", choices=_CASES)
            self.fields[f"zeros_{name}"] = forms.ChoiceField(label=f"Zeros in front of {what}", choices=_ZEROS)
            self.fields[f"width_{name}"] = forms.IntegerField(
                label="Number of signs", required=False, min_value=1, max_value=40
            )

    def _add_advanced(self) -> None:
        for name, label in _DRIFTS.items():
            self.fields[f"drift_{name}"] = forms.ChoiceField(label=label, choices=_DRIFT)
        for name, label in _LIMITS.items():
            kind = Thresholds.model_fields[name]
            whole = name == "max_future_days"
            share = name.endswith(("_rate", "_success"))
            field: forms.Field = forms.FloatField(
                label=label,
                required=kind.default is not None,
                min_value=0,
                max_value=1 if share else 3660 if whole else 100,
                help_text="Between 0 and 1." if share else "",
            )
            self.fields[f"limit_{name}"] = field

    # --- the page's order ----------------------------------------------------------------------------------------
    @property
    def groups(self) -> list[dict[str, Any]]:
        """Titles with their questions; a folded one is for those who know what they do."""
        amounts = ["unit_quantity", "factor_quantity", "quantity_uom", "quantity_sign_policy"]
        for name in self.numbers[1:]:
            amounts += [f"unit_{name}", f"factor_{name}"]
        folded = [f"{kind}_{name}" for name in ("store_id", "product_id") for kind in ("case", "zeros", "width")]
        empty = [f"empty_{name}" for name in self.numbers]
        return [
            group
            for group in (
                self._group("Amounts", amounts),
                self._group("Rows and days", ["grain", "dedupe_policy", "missing_days"]),
                self._group("What moves sales, and when it is known", [f"known_{name}" for name in self.regressors]),
                self._group("Spelling of stores and products", folded, folded=True),
                self._group("Times and empty cells", ["timezone_handling", *empty], folded=True),
                self._group("If later files change", [f"drift_{name}" for name in _DRIFTS], folded=True),
                self._group("Limits of the checks", [f"limit_{n}" for n in _LIMITS], folded=True),
                self._group("Freshness", ["sla_max_age_hours"], folded=True),
            )
            if group["fields"]
        ]

    def _group(self, title: str, names: list[str], *, folded: bool = False) -> dict[str, Any]:
        fields = [self[name] for name in names if name in self.fields]
        opened = any(field.errors for field in fields)
        return {"title": title, "fields": fields, "folded": folded, "open": opened}

    # --- rules between answers -----------------------------------------------------------------------------------
    def clean(self) -> dict[str, Any]:
        """A factor where one is asked for; a width where zeros are filled up; figures in the empty-cell answers."""
        data = super().clean() or {}
        for name in self.numbers:
            if data.get(f"unit_{name}") in ("multiply", "divide") and not data.get(f"factor_{name}"):
                self.add_error(f"factor_{name}", "Write the factor, such as 10.")
            text = str(data.get(f"empty_{name}") or "").strip().replace(",", ".")
            if text:
                try:
                    data[f"empty_{name}"] = float(text)
                except ValueError:
                    self.add_error(f"empty_{name}", "Write a figure such as 0, or leave it empty.")
        for name in ("store_id", "product_id"):
            if data.get(f"zeros_{name}") == "pad" and not data.get(f"width_{name}"):
                self.add_error(f"width_{name}", "Write how many signs a code has, such as 8.")
        return data

    def changes(self) -> dict[str, Any]:
        """The contract's keys that these answers make."""
        data, body = self.cleaned_data, self._body
        units = {name: rule for name, rule in (body.get("unit_map") or {}).items() if name not in self.numbers}
        for name in self.numbers:
            kind = {"multiply": "multiplier", "divide": "divide_by"}.get(data[f"unit_{name}"])
            if kind:
                units[name] = {kind: data[f"factor_{name}"]}
        fills = {name: rule for name, rule in (body.get("null_policy") or {}).items() if name not in self.numbers}
        for name in self.numbers:
            if data[f"empty_{name}"] not in ("", None):
                fills[name] = {"fill_value": data[f"empty_{name}"]}
        known: dict[str, list[str]] = {key: [] for key, _ in _KNOWN}
        for name in self.regressors:
            if data[f"known_{name}"]:
                known[data[f"known_{name}"]].append(name)
        limits = {name: data[f"limit_{name}"] for name in _LIMITS}
        if limits["max_future_days"] is not None:
            limits["max_future_days"] = int(limits["max_future_days"])
        keys = ("grain", "quantity_uom", "quantity_sign_policy", "dedupe_policy", "missing_days", "timezone_handling")
        return {key: data[key] for key in keys} | {
            "unit_map": units,
            "null_policy": fills,
            "covariates": known,
            "id_normalization": {name: self._id_rule(name) for name in ("store_id", "product_id")},
            "dq_thresholds": limits,
            "drift": {name: data[f"drift_{name}"] for name in _DRIFTS},
            "sla": {"max_age_hours": data["sla_max_age_hours"]},
        }

    def _id_rule(self, name: str) -> dict[str, Any]:
        data = self.cleaned_data
        before = (self._body.get("id_normalization") or {}).get(name) or {}
        lower = (
            bool(before.get("lower")) and data[f"case_{name}"] == "upper"
        )  # alike either way: a contract's choice stays
        return {
            "strip": bool(before.get("strip", True)),
            "upper": data[f"case_{name}"] == "upper" and not lower,
            "lower": lower,
            "strip_leading_zeros": data[f"zeros_{name}"] == "strip",
            "zero_pad": data[f"width_{name}"] if data[f"zeros_{name}"] == "pad" else None,
        }


def initial_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The answers that a body gives, with the contract's defaults where it says nothing."""
    initial: dict[str, Any] = {
        "grain": body.get("grain", "daily"),
        "quantity_uom": body.get("quantity_uom", "units"),
        "quantity_sign_policy": body.get("quantity_sign_policy", "non_negative"),
        "dedupe_policy": body.get("dedupe_policy", "sum"),
        "missing_days": body.get("missing_days", "zero"),
        "timezone_handling": body.get("timezone_handling", "source_local_date"),
        "sla_max_age_hours": (body.get("sla") or {}).get("max_age_hours", 30),
    }
    for name in NUMERIC_FIELDS:
        rule = (body.get("unit_map") or {}).get(name) or {}
        kind = "multiply" if rule.get("multiplier") else "divide" if rule.get("divide_by") else "as_is"
        initial[f"unit_{name}"] = kind
        initial[f"factor_{name}"] = plain(rule.get("multiplier") or rule.get("divide_by"))
        fill = ((body.get("null_policy") or {}).get(name) or {}).get("fill_value")
        initial[f"empty_{name}"] = "" if fill is None else plain(fill)
    for key, names in (body.get("covariates") or {}).items():
        initial |= {f"known_{name}": key for name in names}
    for name in ("store_id", "product_id"):
        rule = (body.get("id_normalization") or {}).get(name) or {}
        initial[f"case_{name}"] = "upper" if rule.get("upper") or rule.get("lower") else "as_is"
        pad, strip = rule.get("zero_pad"), rule.get("strip_leading_zeros")
        initial[f"zeros_{name}"] = "pad" if pad else "strip" if strip else "as_is"
        initial[f"width_{name}"] = pad
    for name in _DRIFTS:
        initial[f"drift_{name}"] = (body.get("drift") or {}).get(name, "freeze")
    limits = body.get("dq_thresholds") or {}
    for name in _LIMITS:
        initial[f"limit_{name}"] = plain(limits.get(name, Thresholds.model_fields[name].default))
    return initial


def plain(value: Any) -> Any:
    """A figure without a decimal part that says nothing."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def label_of(key: str, value: str) -> str:
    """An answer as its question words it, in quotes."""
    lists = {
        "quantity_sign_policy": _SIGNS, "dedupe_policy": _SEVERAL, "missing_days": _MISSING, "grain": _GRAINS,
        "timezone_handling": _HANDLING,
    }  # fmt: skip
    return f"“{dict(lists[key]).get(value, value)}”"
