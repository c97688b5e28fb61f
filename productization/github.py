"""What GitHub enforces on a branch, asked by its REST API, beside what this project declares.

Two doors are asked: the rules of all rulesets that are in force on the branch (`/repos/{owner}/{repo}/rules/branches/
{branch}`, https://docs.github.com/en/rest/repos/rules), and, where they require no check, the older branch protection
(`…/branches/{branch}/protection/required_status_checks`). What cannot be asked is told, never guessed.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from django.conf import settings

from productization.proof.evidence import Finding, State

BRANCH = "main"
WORKFLOW = ".github/workflows/ci.yml"
RULESET = f".github/rulesets/{BRANCH}.json"
TIMEOUT_SECONDS = 10.0
_PAGE, _PAGES, _MOST_BYTES = 100, 10, 2_000_000
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")


class NotAsked(Exception):
    """GitHub could not be asked, or did not answer the question; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Protection:
    """What is in force on a branch: the required checks, whether a branch must be up to date, and types of rules."""

    contexts: frozenset[str]
    strict: bool
    rules: frozenset[str]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is not followed: it would carry the token to another place."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def declared_checks(root: Path) -> frozenset[str]:
    """Names of the jobs of the workflow, as GitHub reports them; raises ValueError where it cannot be read."""
    try:
        body = yaml.safe_load((root / WORKFLOW).read_text(encoding="utf-8"))
        return frozenset(str(job.get("name", key)) for key, job in body["jobs"].items())
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{WORKFLOW} has no jobs that can be read ({type(error).__name__})") from error


def declared_ruleset(root: Path) -> dict[str, Any]:
    """The ruleset that is to be in force, in the form of GitHub's API; raises ValueError where it cannot be read."""
    try:
        body: dict[str, Any] = json.loads((root / RULESET).read_text(encoding="utf-8"))
        for rule in body["rules"]:
            str(rule["type"])
        return body
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{RULESET} is no ruleset ({type(error).__name__})") from error


def protection_of(body: Mapping[str, Any]) -> Protection:
    """What a list of rules demands."""
    contexts: set[str] = set()
    strict = False
    for rule in body["rules"]:
        if rule.get("type") == "required_status_checks":
            given = rule.get("parameters") or {}
            contexts |= {str(check["context"]) for check in given.get("required_status_checks", [])}
            strict = strict or bool(given.get("strict_required_status_checks_policy"))
    return Protection(frozenset(contexts), strict, frozenset(str(rule.get("type")) for rule in body["rules"]))


def protection_finding(root: Path | None = None, repository: str | None = None) -> Finding:
    """Whether the repository enforces what is declared; ``blocked`` with what is wanting where it cannot be asked."""
    folder = root or settings.BASE_DIR
    repository = repository or settings.GITHUB_REPOSITORY
    try:
        checks, wanted = declared_checks(folder), protection_of(declared_ruleset(folder))
    except ValueError as error:
        return Finding(State.MISSING, f"{error}.")
    if not settings.GITHUB_TOKEN:
        return Finding(State.BLOCKED, "GitHub was not asked: there is no token. Set FORECOURT_GITHUB_TOKEN to one that "
                       "may read the repository, and FORECOURT_GITHUB_REPOSITORY.")  # fmt: skip
    if not repository:
        return Finding(State.BLOCKED, "GitHub was not asked: FORECOURT_GITHUB_REPOSITORY names no repository.")
    try:
        found = ask(repository)
    except NotAsked as error:
        return Finding(State.BLOCKED, str(error), {"repository": repository})
    return _compared(repository, found, checks, wanted)


def _compared(repository: str, found: Protection, checks: frozenset[str], wanted: Protection) -> Finding:
    facts = {
        "repository": repository,
        "branch": BRANCH,
        "required": sorted(found.contexts),
        "rules": sorted(found.rules),
    }
    problems = []
    if missing := sorted(checks - found.contexts):
        problems.append(f"not required: {', '.join(missing)}")
    if wanted.strict and not found.strict:
        problems.append("branches need not be up to date")
    if lacking := sorted(wanted.rules - found.rules - {"required_status_checks"}):
        problems.append(f"rules not in force: {', '.join(lacking)}")
    if problems:
        said = f"{BRANCH} of {repository} is open: {'; '.join(problems)}. Import {RULESET} under Settings, Rules."
        return Finding(State.FAILED, said, facts)
    return Finding(State.VERIFIED, facts=facts)


