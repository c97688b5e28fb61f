"""Who may read: anyone of the tenant who holds a role. Who may change what is decided in the services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tenants.roles import roles_of

if TYPE_CHECKING:  # the framework loads this module while its views are still loading
    from rest_framework.views import APIView


class HoldsARole(BasePermission):
    """Authenticated is not enough: a user without a role reads nothing."""

    message = "Your user holds no role in this tenant. A tenant admin can grant one."
    code = "role_required"

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user and request.user.is_authenticated and roles_of(request.user))
