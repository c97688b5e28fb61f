"""People of the platform, and a ground on which every declared piece of evidence holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User

from productization.declared import declarations
from productization.tests.tree import Tree, make_tree


@pytest.fixture(scope="session")
def whole_tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Made once; a test that changes a file puts it back."""
    return make_tree(tmp_path_factory.mktemp("project"), declarations())


@pytest.fixture
def operator(db: None) -> Callable[..., User]:
    """Make a person of the platform with these permissions of the app: ``operator("ann", "change_trackeritem")``."""

    def make(username: str, *codenames: str) -> User:
        user = User.objects.create_user(username=username, is_staff=True)
        user.user_permissions.set(
            Permission.objects.filter(content_type__app_label="productization", codename__in=codenames)
        )
        return User.objects.get(pk=user.pk)

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty project."""
    return tmp_path
