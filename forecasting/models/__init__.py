"""Tables of the tenant's demand, models, forecasts and decisions."""

from forecasting.models.accuracy import AccuracyRecord
from forecasting.models.assignment import ChampionAssignment, Channel
from forecasting.models.chain import Chain
from forecasting.models.decision import Decision
from forecasting.models.demand import Demand, KnownFuture, Series
from forecasting.models.discussion import MailPreference, PromotionComment, PromotionNotice
from forecasting.models.drill import DrillOutcome, RollbackDrill
from forecasting.models.forecast import ForecastPath, ForecastSet
from forecasting.models.gate import GatePolicy, GateReport, HoldoutAccess
from forecasting.models.hierarchy import ForecastNodePath, Level
from forecasting.models.promotion import PROMOTION_TRANSITIONS, DecisionCode, PromotionRequest, RequestState
from forecasting.models.registry import VERSION_TRANSITIONS, ModelArtifact, ModelSpec, ModelVersion, VersionStatus
from forecasting.models.replay import (
    REPLAY_TRANSITIONS,
    OrderCode,
    Replay,
    ReplayDay,
    ReplayDecision,
    ReplayDecisionState,
    ReplayState,
)
from forecasting.models.shadow import ShadowStanding, ShadowWindow, ShadowWinner
from forecasting.models.strategy import StrategyCycle, StrategyDecision

__all__ = [
    "PROMOTION_TRANSITIONS",
    "REPLAY_TRANSITIONS",
    "VERSION_TRANSITIONS",
    "AccuracyRecord",
    "Chain",
    "ChampionAssignment",
    "Channel",
    "Decision",
    "DecisionCode",
    "Demand",
    "DrillOutcome",
    "ForecastNodePath",
    "ForecastPath",
    "ForecastSet",
    "GatePolicy",
    "GateReport",
    "HoldoutAccess",
    "KnownFuture",
    "Level",
    "MailPreference",
    "ModelArtifact",
    "ModelSpec",
    "ModelVersion",
    "OrderCode",
    "PromotionComment",
    "PromotionNotice",
    "PromotionRequest",
    "Replay",
    "ReplayDay",
    "ReplayDecision",
    "ReplayDecisionState",
    "ReplayState",
    "RequestState",
    "RollbackDrill",
    "Series",
    "ShadowStanding",
    "ShadowWindow",
    "ShadowWinner",
    "StrategyCycle",
    "StrategyDecision",
    "VersionStatus",
]
