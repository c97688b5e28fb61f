"""``POST /api/v1/ingest/{source}/``: a file of sales as the request's body, received like any other delivery."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest, QueryDict
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.delivery_errors import FileTooLarge, NoContractInForce, UploadBroken
from integrations.engine.contract_model import FileFormat, Role
from integrations.models import Source
from integrations.services.contracts import contract_of
from integrations.services.deliveries import Upload, Via, receive
from ledger.api.base import StrictView
from ledger.api.errors import NotHere
from ledger.api.params import Param, Query
from ledger.models import RunState
from tenants.roles import Role as TenantRole
from tenants.roles import require_role

_MEDIA_TYPES = {
    "text/csv": FileFormat.CSV,
    "application/csv": FileFormat.CSV,
    "application/x-ndjson": FileFormat.NDJSON,
    "application/ndjson": FileFormat.NDJSON,
    "application/jsonl": FileFormat.NDJSON,
}
_GZIP = b"\x1f\x8b"


class Refused(APIException):
    """A request that is no delivery: its headers or its body cannot be used."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status_code = status
        super().__init__(message, code=code)


class RawBody(BaseParser):
    """The body stays a stream; the view reads it."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return QueryDict()  # asked for by the check of a browser session's token, which then comes as a header


class DeliverySerializer(serializers.Serializer[Any]):
    """What was received, and the run to follow."""

    delivery = serializers.IntegerField(source="delivery.pk")
    source = serializers.CharField(  # type: ignore[assignment]  # the public name; the framework's own is unused here
        source="delivery.source.name"
    )
    run = serializers.UUIDField(source="run.pk")
    run_url = serializers.SerializerMethodField(help_text="The run: its state, and the verdict and findings when done.")
    state = serializers.ChoiceField(choices=RunState.choices, source="run.state")
    received_at = serializers.DateTimeField(source="delivery.received_at")

    def get_run_url(self, receipt: Any) -> str:
        address: str = self.context["run_url"]
        return address


class IngestView(StrictView):
    """The door for programs."""

    parser_classes = (RawBody,)
    query = Query(
        Param("name", "What the file is called where people see it."),
    )

    @extend_schema(
        operation_id="ingest_create",
        tags=["ingest"],
        request={
            "text/csv": OpenApiTypes.BINARY,
            "application/x-ndjson": OpenApiTypes.BINARY,
        },
        parameters=[
            *query.openapi(),
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                required=True,
                description="Yours, 1 to 200 characters. The same key with the same bytes gives the same run.",
            ),
            OpenApiParameter(
                "Content-Encoding",
                str,
                OpenApiParameter.HEADER,
                enum=["gzip", "identity"],
                description="`gzip` or none.",
            ),
        ],
        responses={
            202: OpenApiResponse(DeliverySerializer, description="Received. `Location` is the run to follow."),
            411: OpenApiResponse(description="The length of the body is not announced."),
            409: OpenApiResponse(description="The source is paused, or the key was used for other bytes."),
            413: OpenApiResponse(description="Larger than a file may be."),
            415: OpenApiResponse(description="Not CSV or NDJSON, or not the format that the contract says."),
        },
    )
    def post(self, request: Request, source: str) -> Response:
        """Send a file of sales; it is read in the background, after all earlier ones of the source."""
        require_role(request.user, TenantRole.TENANT_ADMIN)
        found = Source.objects.filter(name=source).first()
        if found is None:
            raise NotHere(f"There is no source {source[:80]!r} in this tenant.")
        key = request.headers.get("Idempotency-Key")
        if key is None:
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                "idempotency_key_missing",
                "Send an Idempotency-Key header: the same key for the same file, so that sending twice loads once.",
            )
        packed = _is_packed(request)
        file_format = _format(request)
        _check_format(found, file_format)
        suffix = f".{file_format.value}{'.gz' if packed else ''}"
        receipt = receive(
            source=found,
            uploads=[
                Upload(
                    self.params["name"] or f"{source}-{Role.TRANSACTIONS.value}{suffix}",
                    _body(request, packed),
                    Role.TRANSACTIONS,
                )
            ],
            via=Via.API,
            actor=request.user,  # type: ignore[arg-type]  # a tenant admin by now
            idempotency_key=key,
        )
        run_url = request.build_absolute_uri(reverse("api-run", args=[receipt.run.pk]))
        body = DeliverySerializer(receipt, context={"run_url": run_url}).data
        headers = {"Location": run_url, "Cache-Control": "no-store"}
        if receipt.repeated:
            headers["Idempotency-Replayed"] = "true"
        return Response(body, status=HTTPStatus.ACCEPTED, headers=headers)


def _format(request: Request) -> FileFormat:
    media_type = (request.content_type or "").partition(";")[0].strip().lower()
    if media_type not in _MEDIA_TYPES:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            f"Send text/csv or application/x-ndjson as Content-Type, not {media_type[:80] or 'nothing'!r}.",
        )
    return _MEDIA_TYPES[media_type]


def _is_packed(request: Request) -> bool:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("gzip", "identity"):
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            f"Content-Encoding may be gzip or be left out, not {encoding[:40]!r}.",
        )
    return encoding == "gzip"


def _check_format(source: Source, file_format: FileFormat) -> None:
    """A file in another format than the contract's would only fail later, in the background."""
    contract = source.active_contract
    if contract is None:
        raise NoContractInForce(source.name)
    spec = contract_of(contract).files.by_role()[Role.TRANSACTIONS]
    if spec.format is not file_format:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "format_not_in_contract",
            f"The contract of {source.name} says that its sales are {spec.format.value}, not {file_format.value}. "
            "Send that, or change the contract.",
        )


class _Body:
    """The request's body as it arrives; one that ends before its announced length is broken."""

    def __init__(self, request: HttpRequest, length: int, packed: bool) -> None:
        self._request, self._left, self._packed, self._first = request, length, packed, True

    def read(self, size: int, /) -> bytes:
        try:
            block: bytes = self._request.read(size)
        except OSError as problem:  # the client went away
            raise UploadBroken("The body", "broke off") from problem
        self._left -= len(block)
        if not block and self._left > 0:
            raise UploadBroken("The body", f"ended {self._left:,} bytes before its Content-Length")
        if self._first and self._packed and block and not block.startswith(_GZIP):
            raise UploadBroken("The body", "is announced as gzip and is none")
        self._first = False
        return block


def _body(request: Request, packed: bool) -> _Body:
    """The body, refused early where it announces more bytes than a file may have."""
    try:
        length = int(request.headers.get("Content-Length") or 0)
    except ValueError:
        length = 0
    if "Transfer-Encoding" in request.headers:  # whether such a body came wholly could not be told
        raise Refused(
            HTTPStatus.LENGTH_REQUIRED,
            "length_required",
            "Send the body with a Content-Length, not in chunks: give your program the file, not a pipe.",
        )
    if length > settings.UPLOAD_MAX_BYTES:
        raise FileTooLarge("The body")
    return _Body(request._request, length, packed)
