"""The hours and stations that an outlook learns from, and is validated on."""

import logging

import numpy as np
import xarray as xr

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.observations import selected_hours, step_hours, values_of
from aqreanalysis.outlook.requests import LEAST_HISTORY_HOURS

logger = logging.getLogger(__name__)

#: Share of the hours, at the end, that learning is validated on, where no period is named.
VALIDATION_SHARE = 1 / 6


def split_hours(
    observations: xr.Dataset, validation: slice | None, *, leads: int
) -> tuple[int, int]:
    """Return the first column of the validation period and the one behind its last.

    By default the period is the last sixth of the hours, a day at least.

    Raises
    ------
    ValueError
        If what comes before is shorter than a day and a horizon, or the period than a day.
    """
    hours, step = observations.sizes[TIME], step_hours(observations)
    day = round(LEAST_HISTORY_HOURS / step) or 1
    if validation is None:
        first, last = hours - max(day, round(VALIDATION_SHARE * hours)), hours
    else:
        selected = selected_hours(observations[TIME], validation)
        first, last = selected.start, selected.stop
    if first < day + leads or last - first < day:
        raise ValueError(
            f"an outlook of {leads * step:g} h learns from at least {(day + leads) * step:g} h, "
            f"and a day more to validate on; found {max(first, 0) * step:g} h and "
            f"{(last - first) * step:g} h. Ask for a shorter horizon, or give more hours"
        )
    return first, last


def stations_with_values(observations: xr.Dataset, variable: str) -> xr.Dataset:
    """Return the stations that report at all.

    Raises
    ------
    ValueError
        If none does.
    """
    there = np.isfinite(values_of(observations, variable)).any(axis=1)
    if not there.any():
        raise ValueError(f"no station has a value of {variable!r} in the hours to learn from")
    if not there.all():
        logger.warning(
            "%d stations never report %s and are left out, for example %s",
            (~there).sum(),
            variable,
            observations[STATION].values[~there][0],
        )
    return observations.isel({STATION: there})


def check_validation(observations: xr.Dataset, variable: str) -> None:
    """Refuse a validation period without any value, on which nothing can be calibrated.

    Raises
    ------
    ValueError
        If no station has a value in it.
    """
    if not np.isfinite(values_of(observations, variable)).any():
        first, last = np.datetime_as_string(observations[TIME].values[[0, -1]], unit="m")
        raise ValueError(
            f"no station has a value of {variable!r} in the validation period, {first} to {last} "
            "UTC; end the observations where measurements end, or give validation=slice(...)"
        )
