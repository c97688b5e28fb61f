"""What came of each step of a chain, in words, with the page that shows it."""

from __future__ import annotations

from forecasting.models import ModelVersion, PromotionRequest, RequestState
from forecasting.models.gate import Verdict
from ledger.jobs import Said
from ledger.models import Run
from ledger.templatetags.forecourt import day, num, words

_VERSION, _SET, _RECORDS = (
    "forecasting_modelversion_change",
    "forecasting_forecastset_change",
    "forecasting_accuracyrecord_changelist",
)
_REPORT, _REQUEST = "forecasting_gatereport_change", "forecasting_promotionrequest_change"


def of_retrain(run: Run) -> list[Said]:
    """The version that was made."""
    made = ModelVersion.objects.filter(number=run.outputs["version"]).values_list("pk", flat=True).first()
    text = (
        f"v{run.outputs.get('version')}: {words(run.outputs.get('spec'))}, data until {day(run.outputs.get('as_of'))}"
    )
    return [Said(text, _VERSION, (made,)) if made is not None else Said(text)]


def of_forecast(run: Run) -> list[Said]:
    """How many forecasts, and whether the champion forecast beside it."""
    out = run.outputs
    text = f"{num(out.get('forecasts'))} forecasts of {num(out.get('series'))} series from {day(out.get('origin'))}"
    said = [Said(text, _SET, (out["forecast_set"],))]
    if out.get("champion_forecast_set"):
        said.append(Said("The champion forecast from the same day", _SET, (out["champion_forecast_set"],)))
    return said


def of_accuracy(run: Run) -> list[Said]:
    """How many forecasts met their days."""
    count, windows = run.outputs.get("records", 0), run.outputs.get("windows", 0)
    said = [Said("No forecast had further days to be measured on")]
    if count:
        said = [Said(f"{num(count)} forecast{'s' if count != 1 else ''} measured on the days that came", _RECORDS)]
    if windows:
        said.append(Said(f"{num(windows)} window{'s' if windows != 1 else ''} of challengers in shadow reckoned"))
    return said


def of_shadow(run: Run) -> list[Said]:
    """Who forecast in the shadow of whom."""
    out = run.outputs
    said = [Said(f"Champion v{out['champion']} from {day(out.get('origin'))}", _SET, (out["champion_forecast_set"],))]
    names = ", ".join(f"v{number}" for number in out.get("versions", []))
    said.append(Said(f"In its shadow: {names}" if names else "No version stands in its shadow"))
    if out.get("newer_than_the_origin"):
        newer = ", ".join(f"v{number}" for number in out["newer_than_the_origin"])
        said.append(Said(f"Not yet, because it knows later days: {newer}"))
    return said


def of_gate(run: Run) -> list[Said]:
    """The verdict, and what failed."""
    verdict, failing = str(run.outputs.get("verdict")), run.outputs.get("failing") or []
    text = words(verdict)
    if failing:
        text += f": {', '.join(str(name).replace('_', ' ') for name in failing)}"
    elif verdict == Verdict.ELIGIBLE:
        text += ": every gate passed"
    return [Said(text, _REPORT, (run.outputs["report"],))]


def of_request(run: Run) -> list[Said]:
    """The request and its state, or why none could be made."""
    asked = run.outputs.get("request")
    if asked is None:
        return [Said(f"Not asked for: {run.outputs.get('refused')}")]
    request = PromotionRequest.objects.filter(pk=asked).first()
    if request is None:
        return [Said("Approval was asked for")]
    if request.state == RequestState.PENDING:
        return [Said("Approval is asked for: a reviewer decides", _REQUEST, (asked,))]
    return [Said(f"Approval was asked for: {request.get_state_display().lower()}", _REQUEST, (asked,))]


def of_guard(run: Run) -> list[Said]:
    """Whether the refresh serves, and by what."""
    told = run.outputs.get("guard") or {}
    text = {"assigned": "It serves", "review": "A person decides", "held": "It does not serve"}.get(
        str(told.get("outcome")), ""
    )
    reason = str(told.get("reason", ""))
    said = [Said(f"{text}: {reason}", _REPORT, (told["report"],)) if told.get("report") else Said(f"{text}: {reason}")]
    if told.get("request"):
        said.append(Said("Approval is asked for", _REQUEST, (told["request"],)))
    return said
