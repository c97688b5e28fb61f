"""Tables of the public schema."""

from tenants.models.heartbeat import Heartbeat
from tenants.models.tenant import TENANT_TRANSITIONS, Domain, Tenant, TenantStatus, TenantTier

__all__ = ["TENANT_TRANSITIONS", "Domain", "Heartbeat", "Tenant", "TenantStatus", "TenantTier"]
