"""Every error of the API as problem details (RFC 9457): what happened, what to do, and which parameter is wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.http import Http404, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.views import set_rollback

from ledger.api.errors import InvalidQuery, NotHere
from ledger.errors import DomainError

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
# A refusal of the domain is a conflict with the state of things, unless it is one of these.
_STATUS_OF_CODE = {
    **dict.fromkeys(("role_required", "own_request", "not_your_request"), HTTPStatus.FORBIDDEN),
    "request_not_found": HTTPStatus.NOT_FOUND,
    "unknown_tenant": HTTPStatus.NOT_FOUND,
    "file_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    **dict.fromkeys(
        ("file_empty", "file_name_unusable", "upload_broken", "idempotency_key_unusable", "reason_missing"),
        HTTPStatus.BAD_REQUEST,
    ),
    **dict.fromkeys(("role_not_in_contract", "sales_missing"), HTTPStatus.UNPROCESSABLE_ENTITY),
}
_ADVICE = {
    "not_authenticated": "Send 'Authorization: Token KEY'. A tenant admin makes tokens in the admin, under API tokens.",
    "not_found": "There is nothing at this address for you. /api/docs/ lists the addresses.",
}


def problem_details(exc: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """Turn any exception of an API view into its response; DRF's ``EXCEPTION_HANDLER``.

    The response is Django's own, not DRF's, so that an error is JSON also where the client asked for CSV.
    """
    if isinstance(exc, Http404):
        exc = NotHere(str(exc)) if exc.args and isinstance(exc.args[0], str) else NotHere()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    set_rollback()
    if isinstance(exc, exceptions.APIException):
        return _from_api(exc)
    if isinstance(exc, DomainError):
        return problem(status=_STATUS_OF_CODE.get(exc.code, HTTPStatus.CONFLICT), code=exc.code, detail=str(exc))
    request = context.get("request")
    log.error("API request failed: %s", getattr(request, "path", "?"), exc_info=exc)
    got_request_exception.send(sender=None, request=getattr(request, "_request", None))
    return problem(
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        code="internal_error",
        detail="Something broke on our side; nothing was changed. Try again, and tell the operator if it stays.",
    )


def problem(
    *,
    status: int,
    code: str,
    detail: str,
    errors: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """A problem-details response. ``errors`` has one entry per wrong field: parameter, message."""
    body = {
        "type": f"urn:forecourt:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "errors": list(errors),
    }
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE, headers=dict(headers or {}))


def _from_api(exc: exceptions.APIException) -> HttpResponse:
    headers: dict[str, str] = {"Cache-Control": "no-store"}
    auth_header = getattr(exc, "auth_header", None)
    if auth_header:
        headers["WWW-Authenticate"] = auth_header
    wait = getattr(exc, "wait", None)
    if wait:
        headers["Retry-After"] = str(int(wait))
    errors: Sequence[Mapping[str, Any]] = exc.errors if isinstance(exc, InvalidQuery) else _field_errors(exc.detail)
    codes = exc.get_codes()
    code = codes if isinstance(codes, str) else exc.default_code
    detail = str(exc.detail) if isinstance(exc.detail, str) else "Some values cannot be used; see errors."
    if code in _ADVICE and detail == str(exc.default_detail):
        detail = _ADVICE[code]
    return problem(status=exc.status_code, code=code, detail=detail, errors=errors, headers=headers)


def _field_errors(detail: Any) -> list[dict[str, str]]:
    """DRF's nested validation errors as a flat list of parameter and message."""
    if isinstance(detail, Mapping):
        return [
            {"parameter": str(name), "message": error["message"]}
            for name, value in detail.items()
            for error in _field_errors(value if isinstance(value, list | Mapping) else [value])
        ]
    if isinstance(detail, list):
        return [{"parameter": "", "message": str(item)} for item in detail]
    return []
