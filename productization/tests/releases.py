"""A prepared release with its rows, cheaply: on a ground on which nothing is recorded."""

from __future__ import annotations

import tempfile
from pathlib import Path

from django.contrib.auth.models import User

from productization.declared import declarations
from productization.models import Release
from productization.proof.verify import Ground
from productization.services.releases import prepare_release
from productization.tests.tree import NOW


def bare_ground() -> Ground:
    """An empty folder: no evidence holds."""
    return Ground(Path(tempfile.gettempdir()) / "no-such-project", NOW, declarations())


def make_release(version: str = "1.0") -> Release:
    """As the superuser ``preparer``."""
    user = User.objects.filter(username="preparer").first() or User.objects.create_superuser("preparer")
    return prepare_release(version=version, reason="The quarter ends.", actor=user, ground=bare_ground())
