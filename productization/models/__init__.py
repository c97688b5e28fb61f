"""Tables of the tracker, all in the public schema."""

from productization.models.release import RELEASE_TRANSITIONS, Release, ReleaseState
from productization.models.tracker import CollectedStep, EvidencePiece, TestRun, TrackerItem

__all__ = [
    "RELEASE_TRANSITIONS",
    "CollectedStep",
    "EvidencePiece",
    "Release",
    "ReleaseState",
    "TestRun",
    "TrackerItem",
]
