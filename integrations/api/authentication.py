"""Who calls: ``Authorization: Token KEY`` (or ``Bearer KEY``) against the tokens of the host's tenant."""

from __future__ import annotations

from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from integrations.models import ApiToken
from integrations.services.tokens import TokenInvalid, check_key

_SCHEMES = ("token", "bearer")


class TokenAuthentication(BaseAuthentication):
    """Opens the request as the token's user. ``request.auth`` is the ``ApiToken``."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, key = request.headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() not in _SCHEMES:
            return None
        key = key.strip()
        if not key or " " in key:
            raise AuthenticationFailed(
                "The Authorization header must read 'Token KEY', with one key after one space.", code="token_malformed"
            )
        try:
            token = check_key(key=key)
        except TokenInvalid as error:
            raise AuthenticationFailed(str(error), code=f"token_{error.reason}") from error
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Token realm="forecourt"'
