"""Errors of time-travel replays."""

from __future__ import annotations

from forecasting.errors import ForecastingError, WrongRequest


class ReplayUnknown(WrongRequest):
    """There is no such replay in this tenant."""

    code = "replay_unknown"

    def __init__(self, replay: object) -> None:
        self.replay = replay
        super().__init__(f"There is no replay {replay}. Open “Replays” for those that exist.")


class ReplayNotPossible(ForecastingError):
    """What was asked cannot be made of the demand that is there."""

    code = "replay_not_possible"


class ReplayDataChanged(ForecastingError):
    """The demand that a replay walks through is not what it was when the replay began."""

    code = "replay_data_changed"

    def __init__(self, replay: int, until: object) -> None:
        self.replay, self.until = replay, until
        super().__init__(
            f"Demand up to {until}, or how the contract reads it, was changed since replay {replay} began, so it "
            "cannot go on to the same end. "
            "What it has found so far stays readable; start another replay."
        )


class ReplayGrainChanged(ForecastingError):
    """Demand is read by days now and by weeks then, or the other way round."""

    code = "replay_grain_changed"

    def __init__(self, replay: int, asked: str, now: str) -> None:
        self.replay, self.asked, self.now = replay, asked, now
        words = {"D": "daily", "W": "weekly"}
        super().__init__(
            f"Replay {replay} was asked for when demand was {words[asked]}; by the contract in force it is "
            f"{words[now]} now, so its days cannot be walked through any more. Start another replay."
        )


class ReplayNotResumable(ForecastingError):
    """It is at work, waits for a person, or has ended well."""

    code = "replay_not_resumable"

    def __init__(self, replay: int, state: str) -> None:
        self.replay, self.state = replay, state
        hint = (
            "A reviewer decides first, under Approvals." if state.startswith("waits") else "Nothing needs to be done."
        )
        super().__init__(f"Replay {replay} cannot be resumed: it is “{state}”. {hint}")


class ReplayNotCancellable(ForecastingError):
    """It has ended."""

    code = "replay_not_cancellable"

    def __init__(self, replay: int, state: str) -> None:
        self.replay, self.state = replay, state
        super().__init__(f"Replay {replay} cannot be cancelled: it is “{state}”.")


class ReplayQuestionUnknown(WrongRequest):
    """There is no such question."""

    code = "replay_question_unknown"

    def __init__(self, decision: object) -> None:
        self.decision = decision
        super().__init__(f"There is no question {decision} of a replay. Open “Approvals” for what waits.")


class ReplayQuestionClosed(ForecastingError):
    """Somebody was first, or the replay has ended."""

    code = "replay_question_closed"

    def __init__(self, decision: int, state: str, by: str) -> None:
        self.decision, self.state, self.by = decision, state, by
        who = f" by {by}" if by else ""
        super().__init__(f"This question was {state}{who} already. Look at its replay for what came of it.")


class OwnReplay(ForecastingError):
    """Whoever started a replay does not decide in it."""

    code = "own_replay"

    def __init__(self, person: str, replay: int) -> None:
        self.person, self.replay = person, replay
        super().__init__(
            f"{person} started replay {replay}, so another reviewer has to decide in it: as with a live promotion, "
            "two people stand behind it."
        )


class RecordedDecisionsUnusable(WrongRequest):
    """What should decide is no list of decisions."""

    code = "recorded_decisions_unusable"

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(
            f"The recorded decisions cannot be used: {why}. Give the replay_hitl_decisions.json of an earlier replay, "
            "or the number of one."
        )


class OrderEditWrong(WrongRequest):
    """An amount that cannot be ordered."""

    code = "order_edit_wrong"

    def __init__(self, series: str, why: str) -> None:
        self.series, self.why = series, why
        super().__init__(f"The order for {series} {why}.")
