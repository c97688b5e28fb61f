"""Addresses that belong to no data: the caller's own token, and everything that does not exist."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from integrations.models import ApiToken
from ledger.api.base import StrictView
from ledger.api.errors import NotHere
from tenants.roles import Role, roles_of


class CallerSerializer(serializers.Serializer[Any]):
    """Who calls, and how long they may."""

    tenant = serializers.CharField()
    user = serializers.CharField()
    roles = serializers.ListField(child=serializers.ChoiceField(choices=[role.value for role in Role]))
    token = serializers.CharField(allow_null=True, help_text="The token's name; null in a browser session.")
    expires_at = serializers.DateTimeField(allow_null=True)


class CallerView(StrictView):
    """The caller."""

    @extend_schema(operation_id="token_retrieve", tags=["token"], responses=CallerSerializer)
    def get(self, request: Request) -> Response:
        """Show whose token this is, its roles and when it expires."""
        token = request.auth if isinstance(request.auth, ApiToken) else None
        caller = {
            "tenant": request._request.tenant.name,  # type: ignore[attr-defined]  # set by the tenant middleware
            "user": request.user.get_username(),
            "roles": sorted(role.value for role in roles_of(request.user)),
            "token": token.name if token else None,
            "expires_at": token.expires_at if token else None,
        }
        return Response(CallerSerializer(caller).data)


class NothingHereView(APIView):
    """Answers every other address under /api/ with problem details instead of a web page."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()

    @extend_schema(exclude=True)
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotHere()


class DocsView(SpectacularSwaggerSplitView):
    """The interactive page. Its script has an address of its own, so that no script stands in the page."""

    authentication_classes = ()
    url_name = "api-schema"
