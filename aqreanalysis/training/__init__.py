"""Training by hiding stations, and how far hidden stations prove what was learned."""

from aqreanalysis.training.checkpoint import CheckpointError
from aqreanalysis.training.loop import FEWEST_FOR_HEADS, Trained, train
from aqreanalysis.training.outlooks import (
    Examples,
    Learned,
    Level,
    OutlookSchedule,
    learn,
)
from aqreanalysis.training.schedule import Schedule
from aqreanalysis.training.validation import Look, Validated

__all__ = [
    "FEWEST_FOR_HEADS",
    "CheckpointError",
    "Examples",
    "Learned",
    "Level",
    "Look",
    "OutlookSchedule",
    "Schedule",
    "Trained",
    "Validated",
    "learn",
    "train",
]
