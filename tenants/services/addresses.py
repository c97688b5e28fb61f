"""Which address (and so which schema name) a new tenant may have."""

from __future__ import annotations

import re
import unicodedata

from django.conf import settings
from django_tenants.utils import get_public_schema_name, schema_context, schema_exists

from tenants.errors import AddressRefused
from tenants.models import OPEN_STATES, Domain, Tenant, TenantApplication
from tenants.services.provisioning import host_of

MAX_LENGTH = 40
_LABEL = re.compile(r"\A[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z")
# Names that people would take for the platform's own, or that a mail or web server expects.
_RESERVED_TEXT = """
www admin api app apply auth account accounts login signin static assets cdn media files mail smtp
imap pop ftp sftp ns ns1 ns2 dns mx blog docs help support status health healthz readyz platform
forecourt operator root system public localhost test demo template postgres postmaster webmaster
hostmaster abuse security invitation billing information-schema
"""
_RESERVED = frozenset(_RESERVED_TEXT.split())
TAKEN = "This address is taken. Try another one."


def suggest(name: str) -> str:
    """An address from a business's name: ``Käse & Co.`` becomes ``kase-co``; empty where nothing is left of it."""
    plain = unicodedata.normalize("NFKD", name[:400]).encode("ascii", "ignore").decode().lower()
    label = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return re.sub(r"\A[0-9-]+", "", label)[:MAX_LENGTH].strip("-")


def schema_of(label: str) -> str:
    """The schema name of an address: ``corner-shop`` becomes ``corner_shop``."""
    return label.replace("-", "_")


def label_of(schema_name: str) -> str:
    """The address of a schema name."""
    return schema_name.replace("_", "-")


def require_label(label: str) -> None:
    """Raise ``AddressRefused`` where ``label`` breaks a rule."""
    if not 2 <= len(label) <= MAX_LENGTH or not _LABEL.match(label):
        hint = suggest(label)
        example = hint if len(hint) >= 2 and hint != label else "corner-shop"
        raise AddressRefused(
            f"Use 2 to {MAX_LENGTH} lower-case letters, digits and single hyphens, starting with a letter, "
            f"such as {example}."
        )
    host = f"{label}.{settings.TENANT_DOMAIN}"
    if label in _RESERVED or label.startswith("pg-") or host == settings.PLATFORM_HOST:
        raise AddressRefused("This address is reserved. Choose another one.")


def require_free(label: str, *, except_application: int | None = None) -> None:
    """Raise ``AddressRefused`` where ``label`` breaks a rule or somebody has it; never says who."""
    require_label(label)
    schema_name = schema_of(label)
    with schema_context(get_public_schema_name()):
        wanted = TenantApplication.objects.filter(schema_name=schema_name, state__in=OPEN_STATES)
        if except_application is not None:
            wanted = wanted.exclude(pk=except_application)
        if (
            Tenant.objects.filter(schema_name=schema_name).exists()
            or Domain.objects.filter(domain=host_of(schema_name)).exists()
            or wanted.exists()
            or schema_exists(schema_name)
        ):
            raise AddressRefused(TAKEN)
