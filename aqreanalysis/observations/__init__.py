"""Observations: what a valid (station, time) Dataset is, and how one is made of any source."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aqreanalysis.observations.checks.plausibility import Suspicion, suspicions
from aqreanalysis.observations.checks.quality import QualityLimits
from aqreanalysis.observations.checks.units import concentration_factor, to_concentration
from aqreanalysis.observations.contract import (
    default_variable,
    find_faults,
    stored_values,
    valid_variable,
    valid_variables,
    validate,
    value_range,
    values_of,
)
from aqreanalysis.observations.digest import input_digest
from aqreanalysis.observations.journal import ObservationError
from aqreanalysis.observations.quality_control import (
    QC_FLAGS,
    Quality,
    bits_of,
    qc,
    qc_table,
    usable,
)
from aqreanalysis.observations.time_axis import (
    period_bounds,
    selected_hours,
    step_hours,
    time_bounds,
    utc_period,
)

if TYPE_CHECKING:
    from aqreanalysis.observations.archive.writing import write_archive
    from aqreanalysis.observations.combining import combine
    from aqreanalysis.observations.reading import open_observations, open_stations
    from aqreanalysis.observations.writing import long_table, write_table

# What reads and writes files is imported when it is first used.
_HOMES = {
    "combine": "combining",
    "long_table": "writing",
    "open_observations": "reading",
    "open_stations": "reading",
    "write_archive": "archive.writing",
    "write_table": "writing",
}

__all__ = [
    "QC_FLAGS",
    "ObservationError",
    "Quality",
    "QualityLimits",
    "Suspicion",
    "bits_of",
    "combine",
    "concentration_factor",
    "default_variable",
    "find_faults",
    "input_digest",
    "long_table",
    "open_observations",
    "open_stations",
    "period_bounds",
    "qc",
    "qc_table",
    "selected_hours",
    "step_hours",
    "stored_values",
    "suspicions",
    "time_bounds",
    "to_concentration",
    "usable",
    "utc_period",
    "valid_variable",
    "valid_variables",
    "validate",
    "value_range",
    "values_of",
    "write_archive",
    "write_table",
]


def __getattr__(name: str) -> Any:
    """Return a name of `_HOMES` from its module, imported now."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
