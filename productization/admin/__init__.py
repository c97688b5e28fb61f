"""The platform's pages: tracker, readiness board, releases."""

from productization.admin.releases import ReleaseAdmin
from productization.admin.tracker import TrackerAdmin

__all__ = ["ReleaseAdmin", "TrackerAdmin"]
