"""The public forms: an application, and the choice of a password."""

from __future__ import annotations

import json
import unicodedata
import zoneinfo
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from ledger.admin.forms import PlainForm
from ledger.errors import DomainError
from tenants.countries import COUNTRIES
from tenants.models import TenantTier
from tenants.services.addresses import require_label
from tenants.services.applications import Wish

_ELSEWHERE = ""


def one_line(text: str) -> None:
    """Refuse what is no visible text in one line: line breaks forge mail headers, others disguise a name."""
    if any(
        unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or sign in "\u202a\u202b\u202c\u202d\u202e"
        for sign in text
    ):
        raise ValidationError("Use one line of plain text, without control characters.")


def only_known_time_zones() -> list[tuple[str, str]]:
    return [(name, name) for name in sorted(zoneinfo.available_timezones())]


class ApplicationForm(PlainForm):
    """What a business tells of itself."""

    business_name = forms.CharField(
        max_length=120, validators=[one_line], widget=forms.TextInput(attrs={"autocomplete": "organization"})
    )
    address = forms.CharField(
        label="Address",
        max_length=63,
        help_text="Where your people will sign in. Lower-case letters, digits and hyphens; it cannot change later.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    country = forms.ChoiceField(
        required=False,
        choices=[(_ELSEWHERE, "Not in this list"), *((one.code, one.name) for one in COUNTRIES.values())],
        help_text="Fills in time zone and currency, which you can change.",
    )
    time_zone = forms.ChoiceField(
        required=False, choices=lambda: [("", "The country’s"), *only_known_time_zones()], help_text="Of your shops."
    )
    currency = forms.RegexField(
        r"\A[A-Za-z]{3}\Z",
        required=False,
        max_length=3,
        help_text="ISO 4217 code, such as EUR. Empty: the country’s.",
        error_messages={"invalid": "Use an ISO 4217 code of three letters, such as EUR."},
    )
    tier = forms.ChoiceField(
        label="Size", choices=TenantTier.choices, initial=TenantTier.SMB, help_text="Enterprise: from about 50 shops."
    )
    contact_name = forms.CharField(
        label="Your name",
        max_length=120,
        validators=[one_line],
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    email = forms.EmailField(
        label="Your e-mail address",
        max_length=150,
        validators=[one_line],
        help_text="We mail a link to it. It will be the name that you sign in with.",
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    about = forms.CharField(
        label="What do you sell, and in how many shops?",
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    second_note = forms.CharField(required=False, label="Leave this empty", max_length=500)

    def clean_address(self) -> str:
        address: str = self.cleaned_data["address"].strip()
        try:
            require_label(address)
        except DomainError as error:
            raise ValidationError(str(error)) from error
        return address

    def clean_currency(self) -> str:
        return str(self.cleaned_data.get("currency") or "").upper()

    def clean(self) -> dict[str, Any]:
        """Take what was left empty from the country."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        country = COUNTRIES.get(cleaned.get("country") or "")
        if "time_zone" in cleaned and not cleaned["time_zone"]:
            cleaned["time_zone"] = country.time_zone if country else "UTC"
        if "currency" in cleaned and not cleaned["currency"]:
            cleaned["currency"] = country.currency if country else "USD"
        return cleaned

    @property
    def is_trapped(self) -> bool:
        """Whether the field that people do not see was filled, which only programs do."""
        return bool(self.data.get("second_note"))

    def wish(self) -> Wish:
        """What was asked for, once the form is valid."""
        return Wish(**{name: value for name, value in self.cleaned_data.items() if name != "second_note"})

    @property
    def seen(self) -> list[forms.BoundField]:
        """The fields that people see."""
        return [field for field in self if field.name != "second_note"]

    @property
    def countries_json(self) -> str:
        """Time zone and currency of each country, for the page's script."""
        return json.dumps({one.code: [one.time_zone, one.currency] for one in COUNTRIES.values()})
