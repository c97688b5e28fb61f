"""The pydantic model of a data contract: how a tenant's files become canonical demand.

A contract is data. It never carries a host, a path outside its own upload, a credential, SQL or code, so every text in
it is bounded and checked; a key that is not listed here is an error.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

REQUIRED_FIELDS = ("date", "store_id", "product_id", "quantity")
NUMERIC_FIELDS = ("quantity", "unit_price", "unit_cost", "on_hand_qty", "on_order_qty")
FLAG_FIELDS = ("is_promotional", "is_holiday")
TEXT_FIELDS = ("category", "transaction_type")
OPTIONAL_FIELDS = (*NUMERIC_FIELDS[1:], *FLAG_FIELDS, *TEXT_FIELDS)
CANONICAL_FIELDS = (*REQUIRED_FIELDS, *OPTIONAL_FIELDS)
ID_FIELDS = ("store_id", "product_id")
NATURAL_KEY = frozenset(("store_id", "product_id", "date"))

_SLUG = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PATTERN = re.compile(r"[A-Za-z0-9_.*?\[\]\- ]{1,120}")


class Role(StrEnum):
    """What a file is for."""

    TRANSACTIONS = "transactions"
    PRODUCTS = "products"
    STORES = "stores"
    COVARIATES = "covariates"


class SourceType(StrEnum):
    """Where the files come from; it names the kind of connection, never its address."""

    SMB_CSV = "smb_csv"
    SMB_SFTP = "smb_sftp"
    ENTERPRISE_SFTP = "enterprise_sftp"
    ENTERPRISE_EDI = "enterprise_edi"
    ENTERPRISE_EVENT = "enterprise_event"


class FileFormat(StrEnum):
    """How a file is written."""

    CSV = "csv"
    PARQUET = "parquet"
    NDJSON = "ndjson"
    XLSX = "xlsx"


class Grain(StrEnum):
    """One figure a day, or one a week (the date is then the week's last day)."""

    DAILY = "daily"
    WEEKLY = "weekly"


class TimezoneHandling(StrEnum):
    """Which calendar day a moment belongs to. A plain date has no time zone and is taken as written."""

    SOURCE_LOCAL_DATE = "source_local_date"
    CONVERT_TO_PROFILE_TZ_DATE = "convert_to_profile_tz_date"
    UTC_DATE = "utc_date"


class SignPolicy(StrEnum):
    """What a negative quantity means."""

    NON_NEGATIVE = "non_negative"
    ALLOW_NEGATIVE_RETURNS = "allow_negative_returns"
    CLIP_NEGATIVE = "clip_negative"


class DedupePolicy(StrEnum):
    """What several rows of one store, product and day mean."""

    SUM = "sum"
    KEEP_LAST = "keep_last"
    REJECT = "reject"


class MissingDays(StrEnum):
    """What a day without a row means."""

    ZERO = "zero"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class DriftMode(StrEnum):
    """What happens when a file's columns change."""

    EVOLVE = "evolve"
    FREEZE = "freeze"
    DISCARD = "discard"


class ColumnKind(StrEnum):
    """What most cells of a column hold."""

    NUMBER = "number"
    DATE = "date"
    FLAG = "flag"
    TEXT = "text"
    EMPTY = "empty"


def _no_address(text: str) -> str:
    if "://" in text or any(ord(sign) < 32 and sign != "\t" for sign in text):
        raise ValueError("must be plain text: a contract carries no address and no control characters")
    return text


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise ValueError("use lower-case letters, digits, - and _, beginning with a letter")
    return text


def _field_name(text: str) -> str:
    if not _FIELD_NAME.fullmatch(text):
        raise ValueError("use a plain field name: lower-case letters, digits and _")
    return text


def _file_pattern(text: str) -> str:
    if ".." in text or not _PATTERN.fullmatch(text):
        raise ValueError("use a plain file name such as sales*.csv: no folder, no slash, no '..'")
    return text


PlainText = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_no_address)]
Slug = Annotated[str, AfterValidator(_slug)]
FieldName = Annotated[str, AfterValidator(_field_name)]
Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Strict(BaseModel):
    """Immutable, and a key that is not listed is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FileSpec(_Strict):
    """One file role: which upload it is, and how it is written."""

    pattern: Annotated[str, Field(max_length=120), AfterValidator(_file_pattern)]
    format: FileFormat = FileFormat.CSV
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'"] | None = None
    encoding: Literal["utf-8", "utf-16", "latin-1", "cp1252", "cp1250", "iso-8859-15"] = "utf-8"
    columns: dict[PlainText, ColumnKind] = Field(
        default_factory=dict,
        max_length=2000,
        description="The columns that are known, with what stands in them: a delivery is compared with them while "
        "nothing was loaded under this version yet.",
    )
    sheet: PlainText | None = Field(None, description="xlsx: the sheet's name; without it, the first one with rows.")

    @model_validator(mode="after")
    def _separators_differ(self) -> Self:
        if self.delimiter in '"\r\n\0' or not self.delimiter.isascii():
            raise ValueError("delimiter must be one plain sign such as , ; | or a tab: no quote, no line end")
        if self.thousands == self.decimal:
            raise ValueError("thousands and decimal cannot be the same sign")
        return self


class Files(_Strict):
    """The files of one batch; only the transactions are required."""

    transactions: FileSpec
    products: FileSpec | None = None
    stores: FileSpec | None = None
    covariates: FileSpec | None = None

    def by_role(self) -> dict[Role, FileSpec]:
        """The declared roles, reference files first: the transactions are checked against them."""
        order = (Role.STORES, Role.PRODUCTS, Role.TRANSACTIONS, Role.COVARIATES)
        specs = {role: getattr(self, role.value) for role in order}
        return {role: spec for role, spec in specs.items() if spec is not None}


class UnitRule(_Strict):
    """A factor between the source's unit and the canonical one; exactly one of the two."""

    multiplier: Annotated[float, Field(gt=0, le=1e9)] | None = None
    divide_by: Annotated[float, Field(gt=0, le=1e9)] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.multiplier is None) == (self.divide_by is None):
            raise ValueError("give either multiplier or divide_by")
        return self

    def apply(self, values: object) -> object:
        """The values (float or array) in the canonical unit; division stays division, so that 3 / 100 is 0.03."""
        if self.divide_by is not None:
            return values / self.divide_by  # type: ignore[operator]  # a float or an array, both divide
        return values * self.multiplier  # type: ignore[operator]  # likewise


