"""Branch protection: what the project declares, what GitHub enforces, and every way in which it cannot be asked."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.core.management.base import CommandError

from config.conf import BASE_DIR
from productization import github
from productization.github import RULESET, WORKFLOW, declared_ruleset, protection_finding
from productization.own_checks import protection_declared
from productization.proof.evidence import State
from productization.tests.github_server import GitHub, github_server

REPO = "acme/forecourt"
RULES = f"/repos/{REPO}/rules/branches/main"
CLASSIC = f"/repos/{REPO}/branches/main/protection/required_status_checks"


@pytest.fixture(scope="module")
def server() -> Iterator[GitHub]:
    with github_server() as serving:
        yield serving


@pytest.fixture
def api(server: GitHub, settings: Any) -> GitHub:
    server.answers.clear()
    server.asked.clear()
    settings.GITHUB_API, settings.GITHUB_TOKEN, settings.GITHUB_REPOSITORY = server.url, "token-of-a-test", REPO
    return server


def _enforced(**changes: Any) -> list[dict[str, Any]]:
    """The declared ruleset as the API tells rules in force; ``changes``: parameters of the required checks."""
    source = {"ruleset_source_type": "Repository", "ruleset_source": REPO, "ruleset_id": 42}
    rules = json.loads(json.dumps(declared_ruleset(BASE_DIR)["rules"]))
    for rule in rules:
        rule.update(source)
        if rule["type"] == "required_status_checks":
            rule["parameters"].update(changes)
    return list(rules)


def test_protection__rules_as_declared__is_verified(api: GitHub, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers[RULES] = (200, {}, _enforced())
    found = protection_finding()
    assert (found.state, found.facts["required"]) == (State.VERIFIED, ["browser", "documents", "lint", "tests"])
    ((path, headers),) = api.asked
    assert path == f"{RULES}?per_page=100&page=1"
    assert headers["authorization"] == "Bearer token-of-a-test"
    assert headers["accept"] == "application/vnd.github+json"
    call_command("check_branch_protection", "--repo", REPO)
    assert "required on main: browser, documents, lint, tests" in capsys.readouterr().out


def test_protection__a_check_not_required_or_a_rule_off__fails_by_name(api: GitHub) -> None:
    left = [{"context": "lint"}, {"context": "documents"}, {"context": "browser"}]
    rules = _enforced(required_status_checks=left, strict_required_status_checks_policy=False)
    api.answers[RULES] = (200, {}, [rule for rule in rules if rule["type"] != "deletion"])
    found = protection_finding()
    assert found.state is State.FAILED
    for words in ("not required: tests", "need not be up to date", "not in force: deletion", RULESET):
        assert words in found.reason
    with pytest.raises(CommandError, match="not required: tests") as caught:
        call_command("check_branch_protection", "--repo", REPO)
    assert caught.value.returncode == 1


def test_protection__checks_on_the_second_page__are_read(api: GitHub) -> None:
    others = [{"type": "commit_message_pattern", "parameters": {}}] * 100
    api.answers[RULES] = (200, {}, lambda query: others if query.endswith("&page=1") else _enforced())
    assert protection_finding().state is State.VERIFIED
    assert len(api.asked) == 2


def test_protection__older_branch_protection_only__its_checks_count(api: GitHub) -> None:
    others = [rule for rule in _enforced() if rule["type"] != "required_status_checks"]
    api.answers[RULES] = (200, {}, others)
    some = ["lint", "documents"]
    body = {"strict": True, "contexts": some, "checks": [{"context": "browser", "app_id": 1}]}
    api.answers[CLASSIC] = (200, {}, body)
    assert "not required: tests" in protection_finding().reason
    api.answers[CLASSIC] = (200, {}, {**body, "contexts": [*some, "tests"]})
    assert protection_finding().state is State.VERIFIED
    for status, message in ((404, "Branch not protected"), (403, "Resource not accessible by personal access token")):
        api.answers[CLASSIC] = (status, {}, {"message": message})
        assert "not required: browser, documents, lint, tests" in protection_finding().reason


_LIMIT = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1764240000"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (401, {}, {"message": "Bad credentials"}, "refused the token (401)"),
        (403, {}, {"message": "Resource not accessible by personal access token"}, "may not read this (403)"),
        (404, {}, {"message": "Not Found"}, "no such repository"),
        (403, _LIMIT, {"message": "API rate limit exceeded"}, "rate limit is used up until 10:40 UTC"),
        (403, {"retry-after": "60"}, {"message": "secondary rate limit"}, "ask again in 60 s"),
        (429, {}, {"message": "Too many requests"}, "rate limit is used up"),
        (301, {"Location": "http://127.0.0.1:1/repositories/7"}, {}, "has moved (301)"),
        (502, {}, b"<html>Bad gateway</html>", "status 502"),
        (200, {}, b"<html>Sign in</html>", "no JSON"),
        (200, {}, {"message": "hello"}, "no list of rules"),
        (200, {}, ["required_status_checks"], "cannot be read"),
        (200, {}, [{"type": "required_status_checks", "parameters": {"required_status_checks": [{}]}}], "cannot be"),
    ],
)
def test_protection__answers_that_are_none__each_say_what_to_do(
    api: GitHub, status: int, headers: dict[str, str], body: Any, words: str
) -> None:
    api.answers[RULES] = (status, headers, body)
    found = protection_finding()
    assert (found.state, words in found.reason) == (State.BLOCKED, True), found.reason
    assert "token-of-a-test" not in found.reason
    with pytest.raises(CommandError) as caught:
        call_command("check_branch_protection", "--repo", REPO)
    assert caught.value.returncode == 2
    assert len(api.asked) == 2  # one each: no redirect is followed


def test_protection__nobody_there_or_too_slow__is_blocked_with_the_reason(
    api: GitHub, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers[RULES] = (200, {}, _enforced())
    monkeypatch.setattr(github, "TIMEOUT_SECONDS", 0.05)
    api.delay = 0.3
    try:
        assert "did not answer within" in protection_finding().reason
    finally:
        api.delay = 0.0
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, never listening: nobody answers
        settings.GITHUB_API = f"http://127.0.0.1:{held.getsockname()[1]}"
        found = protection_finding()
    assert (found.state, "cannot be reached" in found.reason) == (State.BLOCKED, True)


def test_protection__no_token_or_repository__is_blocked_and_nobody_is_asked(api: GitHub, settings: Any) -> None:
    settings.GITHUB_TOKEN = ""
    assert "FORECOURT_GITHUB_TOKEN" in protection_finding().reason
    settings.GITHUB_TOKEN, settings.GITHUB_REPOSITORY = "token-of-a-test", ""
    assert "FORECOURT_GITHUB_REPOSITORY" in protection_finding().reason
    for name in ("forecourt", "acme/forecourt/extra", "acme/../x?y", "acme /forecourt"):
        found = protection_finding(repository=name)
        assert (found.state, "OWNER/NAME" in found.reason) == (State.BLOCKED, True)
    assert api.asked == []


def test_declared__ruleset_and_workflow__name_the_same_checks() -> None:
    assert protection_declared(BASE_DIR).state is State.VERIFIED


@pytest.mark.parametrize(
    ("file", "text", "state"),
    [
        (WORKFLOW, "jobs: {lint: {name: lint}}", State.FAILED),
        (WORKFLOW, "jobs: [lint]", State.MISSING),
        (WORKFLOW, ": : :", State.MISSING),
        (RULESET, "{}", State.MISSING),
        (RULESET, None, State.MISSING),
    ],
)
def test_declared__one_of_them_changed_or_damaged__is_told(
    tmp_path: Path, file: str, text: str | None, state: State
) -> None:
    for name in (WORKFLOW, RULESET):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text((BASE_DIR / name).read_text(encoding="utf-8"), encoding="utf-8")
    if text is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(text, encoding="utf-8")
    assert protection_declared(tmp_path).state is state


def test_workflow__jobs__run_every_step_of_the_gate_at_home() -> None:
    gate = (BASE_DIR / ".ci" / "run").read_text(encoding="utf-8")
    steps = set(re.findall(r"^step_(\w+)\(\)", gate, re.MULTILINE))
    jobs = yaml.safe_load((BASE_DIR / WORKFLOW).read_text(encoding="utf-8"))["jobs"]
    ran: set[str] = set()
    for job in jobs.values():
        commands = [step["run"] for step in job["steps"] if "run" in step]
        assert all(command.startswith(".ci/run ") for command in commands)
        ran |= {name for command in commands for name in command.split()[1:]}
    assert steps
    assert ran == steps
