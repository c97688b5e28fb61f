"""What goes wrong with what serves, told to who is on duty: this app's kinds of incident."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from forecasting import selectors
from forecasting.engine.regression import GONE, Regression
from forecasting.errors import ArtifactCorrupt
from forecasting.errors_rollback import StorageUnavailable
from forecasting.models import ChampionAssignment, DrillOutcome, ModelVersion, RollbackDrill
from integrations.incidents import Check, Step, Trigger, register_trigger, register_watch
from integrations.services.incidents import open_incident

if TYPE_CHECKING:
    from integrations.models import Incident

ARTIFACT_CORRUPT, ACCURACY_REGRESSION = "artifact_corrupt", "accuracy_regression"
DRILL_FAILED = "drill_failed"
VERIFY_CHAMPION = "forecasting.verify_champion"


def artifact_corrupt(error: ArtifactCorrupt) -> None:
    """A stored model is not what was registered. Outside of the transaction that the refusal rolls back."""
    open_incident(
        trigger=ARTIFACT_CORRUPT,
        subject=f"v{error.version}",
        summary=str(error),
        facts={"role": error.role, "file": error.file, "expected": error.expected, "found": error.found},
    )


def accuracy_regression(champion: ChampionAssignment, told: Regression) -> None:
    """The champion's error in service is worse than what it was approved with."""
    version = champion.version
    open_incident(
        trigger=ACCURACY_REGRESSION,
        subject=version.label,
        summary=f"{version}: {told.reason}.",
        facts={"rule": told.to_json(), "assignment": champion.pk, "since": champion.from_at.isoformat()},
        severity="sev1" if told.severity == GONE else None,
    )


def drill_failed(drill: RollbackDrill) -> None:
    """A drill proved less than it should: a rollback may not help when it is needed."""
    open_incident(
        trigger=DRILL_FAILED, summary=drill.sentence, facts={"drill": drill.pk, "run": str(drill.run_id)}
    )  # fmt: skip


def _artifact_whole(incident: Incident) -> Check:
    from forecasting.services.artifacts import verify_files  # brings the forecasting libraries with it

    number = re.fullmatch(r"v([0-9]+)", incident.subject)
    version = ModelVersion.objects.filter(number=int(number.group(1))).first() if number else None
    if version is None:
        return Check(False, f"There is no version {incident.subject!r} to look at.")
    try:
        verified = verify_files(version)
    except (ArtifactCorrupt, StorageUnavailable) as error:
        return Check(False, str(error))
    return Check(True, f"All {verified.files} files of {version.label} are what was registered.")


def _regression_over(incident: Incident) -> Check:
    from forecasting.services.accuracy_watch import regression_of

    champion = selectors.current_champion()
    if champion is None or champion.version.label != incident.subject:
        serves = champion.version.label if champion is not None else "nothing"
        return Check(True, f"{incident.subject} serves no longer; {serves} does.")
    told = regression_of(champion.version)
    return Check(not told.detected, f"{told.reason[:1].upper()}{told.reason[1:]}.")


def _drilled_again(incident: Incident) -> Check:
    newest = RollbackDrill.objects.exclude(outcome=DrillOutcome.STOPPED).first()
    if newest is None or newest.finished_at <= incident.last_seen_at:
        return Check(False, "No drill has ended since. Start one: Drills, Run a drill.")
    return Check(newest.outcome == DrillOutcome.PASSED, newest.sentence)


def _watch_readiness() -> None:
    from forecasting.services.readiness import review_readiness

    review_readiness(actor=None)


def register() -> None:
    """Make this app's kinds of incident and its watch known."""
    register_watch("tier", _watch_readiness)  # after the others, which ask for the readiness as it was
    register_trigger(
        Trigger(
            name=ARTIFACT_CORRUPT,
            title="A stored model is damaged",
            severity="sev2",
            meaning="A file of a version is missing, short or changed. That version cannot serve again until it is "
            "restored; what serves now goes on.",
            steps=(
                Step("which", "Read which file it is", "The summary names version, fit and file."),
                Step("serve", "See that another version can be put back", "Champions, then Roll back."),
                Step("restore", "Restore the file from the store's backup", "Its SHA-256 must be the registered one."),
                Step("cause", "Find what changed it: a disk, a hand, a program", "Look at the store's own log."),
            ),
            check=_artifact_whole,
        )
    )
    register_trigger(
        Trigger(
            name=ACCURACY_REGRESSION,
            title="The champion forecasts worse than it was approved for",
            severity="sev2",
            meaning="Its error on the days that came is far above what its judgement promised, and not because those "
            "days were hard: seasonal naive did better on them than it should. Orders are made on worse forecasts.",
            steps=(
                Step(
                    "data", "Look whether the data of these days is right", "Deliveries, Changed columns, the series."
                ),
                Step("since", "Find since when, and whether one store or class carries it", "Accuracy, newest record."),
                Step("back", "Roll back, if an earlier version did better", "Front page, Roll back: it takes seconds."),
                Step("train", "Else retrain on the newest data", "Versions, Retrain now; the gates judge it."),
            ),
            check=_regression_over,
            closes_itself=True,
        )
    )
    register_trigger(
        Trigger(
            name=DRILL_FAILED,
            title="A rollback drill failed",
            severity="sev2",
            meaning="A damaged model was not noticed, or what served before was not put back bit for bit, or the drill "
            "did not come to its end. Until it passes, nobody knows that a rollback would help.",
            steps=(
                Step("which", "Read which check failed", "Drills, the newest; each check says why."),
                Step("cause", "Find the step's run and its error", "The drill's page links the run of every step."),
                Step("again", "Mend it and run another drill", "Drills, Run a drill; it takes minutes."),
            ),
            check=_drilled_again,
            closes_itself=True,
        )
    )
