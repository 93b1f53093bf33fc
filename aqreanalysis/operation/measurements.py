"""The measurements of a run: the last hours of what is given, judged, with their digests."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aqreanalysis.conventions import STATION, TIME
from aqreanalysis.methods.neural.batches import clock_of
from aqreanalysis.methods.neural.reanalyser import Reanalyser
from aqreanalysis.observations import (
    ObservationError,
    Quality,
    step_hours,
    stored_values,
    usable,
    validate,
)
from aqreanalysis.operation.digests import hourly_digests
from aqreanalysis.operation.plan import Measured
from aqreanalysis.untrusted import check_size

logger = logging.getLogger(__name__)

#: Hours by which a label may be later than the clock.
AHEAD_HOURS = 1.0
#: Hours before the window of revision that quality control sees as well.
JUDGED_HOURS = 14 * 24.0


@dataclass(frozen=True)
class Measurements:
    """What is used of observations, hour by hour.

    Attributes
    ----------
    used : Dataset
        Without what cannot be weather.
    given, measured : Measured
        Digests of what was given, and of what is used of it.
    """

    used: xr.Dataset
    given: Measured
    measured: Measured

    def label(self, number: int) -> np.datetime64:
        """Return the label of an hour by its number, also before the first one."""
        first = self.used[TIME].values[0].astype("datetime64[ns]")
        steps = number - self.measured.first
        return first + steps * np.timedelta64(round(step_hours(self.used) * 3.6e12), "ns")

    def between(self, begin: int, end: int) -> xr.Dataset:
        """Return hours by their numbers; those before the first one are missing."""
        first = self.measured.first
        part = self.used.isel({TIME: slice(max(begin - first, 0), end - first)})
        if begin >= first:
            return part
        labels = np.array([self.label(number) for number in range(begin, end)])
        filled = part.reindex({TIME: labels})
        filled[TIME].attrs = dict(part[TIME].attrs)
        return filled

    def newest_report(self, now: datetime | None) -> float | None:
        """Return the age of the newest label at which any station reports, in hours, if any."""
        hours = np.flatnonzero(self.measured.digests)
        if not hours.size:
            return None
        age = _clock(now) - self.label(self.measured.first + int(hours[-1]))
        return round(float(age / np.timedelta64(1, "h")), 2)

    def reports(self, begin: int, end: int, variable: str) -> NDArray[np.bool_]:
        """Return which stations report in some hours, (station,)."""
        low, high = (max(number - self.measured.first, 0) for number in (begin, end))
        return np.isfinite(stored_values(self.used, variable)[:, low:high]).any(axis=1)


def up_to(observations: xr.Dataset, now: datetime | None) -> xr.Dataset:
    """Return observations without hours that are still to come.

    Raises
    ------
    ObservationError
        If all are.
    """
    latest = _clock(now) + np.timedelta64(round(AHEAD_HOURS * 3.6e12), "ns")
    labels = observations[TIME].values
    past = int(np.searchsorted(labels, latest, side="right"))
    if past == labels.size:
        return observations
    first = np.datetime_as_string(labels[past], unit="m")
    if not past:
        clock = np.datetime_as_string(_clock(now), unit="m")
        raise ObservationError(
            f"all hours are still to come: the first is {first} UTC, and this machine's clock says "
            f"{clock} UTC. Set the clock right, or say what zone the times are in (--time-zone)"
        )
    logger.warning(
        "%d hours from %s UTC on are still to come by this machine's clock and are left out: check "
        "the clock and the zone of the times (--time-zone)",
        labels.size - past,
        first,
    )
    return observations.isel({TIME: slice(past)})


def taken(
    observations: xr.Dataset, model: Reanalyser, *, first: int | None, quality: Quality
) -> Measurements:
    """Return what is used of observations from the hour of a number on; None is all hours.

    Raises
    ------
    ObservationError
        If they are not valid, or lack the variable of the model.
    """
    _, begin = clock_of(observations)
    if first is not None and first > begin:
        observations = observations.isel({TIME: slice(first - begin, None)})
        begin = first
    if any(array.chunks for array in observations.variables.values()):  # of an archive
        check_size("observations", observations.nbytes)
        observations = observations.compute()
    variable = model.variable
    if variable not in observations:
        raise ObservationError(
            f"the observations have no {variable}, which the model estimates; they have "
            f"{', '.join(map(str, observations.data_vars)) or 'nothing'}"
        )
    validate(observations, variable)
    names = [name for name in model.inputs if name in observations]
    given = Measured(begin, hourly_digests(observations, names))
    used = usable(observations, variable, quality)
    used = used[names].transpose(STATION, TIME, ...)
    return Measurements(used, given, Measured(begin, hourly_digests(used, names)))


def _clock(now: datetime | None) -> np.datetime64:
    """Return what time it is, UTC."""
    now = datetime.now(UTC) if now is None else now
    if now.tzinfo is not None:
        now = now.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(now, "ns")