class IdRule(_Strict):
    """How identifiers are made alike before they are compared."""

    strip: bool = True
    upper: bool = False
    lower: bool = False
    zero_pad: Annotated[int, Field(ge=1, le=40)] | None = None
    strip_leading_zeros: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.upper and self.lower:
            raise ValueError("choose upper or lower, not both")
        return self

    def apply(self, text: str) -> str:
        """The identifier in its canonical form."""
        text = text.strip() if self.strip else text
        text = text.upper() if self.upper else text.lower() if self.lower else text
        if self.strip_leading_zeros:
            text = text.lstrip("0") or text[:1]
        return text.zfill(self.zero_pad) if self.zero_pad and text else text


class NullRule(_Strict):
    """What stands in for an empty cell."""

    fill_value: float | PlainText


class Covariates(_Strict):
    """When a regressor is known: ahead of time, only afterwards, or always the same."""

    known_future: tuple[FieldName, ...] = ()
    historic_only: tuple[FieldName, ...] = ()
    static: tuple[FieldName, ...] = ()

    def declared(self) -> tuple[str, ...]:
        """All names, in the order of the lists."""
        return (*self.known_future, *self.historic_only, *self.static)


class Thresholds(_Strict):
    """What is still good enough. Rates are shares of the rows read, between 0 and 1."""

    min_date_parse_success: Rate = 0.99
    max_required_null_rate: Rate = 0.005
    max_duplicate_rate: Rate | None = Field(
        None, description="Default 0.01; with dedupe_policy sum, where repeated keys are the normal case, 1.0."
    )
    min_quantity_parse_success: Rate = 0.995
    max_future_days: Annotated[int, Field(ge=0, le=3660)] = 7
    max_history_years: Annotated[float, Field(gt=0, le=100)] = 15
    max_store_ref_missing_rate: Rate = 0.0
    max_product_ref_missing_rate: Rate = 0.0


