"""A real server, a real worker, the demo's data, and Debian's Chromium."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, sync_playwright

from config.conf import BASE_DIR

_FOLDER = Path(os.environ.get("FORECOURT_E2E_DIR", BASE_DIR / "build" / "e2e"))
"""Made anew by every session; two at a time need a folder each."""
_CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


LOOKS = [
    ("light", 1280),
    ("dark", 390),
    pytest.param("light", 390, marks=pytest.mark.nightly),
    pytest.param("dark", 1280, marks=pytest.mark.nightly),
]
"""Colour scheme and width of the window: contrast hangs on the one, overflow on the other, so two show both; `make
nightly` looks at all four."""


@dataclass(frozen=True)
class Site:
    """The running demo: where it answers and who may sign in."""

    port: int
    logins: dict[str, dict[str, str]]
    env: dict[str, str]

    def url(self, schema_name: str, path: str = "/admin/") -> str:
        host = "localhost" if schema_name == "public" else f"{schema_name.replace('_', '-')}.localhost"
        return f"http://{host}:{self.port}{path}"

    def manage(self, *args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *args]
        return subprocess.run(command, cwd=BASE_DIR, env=self.env, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Make the demo in a folder of its own, from nothing, and serve it with `manage.py serve`."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
    data_dir = _FOLDER / "data"
    env = {**os.environ, "FORECOURT_DATA_DIR": str(data_dir), "FORECOURT_RUN_LOST_AFTER_SECONDS": "15"}
    env.pop("DATABASE_URL", None)
    port = _free_port()
    out = str(_FOLDER / "demo.json")
    made = subprocess.run([sys.executable, "manage.py", "demo", "--out", out], cwd=BASE_DIR, env=env, timeout=900)
    assert made.returncode == 0
    server = subprocess.Popen([sys.executable, "manage.py", "serve", "--port", str(port)], cwd=BASE_DIR, env=env)
    try:
        _wait_until_it_answers(port)
        logins = json.loads((data_dir / "demo-logins.json").read_text(encoding="utf-8"))
        yield Site(port=port, logins=logins, env=env)
    finally:
        server.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(timeout=60)
        server.kill()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "Install Debian's chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=_CHROMIUM_ARGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def cookies() -> dict[tuple[str, str], StorageState]:
    """What signed a person in, by schema and name: a password is typed once, as hashing it is slow on purpose."""
    return {}


@pytest.fixture
def sign_in(
    site: Site, browser: Browser, cookies: dict[tuple[str, str], StorageState]
) -> Iterator[Callable[..., Page]]:
    """Sign in as a person of the demo in a fresh browser context: ``sign_in("smb_tenant_a", "reviewer")``."""
    contexts: list[BrowserContext] = []

    def make(schema_name: str, username: str, **options: Any) -> Page:
        known = cookies.get((schema_name, username))
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "storage_state": known, **options})
        contexts.append(context)
        page = context.new_page()
        page.goto(site.url(schema_name))
        if page.locator("input[name=password]").count():  # the first time, or signed out since
            page.fill("input[name=username]", username)
            page.fill("input[name=password]", site.logins[schema_name][username])
            page.click("button[type=submit]")
            page.wait_for_url("**/admin/")
            cookies[schema_name, username] = context.storage_state()
        return page

    yield make
    for context in contexts:
        context.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_answers(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with (
            suppress(urllib.error.URLError, ConnectionError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz"),
        ):
            return
        time.sleep(0.3)
    raise AssertionError("the server did not answer within a minute")


def shot(page: Page, name: str) -> Path:
    """Keep a picture of the page under build/ for a person to look at."""
    path = _FOLDER / "shots" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, full_page=True)
    return path


def faults(page: Page, name: str) -> list[str]:
    """Keep a picture of the page, and say what is wrong with it: scrolling sideways, and what axe calls serious."""
    shot(page, name)
    found = (
        [] if page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1") else ["scrolls sideways"]
    )
    for violation in Axe().run(page).response["violations"]:
        if violation["impact"] in {"serious", "critical"}:
            found.append(f"{violation['id']} {[node['target'] for node in violation['nodes']][:3]}")
    return [f"{name}: {one}" for one in found]
