"""Bodies of what is posted: strict, so that a typing error never does something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from ledger.api.errors import InvalidQuery

REASON_MOST = 2000


class ReasonSerializer(serializers.Serializer[Any]):
    """Why somebody does something that is kept."""

    reason = serializers.CharField(max_length=REASON_MOST, help_text="Kept with the decision; others will read it.")


class PromotionCreateSerializer(ReasonSerializer):
    """Which version is to become champion, and why."""

    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1, help_text="Number of an eligible version.")


class InvalidBody(InvalidQuery):
    """A body that cannot be used; ``errors`` names each field with what is allowed."""

    default_code = "invalid_body"


def read_body(request: Request, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """The body's values; raise ``InvalidBody`` with one entry for each field that is missing, unknown or wrong."""
    data = request.data
    if not isinstance(data, Mapping):
        raise InvalidBody([{"parameter": "", "message": "Send a JSON object as the body."}])
    reader = serializer(data=data)
    known = ", ".join(reader.fields)
    errors = [
        {"parameter": str(name)[:80], "message": f"There is no field {str(name)[:80]!r} here. Known: {known}."}
        for name in data
        if name not in reader.fields
    ]
    if not reader.is_valid():
        errors += [
            {"parameter": str(name), "message": f"{name}: {message}"}
            for name, messages in reader.errors.items()
            for message in messages
        ]
    if errors:
        raise InvalidBody(errors)
    values: dict[str, Any] = dict(reader.validated_data)
    return values
