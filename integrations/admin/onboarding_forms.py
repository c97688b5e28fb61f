"""The questions of the onboarding's steps, in a shop owner's words."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from typing import Any

from django import forms

from integrations.engine.contract_model import FileSpec
from integrations.models.source import SourceType
from integrations.services.drafts_body import slug_of
from integrations.services.places import countries, country_of_zone
from ledger.admin.forms import PlainForm
from tenants.models import Tenant, TenantTier

ROLE_LABELS: dict[str, str] = {
    "transactions": "Sales",
    "products": "Products",
    "stores": "Stores",
    "covariates": "Known ahead (prices, promotions, holidays to come)",
}
_SEPARATORS = [(",", "comma  ,"), (";", "semicolon  ;"), ("\t", "tab"), ("|", "bar  |"), (" ", "space")]
_ENCODINGS = [
    ("utf-8", "UTF-8 (usual)"), ("cp1252", "Windows, Western Europe (cp1252)"),
    ("cp1250", "Windows, Central Europe (cp1250)"), ("latin-1", "Latin-1"), ("iso-8859-15", "Latin-9, with €"),
    ("utf-16", "UTF-16 (Excel's Unicode text)"),
]  # fmt: skip
_THOUSANDS = [("", "none"), (",", "comma  1,000"), (".", "point  1.000"), (" ", "space  1 000"), ("'", "tick  1'000")]


class SourceForm(PlainForm):
    """Where the data comes from."""

    title = forms.CharField(
        label="What do you call this data?",
        max_length=80,
        help_text="A plain name, such as “Till export” or “Webshop orders”. Reports and forecasts show it.",
        error_messages={"required": "Give the data a name, such as “Till export”."},
    )
    source_type = forms.ChoiceField(
        label="How will the files come?",
        choices=SourceType.choices,
        help_text="You can upload files in any case; this says how the regular ones will arrive.",
    )
    country_code = forms.ChoiceField(
        label="Country of the stores", help_text="Its public holidays are taken into account."
    )
    currency = forms.RegexField(
        r"\A[A-Z]{3}\Z",
        label="Currency of the prices",
        max_length=3,
        help_text="Its three-letter code, such as EUR or USD.",
        error_messages={"invalid": "Use the three-letter code of the currency, such as EUR."},
    )
    time_zone = forms.ChoiceField(
        label="Time zone of the stores",
        choices=[(name, name.replace("_", " ")) for name in sorted(zoneinfo.available_timezones())],
        help_text="A day of sales begins and ends by its clock.",
    )

    def __init__(self, data: Any = None, *, bound_to_source: bool = False, **kwargs: Any) -> None:
        if data is not None:
            data = {
                **{key: data.get(key, "") for key in data},
                "currency": str(data.get("currency", "")).upper().strip(),
            }
        super().__init__(data, **kwargs)
        country = self.fields["country_code"]
        assert isinstance(country, forms.ChoiceField)  # noqa: S101  # narrows the type; declared above
        country.choices = [("", "Choose a country"), *countries()]
        self._bound = bound_to_source
        if bound_to_source:
            self.fields["source_type"].disabled = True
            self.fields["source_type"].help_text = "The source exists, so this stays."

    def clean_title(self) -> str:
        """Refuse a name from which no plain one can be made."""
        title: str = " ".join(self.cleaned_data["title"].split())
        if not self._bound and not slug_of(title):
            raise forms.ValidationError("Use at least one letter of a to z in the name, such as “Till export”.")
        return title

    def changes(self) -> dict[str, Any]:
        """The contract's keys that this step answers."""
        keys = ("source_type", "country_code", "currency")
        return {key: self.cleaned_data[key] for key in keys} | {"timezone": self.cleaned_data["time_zone"]}


def first_answers(tenant: Tenant) -> dict[str, str]:
    """What the tenant's profile already says."""
    kind = SourceType.ENTERPRISE_SFTP if tenant.tier == TenantTier.ENTERPRISE else SourceType.SMB_CSV
    country = str(getattr(tenant, "country_code", "") or "") or country_of_zone(tenant.time_zone)
    return {
        "source_type": kind,
        "country_code": country,
        "currency": tenant.currency,
        "time_zone": tenant.time_zone,
    }


def answers_of_body(title: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The first step's answers as the draft has them."""
    keys = ("source_type", "country_code", "currency")
    return {"title": title, **{key: body.get(key, "") for key in keys}, "time_zone": body.get("timezone", "UTC")}


class ReadingForm(PlainForm):
    """How the files of one role are written, where the detection was wrong."""

    pattern = forms.CharField(
        label="File name of the next deliveries",
        max_length=120,
        help_text="* stands for any text: sales_*.csv fits sales_2024-05.csv.",
    )
    format = forms.ChoiceField(
        label="Format",
        choices=[
            ("csv", "Text table (CSV)"),
            ("xlsx", "Excel (xlsx)"),
            ("parquet", "Parquet"),
            ("ndjson", "JSON lines"),
        ],
    )
    delimiter = forms.ChoiceField(label="Columns are separated by", choices=_SEPARATORS, required=False)
    decimal = forms.ChoiceField(
        label="Decimal sign", choices=[(".", "point  1.50"), (",", "comma  1,50")], required=False
    )
    thousands = forms.ChoiceField(label="Thousands sign", choices=_THOUSANDS, required=False)
    encoding = forms.ChoiceField(label="Character set", choices=_ENCODINGS, required=False)
    sheet = forms.CharField(
        label="Sheet (Excel only)", max_length=31, required=False, help_text="Empty: the first sheet."
    )

    def __init__(self, *args: Any, sheets: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if sheets:
            names = [("", f"the first one ({sheets[0]})"), *((name, name) for name in sheets)]
            self.fields["sheet"] = forms.ChoiceField(label="Sheet", choices=names, required=False)
        given = (self.initial or {}).get("delimiter")
        delimiter = self.fields["delimiter"]
        assert isinstance(delimiter, forms.ChoiceField)  # noqa: S101  # narrows the type; declared above
        if given and given not in dict(_SEPARATORS):
            delimiter.choices = [*_SEPARATORS, (given, given)]

    def spec(self) -> dict[str, Any]:
        """The declaration as a contract writes it."""
        data = self.cleaned_data
        spec: dict[str, Any] = {
            "pattern": data["pattern"].strip(),
            "format": data["format"],
            "delimiter": data["delimiter"] or ",",
            "decimal": data["decimal"] or ".",
            "thousands": data["thousands"] or None,
            "encoding": data["encoding"] or "utf-8",
            "sheet": data["sheet"] or None,
        }
        return {**FileSpec(pattern="*").model_dump(mode="json"), **{k: v for k, v in spec.items() if k in _SPEC_KEYS}}


_SPEC_KEYS = frozenset(FileSpec.model_fields)
