"""Collects the evidence: runs each declared step that is not done, records what it made, and goes on where it ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import get_commands
from django.db import connection, transaction
from django.utils import timezone

from ledger.services.audit import record
from productization.declared import Declarations, Step, declarations
from productization.errors import RecordUnreadable, StepUnknown
from productization.models import CollectedStep, TestRun
from productization.proof.evidence import Kind
from productization.proof.hashing import code_fingerprint, code_hashes, sha256_of
from productization.proof.outcomes import WHERE
from productization.proof.records import Made, read_records, write_steps
from productization.proof.verify import why_no_test
from productization.services.rendering import short_revision
from productization.services.test_runs import record_tests

TESTS = "pytest"
_SAID = 12
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a step: ``made``, ``kept`` (was done before), ``absent`` (no such command here), ``waits`` (for one
    that did not succeed) or ``failed``."""

    step: Step
    outcome: str
    seconds: float = 0.0
    words: str = ""

    @property
    def good(self) -> bool:
        """Whether what needs it may run."""
        return self.outcome in ("made", "kept")


def collect(
    *,
    say: Say,
    only: Sequence[str] = (),
    again: bool = False,
    declared: Declarations | None = None,
    root: Path | None = None,
) -> list[Done]:
    """Run the steps in order. only: those (and not what they need). again: also what was done before.

    A step is done where it succeeded in this database with this command on this code, and its files are still those
    that it made. Raises ``StepUnknown``.
    """
    steps = (declared or declarations()).steps
    folder = root or settings.BASE_DIR
    unknown = set(only) - {step.name for step in steps}
    if unknown:
        raise StepUnknown(min(unknown), [step.name for step in steps])
    done: dict[str, Done] = {}
    for step in steps:
        if only and step.name not in only:
            continue
        done[step.name] = _one(step, done, folder, declared or declarations(), again=again, say=say)
    return list(done.values())


def _one(step: Step, done: dict[str, Done], root: Path, declared: Declarations, *, again: bool, say: Say) -> Done:
    if step.command[0] != TESTS and step.command[0] not in get_commands():
        say(f"{step.name}: there is no command {step.command[0]} yet")
        return Done(step, "absent")
    lacking = [name for name in step.needs if name in done and not done[name].good]
    if lacking:
        say(f"{step.name}: waits for {', '.join(lacking)}")
        return Done(step, "waits", words=f"for {', '.join(lacking)}")
    if not again and not step.again and is_done(step, root, declared):
        say(f"{step.name}: done before")
        return Done(step, "kept")
    say(f"{step.name}: {step.title}")
    return _run(step, root, declared, say)


def is_done(step: Step, root: Path, declared: Declarations) -> bool:
    """Whether nothing of a step has to be done again."""
    if step.command[0] == TESTS:
        run = TestRun.objects.first()
        return run is not None and run.fingerprint == code_fingerprint(root) and _all_passed(run, declared)
    row = CollectedStep.objects.filter(name=step.name, succeeded=True).first()
    if row is None or row.command != _command(step) or row.code != code_hashes(root, step.proves):
        return False
    made = read_records(root).steps.get(step.name)
    files = dict(made.files) if made is not None else {}
    return files == _files(step, root) and (bool(files) or not step.artifacts)


def cited_tests(declared: Declarations) -> list[str]:
    """Node ids that rows and capabilities cite, each once; whether there are such tests is another question."""
    pieces = [piece for item in declared.items for piece in item.evidence]
    pieces += [piece for capability in declared.capabilities for piece in capability.built]
    return list(dict.fromkeys(piece.ref for piece in pieces if piece.kind is Kind.TEST))


def _all_passed(run: TestRun, declared: Declarations) -> bool:
    for ref in cited_tests(declared):
        found = [outcome for name, outcome in run.outcomes.items() if name == ref or name.startswith(f"{ref}[")]
        if not found or set(found) != {"passed"}:
            return False
    return True


def _command(step: Step) -> str:
    return " ".join(("pytest" if step.command[0] == TESTS else "manage.py", *step.command[step.command[0] == TESTS :]))


def _argv(step: Step, root: Path, declared: Declarations) -> list[str]:
    if step.command[0] == TESTS:
        there = [
            ref for ref in cited_tests(declared) if why_no_test(root, ref) is None
        ]  # one that is not ends them all
        return [sys.executable, "-m", "pytest", *step.command[1:], *there]
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *step.command]


def _run(step: Step, root: Path, declared: Declarations, say: Say) -> Done:
    code = code_hashes(root, step.proves)
    started = time.monotonic()
    connection.close()  # a step may take minutes, and may restart the database
    status, words = _process(_argv(step, root, declared), {**os.environ, **step.environment}, say)
    seconds = round(time.monotonic() - started, 1)
    files = _files(step, root)
    absent = [made for made in step.artifacts if not any(file == made or file.startswith(made) for file in files)]
    if status == 0 and absent:
        status, words = 1, f"It ended well, but did not write {', '.join(absent)}."
    if step.command[0] == TESTS:
        status, words = _take_in_tests(root, status, words)
    _keep(step, root, Made(_command(step), timezone.now().isoformat(timespec="seconds"), short_revision(), seconds,
                           code, files), succeeded=status == 0, words=words)  # fmt: skip
    say(f"{step.name}: {'done' if status == 0 else 'failed'} in {seconds:.0f} s")
    return Done(step, "made" if status == 0 else "failed", seconds, words)


def _process(argv: list[str], environment: dict[str, str], say: Say) -> tuple[int, str]:
    """Run a command, telling its words as they come; its status and its last words."""
    last: deque[str] = deque(maxlen=_SAID)
    with subprocess.Popen(  # noqa: S603  # declared in this project
        argv, cwd=settings.BASE_DIR, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace",
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            if line.strip():
                last.append(line.rstrip())
                say(f"    {line.rstrip()}")
    return process.returncode, "\n".join(last)


def _take_in_tests(root: Path, status: int, words: str) -> tuple[int, str]:
    """What the tests came to counts one by one, whether all passed or not."""
    try:
        record_tests(path=root / WHERE)
    except RecordUnreadable as error:
        return 1, f"{words}\n{error}"
    return status, words


def _files(step: Step, root: Path) -> dict[str, str]:
    """What the step's artifacts are now: file to SHA-256."""
    found: dict[str, str] = {}
    for made in step.artifacts:
        places = sorted((root / made).rglob("*")) if made.endswith("/") else [root / made]
        found |= {path.relative_to(root).as_posix(): sha256_of(path) for path in places if path.is_file()}
    return found


@transaction.atomic
def _keep(step: Step, root: Path, made: Made, *, succeeded: bool, words: str) -> None:
    """Record a step. What a failed one left is not recorded as made."""
    CollectedStep.objects.update_or_create(
        name=step.name,
        defaults={
            "command": made.command, "succeeded": succeeded, "seconds": made.seconds, "revision": made.revision,
            "code": dict(made.code), "words": words[-4000:], "ended_at": timezone.now(),
        },
    )  # fmt: skip
    record(event="tracker.step_collected", data={"step": step.name, "succeeded": succeeded, "seconds": made.seconds})
    steps = dict(read_records(root).steps)
    if succeeded and step.artifacts:
        steps[step.name] = made
    elif not succeeded:
        steps.pop(step.name, None)
    write_steps(root, steps)