class Drift(_Strict):
    """How an active source follows a change of its file's columns."""

    new_column: DriftMode = DriftMode.FREEZE
    missing_column: DriftMode = DriftMode.FREEZE
    type_change: DriftMode = DriftMode.FREEZE


class ServiceLevel(_Strict):
    """How fresh the data has to be."""

    max_age_hours: Annotated[float, Field(gt=0, le=24 * 366)] = 30


def check_date_format(text: str) -> str:
    """Refuse a strptime format that does not say year, month and day; `iso8601` and `mixed` are words of ours."""
    if text in ("iso8601", "mixed"):
        return text
    probe = date(2017, 11, 23)
    if any(sign in text for sign in ("%x", "%c", "%X", "%Z")):
        raise ValueError("%x, %c, %X and %Z depend on the machine: write the parts out, as in %m/%d/%Y")
    try:
        known = datetime.strptime(probe.strftime(text), text).date() == probe
    except (ValueError, OverflowError, re.error):  # re.error: the same part named twice
        known = False
    if not known:
        raise ValueError("must name year, month and day, as in %Y-%m-%d or %d.%m.%Y, or be iso8601 or mixed")
    return text


def check_timezone(text: str) -> str:
    """Refuse a name that is not in the time zone database."""
    if text not in available_timezones():
        raise ValueError("is not a time zone: use a name such as America/New_York or Europe/Berlin")
    ZoneInfo(text)
    return text


class ContractBase(_Strict):
    """The keys of a contract that stand alone; the rules between keys are in `contract_rules`."""

    contract_version: Literal["v1"]
    tenant: Slug
    source: Slug
    source_type: SourceType
    grain: Grain = Grain.DAILY
    timezone: Annotated[str, Field(max_length=60), AfterValidator(check_timezone)] = "UTC"
    timezone_handling: TimezoneHandling = TimezoneHandling.SOURCE_LOCAL_DATE
    quantity_sign_policy: SignPolicy = SignPolicy.NON_NEGATIVE
    country_code: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    quantity_uom: PlainText = "units"
    files: Files
    date_format: Annotated[str, Field(max_length=60), AfterValidator(check_date_format)] = "iso8601"
    id_columns: dict[PlainText, Literal["store_id", "product_id"]] = Field(default_factory=dict, max_length=20)
    field_map: dict[PlainText, FieldName] = Field(max_length=500)
    type_map: dict[FieldName, Literal["date", "str", "float", "int", "bool"]] = Field(default_factory=dict)
    unit_map: dict[FieldName, UnitRule] = Field(default_factory=dict)
    id_normalization: dict[Literal["store_id", "product_id"], IdRule] = Field(default_factory=dict)
    null_policy: dict[FieldName, NullRule] = Field(default_factory=dict)
    dedupe_keys: tuple[FieldName, ...] = ("store_id", "product_id", "date")
    dedupe_policy: DedupePolicy = DedupePolicy.REJECT
    missing_days: MissingDays = MissingDays.ZERO
    covariates: Covariates = Covariates()
    extra_regressors: Annotated[tuple[FieldName, ...], Field(max_length=50)] = ()
    dq_thresholds: Thresholds = Thresholds()
    drift: Drift = Drift()
    sla: ServiceLevel = ServiceLevel()

    @field_validator("dedupe_keys")
    @classmethod
    def _natural_key(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if frozenset(keys) != NATURAL_KEY or len(keys) != len(NATURAL_KEY):
            raise ValueError("must be store_id, product_id and date: demand has one figure for each of them")
        return keys
