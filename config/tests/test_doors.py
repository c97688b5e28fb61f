"""What stands between a person's mistake and a traceback: the command line, the settings, the port, the secrets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.management.base import CommandError

from config.conf import BASE_DIR, ConfigurationError, read_database_url
from config.management.commands.serve import require_free_port
from config.secrets import kept_secret


def _manage(data_dir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=BASE_DIR,
        env={**os.environ, "FORECOURT_DATA_DIR": str(data_dir), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/forecourt"}, "check DATABASE_URL"),
        ({"DATABASE_URL": "mysql://127.0.0.1/forecourt"}, "DATABASE_URL cannot be read"),
        ({"PORT": "many"}, "PORT"),
        ({"FORECOURT_MODE": "production", "DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "FORECOURT_SECRET_KEY"),
    ],
)
def test_command__database_down_or_setting_wrong__is_one_line_and_exit_2(
    tmp_path: Path, environment: dict[str, str], words: str
) -> None:
    ended = _manage(tmp_path, "verify_ledger", **{"FORECOURT_SECRET_KEY": "", **environment})
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert words in line


@pytest.mark.parametrize("url", ["elsewhere", "mysql://host/name", "postgresql://me:secret@host:port/name"])
def test_database_url__not_of_a_postgresql__is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="write it as postgresql://") as caught:
        read_database_url(url)
    assert "secret" not in str(caught.value)


def test_port__in_use__is_refused_naming_another() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(CommandError, match=f"Port {port} is in use.*PORT={port + 1}") as caught:
            require_free_port(port)
    assert caught.value.returncode == 2
    require_free_port(port)


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_port__that_is_none__is_refused(port: int) -> None:
    with pytest.raises(CommandError, match="no port") as caught:
        require_free_port(port)
    assert caught.value.returncode == 2


def test_secret__asked_for_by_many_at_once__is_one_and_private(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: kept_secret(tmp_path / "data", "key"), range(32)))
    (secret,) = found
    assert len(secret) >= 50
    path = tmp_path / "data" / "key"
    assert (path.read_text(), path.stat().st_mode & 0o777) == (secret, 0o600)
    assert list(path.parent.iterdir()) == [path]
