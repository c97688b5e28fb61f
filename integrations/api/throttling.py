"""How often a client may call: counted for each token, so that one busy client does not starve another of its user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from integrations.models import ApiToken

if TYPE_CHECKING:  # the framework loads this module while its views are still loading
    from rest_framework.views import APIView


class TokenRateThrottle(SimpleRateThrottle):
    """Rate ``token`` of the settings, by token; by user in a browser session. The cache's keys carry the tenant."""

    scope = "token"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        if isinstance(request.auth, ApiToken):
            ident = f"token-{request.auth.pk}"
        elif request.user and request.user.is_authenticated:
            ident = f"user-{request.user.pk}"
        else:
            return None  # refused as anonymous anyway
        return self.cache_format % {"scope": self.scope, "ident": ident}