def ask(repository: str) -> Protection:
    """What is in force on the main branch; raises ``NotAsked``."""
    if not _REPOSITORY.fullmatch(repository):
        raise NotAsked(f"{repository!r} is no repository. Write it as OWNER/NAME.")
    base = f"/repos/{repository}"
    rules = [rule for page in _pages(f"{base}/rules/branches/{quote(BRANCH)}") for rule in page]
    try:
        found = protection_of({"rules": rules})
    except (KeyError, TypeError, AttributeError) as error:
        raise NotAsked("GitHub answered with rules that cannot be read; its API may have changed.") from error
    if "required_status_checks" in found.rules:
        return found
    return _with_classic(found, f"{base}/branches/{quote(BRANCH)}/protection/required_status_checks")


def _with_classic(found: Protection, path: str) -> Protection:
    """The rules, and beside them the older branch protection where the token may read it and there is any."""
    try:
        body, _ = _get(path)
    except _Absent:
        return found
    except _Forbidden:
        return found  # it needs more rights than the rules do
    if not isinstance(body, dict):
        raise NotAsked("GitHub answered with a branch protection that cannot be read; its API may have changed.")
    contexts = {str(name) for name in body.get("contexts") or []}
    contexts |= {str(one.get("context")) for one in body.get("checks") or [] if isinstance(one, dict)}
    return Protection(frozenset(contexts), bool(body.get("strict")), found.rules)


class _Absent(NotAsked):
    """404."""


class _Forbidden(NotAsked):
    """403 that is no rate limit."""


def _pages(path: str) -> Iterator[list[Any]]:
    for number in range(1, _PAGES + 1):
        body, _ = _get(f"{path}?per_page={_PAGE}&page={number}")
        if not isinstance(body, list):
            raise NotAsked("GitHub answered with something that is no list of rules; its API may have changed.")
        yield body
        if len(body) < _PAGE:
            return


def _get(path: str) -> tuple[Any, Mapping[str, str]]:
    request = urllib.request.Request(  # noqa: S310  # the operator's own setting
        settings.GITHUB_API + path,
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {settings.GITHUB_TOKEN}",
            "User-Agent": "forecourt",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    try:
        with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return json.loads(answer.read(_MOST_BYTES)), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error) from error
    except TimeoutError as error:
        raise NotAsked(f"GitHub did not answer within {TIMEOUT_SECONDS:.0f} s. Try again later.") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise NotAsked(f"GitHub did not answer within {TIMEOUT_SECONDS:.0f} s. Try again later.") from error
        raise NotAsked(f"{settings.GITHUB_API} cannot be reached ({error.reason}).") from error
    except (OSError, http.client.HTTPException) as error:
        raise NotAsked(f"The connection to {settings.GITHUB_API} broke off ({type(error).__name__}).") from error
    except ValueError as error:
        raise NotAsked(f"{settings.GITHUB_API} answered with something that is no JSON.") from error


def _refusal(error: urllib.error.HTTPError) -> NotAsked:
    """What a status means, and what to do about it (https://docs.github.com/en/rest/using-the-rest-api)."""
    limited = error.headers.get("x-ratelimit-remaining") == "0" or error.headers.get("retry-after") is not None
    if error.code == 429 or (error.code == 403 and limited):
        return NotAsked(f"GitHub's rate limit is used up{_until(dict(error.headers.items()))}.")
    if error.code == 401:
        return NotAsked("GitHub refused the token (401): it is wrong or has expired. Make a new one.")
    if error.code == 403:
        return _Forbidden("The token may not read this (403): give it the permission Metadata (read).")
    if error.code == 404:
        return _Absent("GitHub shows no such repository to this token (404): check the name and what it may see.")
    if 300 <= error.code < 400:
        return NotAsked(f"The repository has moved ({error.code}): name it by its new name.")
    return NotAsked(f"GitHub answered with status {error.code}. Try again later.")


def _until(headers: Mapping[str, str]) -> str:
    given = {name.lower(): value for name, value in headers.items()}
    wait, reset = given.get("retry-after"), given.get("x-ratelimit-reset")
    if wait is not None and wait.isdigit():
        return f"; ask again in {wait} s"
    if reset is not None and reset.isdigit():
        return f" until {datetime.fromtimestamp(int(reset), UTC):%H:%M} UTC"
    return ""
