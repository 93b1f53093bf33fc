"""Observations: what a valid (station, time) Dataset is, and how one is made of any source."""

from aqreanalysis.observations.contract import (
    default_variable,
    find_faults,
    selected_hours,
    step_hours,
    time_bounds,
    validate,
    values_of,
)
from aqreanalysis.observations.journal import ObservationError
from aqreanalysis.observations.reading import open_observations, open_stations
from aqreanalysis.observations.units import concentration_factor, to_concentration
from aqreanalysis.observations.writing import long_table, write_table

__all__ = [
    "ObservationError",
    "concentration_factor",
    "default_variable",
    "find_faults",
    "long_table",
    "open_observations",
    "open_stations",
    "selected_hours",
    "step_hours",
    "time_bounds",
    "to_concentration",
    "validate",
    "values_of",
    "write_table",
]
